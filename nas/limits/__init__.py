"""Limits and a space: which candidates hold them, how many there are, and what stands in the way. Never loads torch."""
