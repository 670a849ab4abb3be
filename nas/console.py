"""What the small commands share: help, errors in one line, exit codes, a reader that goes away."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from nas.errors import NasError


def parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m NAME`, whose help ends with examples."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=f"\nexamples\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(name: str, work: Callable[[], None]) -> int:
    """Do a command's work and return its exit code.

    2 with one line on stderr where the user's input is wrong, 130 where it was interrupted.
    """
    try:
        work()
        sys.stdout.flush()
    except NasError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... | head` has read enough; what Python would still flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
