"""Tabular benchmarks: networks whose scores are in a file, so that strategies are compared in seconds."""
