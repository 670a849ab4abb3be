"""Words of settings of series. Never loads NumPy."""

REFUSE, MEAN = "refuse", "mean"
MISSING = (REFUSE, MEAN)
"""What is done where values are missing: such series are refused, or the mean of the training split stands there."""
