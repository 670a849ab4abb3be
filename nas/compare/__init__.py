"""Comparisons of search strategies (`strategies`) and of search spaces (`spaces`), with exact tests."""
