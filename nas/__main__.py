"""`python -m nas`: the same as the console script `nas`."""

from __future__ import annotations

import sys

from nas.commands.console_script import main

if __name__ == "__main__":
    sys.exit(main())
