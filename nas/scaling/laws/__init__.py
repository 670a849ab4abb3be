"""Scaling laws: loss as a function of size, fitted to what was measured. Numbers alone: nothing here knows networks."""
