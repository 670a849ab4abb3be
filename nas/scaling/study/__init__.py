"""Scaling studies: networks of several sizes are trained, laws fitted, and forecasts registered and checked."""
