"""`python -m nas.proxies`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from nas.commands.proxies import main

    sys.exit(main())
