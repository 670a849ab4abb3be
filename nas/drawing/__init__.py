"""Architectures as pictures: SVG, PNG and Graphviz text. Never loads torch."""

from nas.drawing.draw import draw, to_dot, to_svg

__all__ = ["draw", "to_dot", "to_svg"]
