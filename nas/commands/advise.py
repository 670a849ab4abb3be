"""Networks to start from, spaces to search, limits to set, and the commands for it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nas import console
from nas.advise.advice import advise
from nas.advise.request import Request
from nas.advise.text import lines
from nas.commands.options import advise_parser
from nas.commands.space import read_shape
from nas.errors import ConfigError
from nas.json_output import add_facts
from nas.training.data.config import DataConfig
from nas.training.data.registry import DATA_SETS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 where nothing holds what is asked."""
    options = advise_parser().parse_args(arguments)
    return console.run("nas.advise", lambda: _work(options), json=options.json)


def _work(options: argparse.Namespace) -> None:
    advice = advise(_request(options))
    add_facts(advice.to_dict())
    print("\n".join(lines(advice)))
    if advice.hopeless:
        raise ConfigError(f"nothing holds what is asked: {advice.impossible[0]}")


def _request(options: argparse.Namespace) -> Request:
    named = options.data in DATA_SETS
    known = DataConfig(name=options.data).known_shape() if named and DATA_SETS[options.data].images else None
    if named and known is None:
        raise ConfigError(f"--data {options.data}: its shape is yours to give, such as --data 3x64x64")
    if known is not None and options.classes is not None:
        raise ConfigError(f"--classes: {options.data} has {known[1]} classes, but got {options.classes}")
    shape, classes = known or (None if options.data is None else read_shape(options.data), options.classes)
    return Request(
        task="series" if named and DATA_SETS[options.data].series else options.task,
        device=options.device,
        priority=options.priority,
        latency_ms=options.latency_ms,
        size_mib=options.size_mib,
        params=options.params,
        macs=options.macs,
        images=DATA_SETS[options.data].images if known and options.images is None else options.images,
        shape=shape,
        classes=classes,
        data_set=options.data if known else None,
        pretrained=options.pretrained,
    )
