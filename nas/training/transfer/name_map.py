"""What other libraries call the weights of published networks: tables in `names/`, one file a family.

A table has, beside what is said of it (`about`) and the mean and deviation of the pixels that such networks are trained
on, `[names]`: on the left the beginning of names of `nas.build`, whole components of them, with `*` for a number; on
the right what the other library calls that, or several such names of which a file has one. The first pattern that fits
counts, and what follows it in a name stays as it is, but for its first component where `[parts]` renames it. Names on
the right hold sums in braces, e.g. `layer{stage+1}.{block}.conv1` or `{2*number+norm*number+stage}`, of

- `stage` and `block`, from 0; `number`, the place of the block among those of all stages; `n`, the last `*`;
- `count` and `stages`, how many blocks and stages there are;
- names of parts of a block, e.g. `expand`: 1 where the block has that, or else 0;
- `name`, which is not summed: the block's among `[blocks]`, a list by the number of blocks.

`unused` are the beginnings of public names that have no place here; `batch_norm_eps` what is added to the variance in
normalisation there, and `[batch_norm_eps_of]` the same by the number of blocks; `same_padding` what names begin with
of weights that go with TensorFlow's padding and epsilon.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent / "names"
_BLOCK = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.([^.]+)")
EPS = 1e-5
"""What `nas.build` adds to the variance in batch normalisation, torch's default."""


@dataclass(frozen=True, kw_only=True)
class NameMap:
    """What a library calls the weights of a family of networks."""

    about: str
    """Which family and library, for messages."""
    mean: tuple[float, ...]
    """Of the pixels of training, a channel, in units of full white = 1."""
    std: tuple[float, ...]
    """Their deviation."""
    names: Mapping[str, str | list[str]]
    """Public names by patterns of own ones."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Public names of what a name goes on with behind its pattern."""
    blocks: Mapping[str, list[str]] = field(default_factory=dict)
    """Names of all blocks, by how many there are."""
    unused: tuple[str, ...] = ()
    """What public names begin with that have no place here, such as auxiliary classifiers."""
    batch_norm_eps: float = EPS
    """What is added to the variance in batch normalisation there."""
    batch_norm_eps_of: Mapping[str, float] = field(default_factory=dict)
    """The same where it depends on the number of blocks."""
    same_padding: tuple[str, ...] = ()
    """What names of weights begin with that are of networks with TensorFlow's padding and epsilon (`same_padding.py`):
    nothing in the file says so."""

    def public_names(self, own: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return what the weights of a network may be called, by their names of `nas.build`.

        Args:
            own: all names of its state dict.

        Returns:
            Names of which a file has one; none of what the table says nothing of.
        """
        own = list(own)
        places = _Places(own)
        rules = [(_pattern(left), [right] if isinstance(right, str) else right) for left, right in self.names.items()]
        found = {}
        for name in own:
            values = places.of(name) | {"name": self._block_name(places, name)}
            for pattern, rights in rules:
                match = pattern.match(name)
                if match is not None:
                    numbers = {"n": int(match.groups()[-1])} if match.groups() else {}
                    rest = self._rest(name[match.end() :])
                    found[name] = tuple(_filled(right, values | numbers) + rest for right in rights)
                    break
        return found

    def eps(self, own: Iterable[str]) -> float:
        """Return what is added to the variance in batch normalisation there, for a network with some names."""
        return self.batch_norm_eps_of.get(str(len(_Places(own).blocks)), self.batch_norm_eps)

    def _rest(self, rest: str) -> str:
        first, dot, others = rest.removeprefix(".").partition(".")
        return f".{self.parts.get(first, first)}{dot}{others}" if rest else ""

    def _block_name(self, places: _Places, name: str) -> str:
        names = self.blocks.get(str(len(places.blocks)), [])
        number = places.of(name).get("number", len(names))
        return names[number] if number < len(names) else "?"


@cache
def name_maps() -> tuple[NameMap, ...]:
    """Return the tables that there are, by the names of their files."""
    return tuple(_read(path) for path in sorted(_FOLDER.glob("*.toml")))


def _read(path: Path) -> NameMap:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in tomllib.loads(path.read_text(encoding="utf-8")).items()
    }
    return NameMap(**values)


class _Places:
    """Where the blocks of a network are, by the names of its state dict."""

    def __init__(self, own: Iterable[str]) -> None:
        parts: dict[tuple[int, int], set[str]] = {}
        for name in own:
            match = _BLOCK.match(name)
            if match is not None:
                parts.setdefault((int(match[1]), int(match[2])), set()).add(match[3])
        self.blocks = sorted(parts)
        stages = len({stage for stage, _ in self.blocks})
        known = {part: 0 for names in parts.values() for part in names}
        self._all: dict[str, int] = {"count": len(self.blocks), "stages": stages}
        self._of = {
            place: {"stage": place[0], "block": place[1], "number": number, **known, **dict.fromkeys(parts[place], 1)}
            for number, place in enumerate(self.blocks)
        }

    def of(self, name: str) -> dict[str, int]:
        """Return the numbers that stand for words in braces, for the block that a name is in."""
        match = _BLOCK.match(name)
        return self._all | (self._of[int(match[1]), int(match[2])] if match is not None else {})


@cache
def _pattern(left: str) -> re.Pattern[str]:
    components = (r"(\d+)" if part == "*" else re.escape(part) for part in left.split("."))
    return re.compile(r"\.".join(components) + r"(?=\.|$)")


def _filled(right: str, values: Mapping[str, int | str]) -> str:
    def of(match: re.Match[str]) -> str:
        if match[1] == "name":
            return str(values["name"])
        factors = ([values.get(word, 0) if word.isalpha() else word for word in term.split("*")]
                   for term in match[1].split("+"))  # fmt: skip
        return str(sum(prod(map(int, term)) for term in factors))

    return re.sub(r"\{([^}]*)\}", of, right)
