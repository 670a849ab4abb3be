"""Latency on the user's device: measured in the runtime that will run the network, and predicted from a calibration."""
