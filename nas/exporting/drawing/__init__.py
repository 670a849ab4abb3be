"""Architectures as pictures: SVG, PNG and Graphviz text. Never loads torch."""

from nas.exporting.drawing.draw import check_drawing, draw, to_dot, to_svg

__all__ = ["check_drawing", "draw", "to_dot", "to_svg"]
