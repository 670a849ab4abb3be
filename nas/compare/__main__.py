"""`python -m nas.compare`."""

from __future__ import annotations

from nas.commands.compare import compare
from nas.commands.hydra_main import hydra_main

if __name__ == "__main__":
    hydra_main("compare", lambda values, overrides: compare(values))
