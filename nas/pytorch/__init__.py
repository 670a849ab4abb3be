"""Graph -> torch module."""

from nas.pytorch.build import build, build_graph
from nas.pytorch.init import initialise

__all__ = ["build", "build_graph", "initialise"]
