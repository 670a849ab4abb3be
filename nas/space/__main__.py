"""`python -m nas.space`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from nas.commands.space import main

    sys.exit(main())
