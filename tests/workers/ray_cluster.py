"""Ray in tests: where it is not installed they are skipped."""

from __future__ import annotations

import atexit
import importlib.util
from functools import cache
from pathlib import Path

import pytest

HAS_RAY = importlib.util.find_spec("ray") is not None
RAY = [pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'nas[ray]'"), pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


@cache
def start() -> None:
    """Start Ray on this machine, once for all tests of a process; workers find the tests, as those of a user would."""
    import ray

    ray.init(
        address="local",
        num_cpus=3,
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    atexit.register(ray.shutdown)
