"""Networks to start from, spaces to search, limits to set, and the commands for it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from nas import console
from nas.advise.advice import advise
from nas.advise.request import DEVICES, PRIORITIES, TASKS, Request
from nas.advise.text import lines
from nas.commands.space import read_shape
from nas.errors import ConfigError
from nas.training.data.config import DATA_SETS, DataConfig

_DESCRIPTION = """\
Say which published networks to start from, which spaces to search and which limits to set, each with its reason,
and print the commands for it. Costs are counted; accuracies are published ones, with their source; everything
else is called a rule of thumb. Say what you know: nothing is needed."""
_EXAMPLES = """\
  python -m nas.advise                                                  general purpose
  python -m nas.advise --device mobile --latency-ms 30 --classes 20     real time on a phone
  python -m nas.advise --device gpu --priority quality --images 500000  high accuracy on a server
  python -m nas.advise --device cloud --images 4000 --pretrained        few images: transfer
  python -m nas.advise --size-mib 5                                     strict size
  python -m nas.advise --data fashion_mnist --params 1e5 --macs 4e6     small images; the commands run as they are
  python -m nas.advise --data 3x128x96 --classes 12 --images 30000      your own images
  python -m nas.advise --task series --data 3x512 --classes 6           series: no command trains them yet
  python -m nas.advise --task segmentation --data 3x512x512 --classes 4
  python -m nas.advise --device edge --size-mib 2 --json                for programs
"""
# As scikit-learn and the authors give them.
_IMAGES = {"digits": 1_797, "fashion_mnist": 70_000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 where nothing holds what is asked."""
    parser = console.parser("nas.advise", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--task", default="classification", metavar="TASK", help=f"{', '.join(TASKS)}")
    parser.add_argument("--device", metavar="DEVICE", help=f"where it is to run: {', '.join(DEVICES)}")
    parser.add_argument("--priority", metavar="WORD", help=f"{', '.join(PRIORITIES)} (balanced): accuracy against work")
    for name, what in (
        ("latency-ms", "time for one example that it may take, to be measured on the device"),
        ("size-mib", "stored size in MiB (2^20 bytes) that it may take, fp32"),
        ("params", "parameters that it may have"),
        ("macs", "multiply-adds that it may take for one example"),
    ):
        parser.add_argument(f"--{name}", type=float, metavar="BOUND", help=what)
    parser.add_argument("--images", type=int, metavar="N", help="labelled examples that there are for training")
    parser.add_argument("--data", metavar="CxHxW", help="input; CxL for series; or a data set: digits, fashion_mnist")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes (1,000; of series 10)")
    parser.add_argument("--pretrained", action="store_true", help="weights trained on other images may be used")
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")
    options = parser.parse_args(arguments)
    return console.run("nas.advise", lambda: _work(options))


def _work(options: argparse.Namespace) -> None:
    advice = advise(_request(options))
    print(json.dumps(advice.to_dict(), indent=1) if options.json else "\n".join(lines(advice)))
    if advice.hopeless:
        raise ConfigError(f"nothing holds what is asked: {advice.impossible[0]}")


def _request(options: argparse.Namespace) -> Request:
    named = options.data in DATA_SETS
    known = DataConfig(name=options.data).known_shape() if named and options.data in _IMAGES else None
    if named and known is None:
        raise ConfigError(f"--data {options.data}: its shape is yours to give, such as --data 3x64x64")
    if known is not None and options.classes is not None:
        raise ConfigError(f"--classes: {options.data} has {known[1]} classes, but got {options.classes}")
    shape, classes = known or (None if options.data is None else read_shape(options.data), options.classes)
    return Request(
        task=options.task,
        device=options.device,
        priority=options.priority,
        latency_ms=options.latency_ms,
        size_mib=options.size_mib,
        params=options.params,
        macs=options.macs,
        images=_IMAGES[options.data] if known and options.images is None else options.images,
        shape=shape,
        classes=classes,
        data_set=options.data if known else None,
        pretrained=options.pretrained,
    )
