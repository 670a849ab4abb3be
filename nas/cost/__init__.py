"""What a network costs, counted on its graph, and the limits on it. Never loads torch."""

from nas.cost.constraints import Constraint, Violation, check, constraints_from, tightest
from nas.cost.cost import METRICS, Cost, cost_of, graph_cost
from nas.cost.profile import BlockProfile, profile

__all__ = [
    "METRICS",
    "BlockProfile",
    "Constraint",
    "Cost",
    "Violation",
    "check",
    "constraints_from",
    "cost_of",
    "graph_cost",
    "profile",
    "tightest",
]
