"""Costs of a network, counted on its graph, and limits on them. Never loads torch."""

from nas.cost.breakdown import BlockCost, block_costs, section_costs
from nas.cost.checkpointing import held_cost
from nas.cost.constraints import Constraint, Interval, Violation, check, constraints_from, tightest, violation
from nas.cost.cost import Cost, cost_of, graph_cost, output_shapes
from nas.cost.metrics import (
    AFTER_TRAINING,
    BATCH_OF_ONE,
    FREE_METRICS,
    INT8_ACCURACY,
    INT8_LATENCY,
    LATENCY,
    METRICS,
    SEARCH_METRICS,
    TRAINING_MEMORY,
    Workload,
    inference_memory_bytes,
    training_memory_bytes,
    value_of,
)

__all__ = [
    "AFTER_TRAINING",
    "BATCH_OF_ONE",
    "FREE_METRICS",
    "INT8_ACCURACY",
    "INT8_LATENCY",
    "LATENCY",
    "METRICS",
    "SEARCH_METRICS",
    "TRAINING_MEMORY",
    "BlockCost",
    "Constraint",
    "Cost",
    "Interval",
    "Violation",
    "Workload",
    "block_costs",
    "check",
    "constraints_from",
    "cost_of",
    "graph_cost",
    "held_cost",
    "inference_memory_bytes",
    "output_shapes",
    "section_costs",
    "tightest",
    "training_memory_bytes",
    "value_of",
    "violation",
]
