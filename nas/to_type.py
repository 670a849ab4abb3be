"""How a command of ours is typed here, so that what a message says can be copied and run."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from nas.run_folder import shown


def to_type(command: str, *words: object) -> str:
    """Return a command with its words, quoted for a shell.

    It begins with `nas` where the shell finds that of this installation, with its path where it does not (a virtual
    environment that is not active), and with the interpreter where the installation has no script.

    Args:
        command: `finish`, `export` and so on.
        words: what follows, e.g. a folder.
    """
    return f"{_nas()} {shlex.join([command, *map(str, words)])}"


def _nas() -> str:
    script = Path(sys.executable).with_name("nas")
    if not script.is_file():
        return f"{shlex.quote(str(shown(Path(sys.executable))))} -m nas"
    there = shutil.which("nas")
    return "nas" if there is not None and Path(there).samefile(script) else shlex.quote(str(shown(script)))
