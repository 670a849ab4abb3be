"""Comparing search spaces: by the errors of networks drawn from them at random, at equal complexity."""
