"""Graph -> torch module."""

from nas.build.build import build, build_graph
from nas.build.init import initialise

__all__ = ["build", "build_graph", "initialise"]
