"""Comparing search strategies: the same problem, many seeds, and whether a difference is more than chance."""
