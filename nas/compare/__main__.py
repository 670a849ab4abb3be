"""`python -m nas.compare`."""

from __future__ import annotations

import sys

from nas.commands.registry import run_command

if __name__ == "__main__":
    sys.exit(run_command("compare"))
