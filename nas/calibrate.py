"""`python -m nas.calibrate`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from nas.commands.calibrate import main

    sys.exit(main())
