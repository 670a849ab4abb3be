"""Scaling studies: networks of several sizes are trained, laws fitted, forecasts frozen and tried."""
