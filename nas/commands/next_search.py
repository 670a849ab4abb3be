"""The words of a search command that a report ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from nas.advise.command_lines import number
from nas.training.data.config import DataConfig
from nas.training.recipe_files import read_data_config

_TRIALS = 50


def search_words(space: str, data: DataConfig, constraints: Mapping[str, Any], fit: str) -> list[str]:
    """Return the words of `nas search` for a space on the data and under the limits of some other command.

    Args:
        space: its name or file.
        data: of that command.
        constraints: its hard limits; those that are None are none.
        fit: whether the space is brought to them.
    """
    limits = [f"constraints.{name}={_bound(bound)}" for name, bound in constraints.items() if bound is not None]
    as_written = ["fit=none"] * (fit == "none")
    return [f"+space={space}", *_data_words(data), *limits, *as_written, f"search.trials={_TRIALS}"]


def _bound(bound: Any) -> str:
    if isinstance(bound, Sequence) and not isinstance(bound, str):
        return f"[{','.join(map(_bound, bound))}]"
    return "null" if bound is None else number(bound)


def _data_words(data: DataConfig) -> Iterator[str]:
    """Yield the settings of data that are not those of their file in `conf/data`."""
    usual = read_data_config(data.name)
    yield f"data={data.name}"
    for member in fields(DataConfig):
        value = getattr(data, member.name)
        if value != getattr(usual, member.name):
            yield f"data.{member.name}={'null' if value is None else value}"
