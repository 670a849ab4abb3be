"""Graph -> torch module."""

from nas.cost.measured_costs import measure_with
from nas.pytorch.build import build, build_graph
from nas.pytorch.initial_weights import initialise
from nas.pytorch.measure_operation import measure_operation

__all__ = ["build", "build_graph", "initialise"]

measure_with(measure_operation)  # operations of users that do not state all that they do
