"""`python -m nas.scale +space=reference/NAME|base=FILE mode=MODE [setting=value ...]`."""

from __future__ import annotations

import re
import sys
from typing import Any

from nas.commands.hydra_main import hydra_main


def _scale(values: dict[str, Any], overrides: list[str]) -> int:
    from nas.commands.scale import scale_command

    return scale_command(values, [re.sub(r"^[+~]*([\w.]+).*$", r"\1", one, flags=re.S) for one in overrides])


if __name__ == "__main__":
    # `train` is the group of recipes, and whether to train at all is what people look for under the same name.
    sys.argv[1:] = [re.sub(r"^train=(true|false)$", r"training=\1", word, flags=re.I) for word in sys.argv[1:]]
    hydra_main("scale", _scale)
