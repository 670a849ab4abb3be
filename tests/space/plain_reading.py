"""A second reading of space files, for tests: it builds a network copy by copy and asks where something is chosen.

It knows no names, sizes or ranks. What it is asked twice under one path is one decision, and what it is never asked is
none; all genotypes are the ways to answer. So the number of genotypes comes from walking through every one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Plain = dict[str, Any]
Ask = Callable[[str, list[Any]], Any]


class _Answers:
    """Answers as it is told, then with first options; what it was asked is in order."""

    def __init__(self, turns: list[int]) -> None:
        self.turns, self.asked, self.genotype = turns, list[tuple[int, int]](), Plain()

    def __call__(self, path: str, options: list[Any]) -> Any:
        if path not in self.genotype:
            turn = self.turns[len(self.asked)] if len(self.asked) < len(self.turns) else 0
            self.asked.append((turn, len(options)))
            self.genotype[path] = options[turn]
        return self.genotype[path]

    def next(self) -> list[int] | None:
        """The answers that come after these, as the next number comes after a number; None behind the last."""
        digits = list(self.asked)
        while digits and digits[-1][0] + 1 == digits[-1][1]:
            digits.pop()
        return [turn for turn, _ in digits[:-1]] + [digits[-1][0] + 1] if digits else None


def all_ways(stages: list[Plain], most: int) -> list[tuple[Plain, list[Any]]]:
    """Return every genotype of some stages with the blocks of its network; stops after `most`."""
    found: list[tuple[Plain, list[Any]]] = []
    turns: list[int] | None = []
    while turns is not None and len(found) <= most:
        answers = _Answers(turns)
        blocks = network(stages, answers)
        found.append((answers.genotype, blocks))
        turns = answers.next()
    return found


class _At(NamedTuple):
    """Where decisions live: the path of what all copies share, and that of this copy."""

    stage: str
    copy: str
    level: str = "stage"
    """What a choice is of that does not say."""
    under: str = ""

    def enter(self, part: str) -> _At:
        return _At(f"{self.stage}.{part}", f"{self.copy}.{part}")


def network(stages: list[Plain], ask: Ask) -> list[Any]:
    """Return the blocks of each stage, as `(kind, settings)`."""
    return [_entry(stage, _At(f"stages.{i}", f"stages.{i}"), ask) for i, stage in enumerate(stages)]


def _entry(entry: Plain, at: _At, ask: Ask) -> list[Any]:
    if "choose" in entry:
        name = ask(f"{at.stage}.choose", list(entry["choose"]))
        return _list(entry["choose"][name], at.enter(name), ask)
    if entry.get("optional") and not ask(f"{at.stage}.present", [True, False]):
        return []
    if "depth" not in entry:
        return [_block(entry, at, ask)]
    depth = _value(entry["depth"], "depth", at, ask)
    return [_block(entry, _At(at.stage, f"{at.copy}.blocks.{i}"), ask) for i in range(depth)]


def _list(entries: list[Plain], at: _At, ask: Ask) -> list[Any]:
    return [block for i, one in enumerate(entries) for block in _entry(one, at.enter(str(i)), ask)]


def _block(entry: Plain, at: _At, ask: Ask) -> Any:
    kind, own, level = entry["block"], Plain(), "stage"
    if isinstance(kind, dict):
        level, options = kind.get("per", "stage"), kind["choose"]
        kind = ask(f"{at.stage if level == 'stage' else at.copy}.block", list(options))
        own = (options[kind] or {}) if isinstance(options, dict) else {}
    settings = {
        key: _setting(key, value, at, ask) for key, value in entry.items() if key not in ("block", "depth", "optional")
    }
    inside = at._replace(level=level, under=f"block.{kind}.")
    return kind, settings | {key: _setting(key, value, inside, ask) for key, value in own.items()}


def _setting(key: str, value: Any, at: _At, ask: Ask) -> Any:
    if key != "branches":
        return _value(value, key, at, ask)
    # What stands inside a block that chose its kind for itself is of that block alone.
    around = _At(at.copy if at.level == "block" else at.stage, at.copy).enter(f"{at.under}{key}")
    return [_list(body, around.enter(str(i)), ask) for i, body in enumerate(value)]


def _value(value: Any, name: str, at: _At, ask: Ask) -> Any:
    if not isinstance(value, dict):
        return value
    options = value["choose"] if "choose" in value else list(range(value["range"][0], value["range"][1] + 1))
    shared = value.get("per", at.level) == "stage"
    return ask(f"{at.stage if shared else at.copy}.{at.under}{name}", options)
