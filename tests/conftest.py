"""What all tests share."""

from __future__ import annotations

import os
import signal

# One thread a process, as in a search; set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from hypothesis import settings

# Whoever starts the tests may ignore these (nohup does, and shells for what runs in the background), and programs that
# the tests start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# The machine may be busy; how long an example takes says nothing.
settings.register_profile("nas", deadline=None)
settings.load_profile("nas")
