"""Records that people browse: MLflow runs of studies and trials."""
