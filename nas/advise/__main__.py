"""`python -m nas.advise`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from nas.commands.advise import main

    sys.exit(main())
