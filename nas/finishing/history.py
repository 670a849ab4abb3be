"""What the log of a finish says beside its trainings: what it was begun with, and what it has reported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.errors import ConfigError
from nas.finishing.bench import TEST, FinishTrial
from nas.finishing.config import FinishConfig
from nas.run_folder import read_inside, shown
from nas.settings import changeable

_BEGUN, _REPORTED = "begun", "reported"


@dataclass(frozen=True)
class Begun:
    """What a finish was begun with, and what decides what it finds: the first line of its log."""

    settings: Mapping[str, Any]
    """Those that may not change, by their paths, and of which search and networks they are."""
    candidates: str
    """SHA-256 of the file of the candidates of the baselines."""

    @classmethod
    def of(cls, config: FinishConfig, known: Mapping[str, Any], files: Mapping[str, Any], candidates: Path) -> Begun:
        """Return it for some settings, what trainings read beside the data (`used_files`), and the candidates' file."""
        free = {*changeable(FinishConfig)}
        hashes = {name: file["sha256"] for name, file in files.items()}
        values = json.loads(json.dumps({**asdict(config), **known, "files": hashes}))
        settings = {path: value for path, value in _flat("", values) if path not in free}
        return cls(settings, hashlib.sha256(read_inside(candidates)).hexdigest())

    @classmethod
    def from_dict(cls, values: Any) -> Begun:
        """Read what `asdict` gives; raises `TypeError` for anything else."""
        begun = cls(**values)
        if not isinstance(begun.settings, dict) or not isinstance(begun.candidates, str):
            raise TypeError("what the finish was begun with is neither settings nor a checksum")
        return begun

    def check(self, now: Begun, *, settings: Path, candidates: Path, log: Path) -> None:
        """Make sure that what the finish was begun with is so still.

        Raises:
            ConfigError: a setting is another, or the file of the candidates was changed; names file, rule and value.
        """
        for path, was in self.settings.items():
            if path in now.settings and now.settings[path] != was:
                raise ConfigError(
                    f"{shown(settings)}: {path} is {now.settings[path]!r:.200}, but this finish was begun with "
                    f"{was!r:.200} (first line of {shown(log)}), and may not change. Put it back, or remove or rename "
                    f"{shown(log.parent)} to finish the search anew"
                )
        if now.candidates != self.candidates:
            raise ConfigError(
                f"{shown(candidates)} is not as it was written: its checksum is not that in the first line of "
                f"{shown(log)}, and what there is to choose from may not change. Take it from a copy, or remove or "
                f"rename {shown(log.parent)} to finish the search anew"
            )


@dataclass(frozen=True)
class Reported:
    """What a session has recommended, when so many scores on the test split were known."""

    tested: int
    recommended: str
    """In words."""

    @classmethod
    def from_dict(cls, values: Any) -> Reported:
        """Read what `asdict` gives; raises `TypeError` for anything else."""
        reported = cls(**values)
        if type(reported.tested) is not int or not isinstance(reported.recommended, str):
            raise TypeError("what was reported is no number of scores with a text")
        return reported


Line = FinishTrial | Begun | Reported
"""Of the log of a finish."""


def line_from(values: Any) -> Line:
    """Read a line of the log; raises `TypeError` or `ValueError` for what is none."""
    if _BEGUN in values:
        return Begun.from_dict(values[_BEGUN])
    if _REPORTED in values:
        return Reported.from_dict(values[_REPORTED])
    return FinishTrial.from_dict(values)


def as_line(line: Line) -> dict[str, Any]:
    """Return plain values, of which `line_from` makes the line again."""
    if isinstance(line, FinishTrial):
        return asdict(line)
    return {_BEGUN if isinstance(line, Begun) else _REPORTED: asdict(line)}


@dataclass(frozen=True)
class Looks:
    """What of the test split was known before this report."""

    earlier: int = 0
    """How often something was trained after scores on the test split were known."""
    recommended: tuple[str, ...] = ()
    """What the reports of then recommended."""
    readings: int = 0
    """Of the test split for this search, as the ledger has them."""

    def lines(self) -> Iterator[str]:
        """Say that the test split was looked at before, where it was."""
        if self.earlier:
            before = "; ".join(self.recommended) or "not known, no report was written"
            yield (
                f"- This is look {self.earlier + 1} at the test split: the finish was gone on with when scores on it "
                f"were known. To go on after a result is a choice by it, so the intervals hold the truth in less than "
                f"95 %. Recommended before: {before}. The ledger has {self.readings} readings of the test split."
            )


FIRST_LOOK = Looks()
"""Nothing was known before."""


def looks_of(trials: Iterable[FinishTrial], reported: Iterable[Reported], readings: int) -> Looks:
    """Return what was known before, by the order in which trainings and scores came first."""
    earlier, tests, known = 0, 0, False
    for trial in trials:
        if trial.phase == TEST:
            tests, known = tests + 1, True
        elif known:
            earlier, known = earlier + 1, False
    before = tuple(one.recommended for one in reported if one.tested < tests) if earlier else ()
    return Looks(earlier, before, readings)


def _flat(path: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield single values by their paths."""
    for name, value in values.items():
        inner = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict):
            yield from _flat(inner, value)
        else:
            yield inner, value
