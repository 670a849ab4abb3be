"""Advice before a search: networks to start from, spaces to search, limits to set. Never loads torch."""
