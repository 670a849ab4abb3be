"""MLflow's server as `nas browse` starts it; MLflow finds it by its entry point in pyproject.toml.

Python's search for garbage goes over all that was loaded, several times a request, which makes a table of 100 runs
several times as slow (docs/benchmarks/mlflow-browse.md). What is there at the start stays to the end, and is left out.
"""

from __future__ import annotations

import gc

from mlflow.server.fastapi_app import app

__all__ = ["app"]

gc.collect()
gc.freeze()
