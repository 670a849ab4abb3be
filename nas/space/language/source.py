"""Space files as data: YAML to plain values that remember their line, with includes and merges resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from nas.errors import SpaceError, nearest
from nas.space.language.files import find_space

# Far above any sensible space; they keep a "YAML bomb" of nested aliases from filling the memory.
_MAX_BYTES = 2**18
_MAX_VALUES = 200_000
_MAX_DEPTH = 60
_MAX_INCLUDES = 1000
_MAX_INT = 10**1000

_MAX_SHOWN = 40
"""Characters of a text that an error message quotes."""
_MAX_KEYS_SHOWN = 8

WORDS = ("name", "description", "assume", "limits", "let", "resolution", "stem", "stages", "head", "choose", "include")
"""Words of which every space file has at least one at the beginning of a line."""
_SPACE_WORD = re.compile(rf"^(['\"]?)({'|'.join(WORDS)})\1\s*:", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but with `1e-3` as a number."""


_Loader.yaml_implicit_resolvers = dict(yaml.SafeLoader.yaml_implicit_resolvers)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)

_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}


@dataclass(frozen=True, slots=True)
class Source:
    """A value of a space file and where it stands."""

    value: Any
    """A scalar, a list of `Source`, or a dict from str to `Source`."""
    file: str
    line: int | None
    """Counted from 1; None where the space was given as Python values."""
    fixed: bool = False
    """Whether its options are those of a user who fixed the decision: they stay when widths are multiplied."""

    def error(self, message: str, path: str = "") -> SpaceError:
        """Return an error that begins with file and line; `path` is the place in the tree of the space."""
        return SpaceError(f"{self.location()}: {path}: {message}" if path else f"{self.location()}: {message}")

    def location(self) -> str:
        """Return where this stands: `file:line`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def describe(self) -> str:
        """Describe this for an error message: of a text its first line, of a mapping some keys, cut short."""
        if isinstance(self.value, dict):
            keys = [quoted(key) for key in list(self.value)[:_MAX_KEYS_SHOWN]]
            more = ", ..." if len(self.value) > _MAX_KEYS_SHOWN else ""
            return f"a mapping with {', '.join(keys) or 'no keys'}{more}"
        if isinstance(self.value, list):
            return f"a list of {len(self.value)}"
        return quoted(self.value)


def quoted(value: object) -> str:
    """Return a scalar for an error message: the first line of a text, cut short."""
    if not isinstance(value, str):
        return repr(value)
    first = value[: _MAX_SHOWN + 1].splitlines()[0] if value else ""
    shown = first[:_MAX_SHOWN]
    return f"{shown!r}" if shown == value else f"{shown!r}..."


def from_python(values: object, file: str = "<python>") -> Source:
    """Wrap plain Python values (dicts, lists, scalars) that state a space as a file does.

    Raises:
        SpaceError: a value that no space holds, or too many or too deeply nested ones.
    """
    return _wrap(values, file, 0, count())


def _wrap(values: object, file: str, depth: int, counter: Iterator[int]) -> Source:
    here = Source(values, file, None)
    if next(counter) >= _MAX_VALUES:
        raise Source(None, file, None).error(f"more than {_MAX_VALUES} values")
    if depth > _MAX_DEPTH:
        raise here.error(f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(values, Mapping):
        for key in values:
            if not isinstance(key, str):
                raise here.error(f"keys must be words, but got {key!r}")
        return Source({key: _wrap(item, file, depth + 1, counter) for key, item in values.items()}, file, None)
    if isinstance(values, list | tuple):
        return Source([_wrap(item, file, depth + 1, counter) for item in values], file, None)
    if values is None or isinstance(values, str | int | float | bool):
        problem = _unusable(values)
        if problem:
            raise Source(None, file, None).error(problem)
        return here
    raise here.error(f"a space holds mappings, lists, words and numbers, but got a {type(values).__name__}")


def _unusable(value: object) -> str:
    """Return why a space cannot hold a scalar; empty where it can."""
    if isinstance(value, int) and abs(value) > _MAX_INT:
        return f"a number of {value.bit_length()} bits is too large"
    if isinstance(value, float) and not isfinite(value):
        return f"a number is finite, but got {value}"
    if isinstance(value, str) and any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        return f"half a character in {value!a:.80}"
    return ""


def with_values(space: Source, given: Source) -> Source:
    """Return a space whose names under `let` have other values: `with: {width: 0.75}`.

    Raises:
        SpaceError: no mapping, or a name that the space does not have.
    """
    values = given.value
    if not isinstance(values, dict):
        raise given.error(f"with takes names and values, but got {given.describe()}")
    let = space.value.get("let") if isinstance(space.value, dict) else None
    names = let.value if let is not None and isinstance(let.value, dict) else {}
    for name, value in values.items():
        if name not in names:
            raise value.error(f"with: the file has no name {name!r} under let. {nearest(name, names)}")
    if let is None:
        return space
    changed = Source({**names, **values}, let.file, let.line)
    return Source({**space.value, "let": changed}, space.file, space.line)


def read_file(path: Path) -> Source:
    """Read a space file; nothing in it is imported or run.

    Raises:
        SpaceError: missing file, bad YAML, a duplicate key, a cyclic include, or a file that is too large.
    """
    return _Reader(path, (), _Shared()).read()


@dataclass
class _Shared:
    """What the readers of a file and of all that it includes share."""

    values: Iterator[int] = field(default_factory=count)
    includes: Iterator[int] = field(default_factory=count)
    parsed: dict[Path, yaml.Node] = field(default_factory=dict)


class _Reader:
    """Reads one file; `trail` holds the files that include it."""

    def __init__(self, path: Path, trail: tuple[Path, ...], shared: _Shared, depth: int = 0) -> None:
        self.path, self.trail, self.shared, self.depth = path, trail, shared, depth

    def error(self, message: str, line: int | None = None) -> SpaceError:
        """Return an error that begins with the file, and the line where there is one."""
        return Source(None, str(self.path), line).error(message)

    def read(self) -> Source:
        """Read the file; raises `SpaceError`."""
        if self.path not in self.shared.parsed:
            self.shared.parsed[self.path] = self.parse()
        return self.convert(self.shared.parsed[self.path], self.depth)

    def parse(self) -> yaml.Node:
        """Parse the file as YAML; raises `SpaceError` where it cannot be read, is too large or no YAML."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise self.error(f"a space file may have {_MAX_BYTES} bytes, but this one has more")
            text = data.decode()
        except FileNotFoundError:
            raise self.error("no such file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(f"cannot be read as text: {error}") from None
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            # What is wrong may quote the file, which may be anything that a link leads to.
            problem = f"bad YAML: {error.problem}" if _SPACE_WORD.search(text) else "no search space, and no YAML"
            raise self.error(problem, mark.line + 1 if mark else None) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self.error(f"bad YAML: {error.reason}", line) from None
        except yaml.YAMLError as error:
            raise self.error(f"bad YAML: {error}") from None
        except RecursionError:
            raise self.error(f"nested deeper than {_MAX_DEPTH} levels") from None
        if node is None:
            raise self.error("the file is empty")
        if self.trail and isinstance(node, yaml.ScalarNode) and node.start_mark.line != node.end_mark.line:
            raise self.error("a file that is included holds a mapping, a list or a value, but this one a text of lines")
        return node

    def convert(self, node: yaml.Node, depth: int) -> Source:
        """Convert a YAML node to values; an alias is expanded each time, so what it expands to is counted."""
        line = node.start_mark.line + 1
        if next(self.shared.values) >= _MAX_VALUES:
            raise self.error(f"more than {_MAX_VALUES} values after expanding aliases", line)
        if depth > _MAX_DEPTH:
            raise self.error(f"nested deeper than {_MAX_DEPTH} levels, or an alias inside itself", line)
        if isinstance(node, yaml.MappingNode):
            self.check_tag(node, line, {"tag:yaml.org,2002:map"})
            return self.mapping(node, line, depth)
        if isinstance(node, yaml.SequenceNode):
            self.check_tag(node, line, {"tag:yaml.org,2002:seq"})
            return Source([self.convert(item, depth + 1) for item in node.value], str(self.path), line)
        return Source(self.scalar(node, line), str(self.path), line)

    def check_tag(self, node: yaml.Node, line: int, allowed: set[str]) -> None:
        """Raise `SpaceError` for a tag that is not allowed: nothing that a file names is made."""
        if node.tag not in allowed:
            raise self.error(f"tag {node.tag!r} is not allowed: a space holds words and numbers only", line)

    def scalar(self, node: yaml.Node, line: int) -> object:
        """Convert a YAML scalar; raises `SpaceError` for a value that no space holds."""
        self.check_tag(node, line, _SCALARS)
        try:
            value: object = yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, LookupError, OverflowError, yaml.YAMLError):
            raise self.error(f"bad value {node.value[:40]!r} for {node.tag.rsplit(':', 1)[1]}", line) from None
        problem = _unusable(value)
        if problem:
            raise self.error(problem, line)
        return value

    def mapping(self, node: yaml.MappingNode, line: int, depth: int) -> Source:
        """Convert a YAML mapping; resolves `<<` and `include`."""
        items: dict[str, Source] = {}
        merged: dict[str, Source] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            value = self.convert(value_node, depth + 1)
            if key_node.tag == "tag:yaml.org,2002:merge":
                if not isinstance(value.value, dict):
                    raise self.error(f"<< merges a mapping, but got {value.describe()}", key_line)
                merged |= value.value
                continue
            key = self.scalar(key_node, key_line)
            if not isinstance(key, str):
                raise self.error(f"keys must be words, but got {key!r}; quote it to make it one", key_line)
            if key in items:
                raise self.error(f"duplicate name {key!r}", key_line)
            # A value on the lines below its key is reported at the key.
            items[key] = Source(value.value, value.file, key_line) if value.file == str(self.path) else value
        items = merged | items
        if "include" in items and set(items) <= {"include", "with"}:
            content = self.include(items["include"], depth)
            return with_values(content, items["with"]) if "with" in items else content
        return Source(items, str(self.path), line)

    def include(self, name: Source, depth: int) -> Source:
        """Put the content of another file in place of `include: FILE`, a path from this one or the name of a space."""
        if not isinstance(name.value, str):
            raise name.error(f"include takes the path of a .yaml file or the name of a space, not {name.describe()}")
        if next(self.shared.includes) >= _MAX_INCLUDES:
            raise name.error(f"more than {_MAX_INCLUDES} includes")
        if name.value.endswith((".yaml", ".yml")):
            path = self.path.parent / name.value
        else:
            try:
                path = find_space(name.value)
            except SpaceError as error:
                raise name.error(f"include: {error}") from None
        trail = (*self.trail, self.path)
        try:
            is_file, resolved = path.is_file(), path.resolve()
            including = [file.resolve() for file in trail]
        except (OSError, ValueError, RuntimeError) as error:  # a name too long, a NUL in it, links in a circle
            raise name.error(f"include: {error}") from None
        if resolved in including:
            chain = " -> ".join(file.name for file in (*trail, path))
            raise name.error(f"cyclic include: {chain}")
        if not is_file:
            raise name.error(f"include: no such file: {path} (paths begin at the folder of the file that includes)")
        if len(trail) > _MAX_DEPTH:
            raise name.error(f"includes nested deeper than {_MAX_DEPTH} levels")
        return _Reader(path, trail, self.shared, depth).read()
