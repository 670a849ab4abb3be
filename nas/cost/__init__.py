"""What a network costs, counted on its graph, and the limits on it. Never loads torch."""

from nas.cost.constraints import Constraint, Interval, Violation, check, constraints_from, measure, tightest
from nas.cost.cost import Cost, cost_of, graph_cost, output_shapes
from nas.cost.metrics import (
    FREE_METRICS,
    LATENCY,
    METRICS,
    ONE,
    Workload,
    inference_memory_bytes,
    training_memory_bytes,
    value_of,
)
from nas.cost.profile import BlockProfile, profile, section_counts

__all__ = [
    "FREE_METRICS",
    "LATENCY",
    "METRICS",
    "ONE",
    "BlockProfile",
    "Constraint",
    "Cost",
    "Interval",
    "Violation",
    "Workload",
    "check",
    "constraints_from",
    "cost_of",
    "graph_cost",
    "inference_memory_bytes",
    "measure",
    "output_shapes",
    "profile",
    "section_counts",
    "tightest",
    "training_memory_bytes",
    "value_of",
]
