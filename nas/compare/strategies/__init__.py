"""Search strategies against each other: the same problem, many seeds, and whether a difference is more than chance."""
