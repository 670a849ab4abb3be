"""Graph -> torch module."""

from nas.cost.unstated import measure_with
from nas.pytorch.build import build, build_graph
from nas.pytorch.init import initialise
from nas.pytorch.measure import measure

__all__ = ["build", "build_graph", "initialise"]

measure_with(measure)  # operations of users that do not state all that they do
