"""`python -m nas.profile`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from nas.commands.profile import main

    sys.exit(main())
