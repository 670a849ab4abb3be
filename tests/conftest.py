"""What all tests share."""

from __future__ import annotations

import os

# One thread a process, as in a search; set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from hypothesis import settings

# The machine may be busy; how long an example takes says nothing.
settings.register_profile("nas", deadline=None)
settings.load_profile("nas")
