"""Cheap estimates of how good an untrained network is, and a diagnosis of whether they say anything."""
