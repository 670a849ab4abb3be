"""The predict.py that ships: one file, which needs no nas."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from nas.exporting import class_maps, predict, predict_series, prediction_files, reading
from nas.exporting.series_preprocess import SERIES

_START = "from __future__ import annotations\n"
_IMPORT = re.compile(r"^from nas\.exporting\.(\w+) import (\([^)]*\)|[^\n]*)\n", re.MULTILINE)


def script(kind: str = "pictures") -> str:
    """Return `nas.exporting.predict`, or `predict_series`, with what they take from other modules of nas in its place.

    So a picture or a series is read by the code that training reads it by, and the file needs no other beside it. That
    for series has no more than it needs: whoever has series may have no pillow.
    """
    if kind == SERIES:
        return _of_what_is_needed(predict_series)
    code, *others = (
        Path(str(module.__file__)).read_text(encoding="utf-8")
        for module in (predict, class_maps, prediction_files, reading)
    )
    texts = (_IMPORT.sub("", text.partition(_START)[2]) for text in others)
    parts = dict(zip(("class_maps", "prediction_files", "reading"), texts, strict=True))
    shipped, count = _IMPORT.subn(lambda found: parts[found[1]], code)
    assert count == len(parts), "predict.py imports each of them once"
    return shipped


def _of_what_is_needed(module: ModuleType) -> str:
    """Return a module with the definitions of nas that it imports, and those which these need, in front of its own."""
    own, found = _Module.read(module.__name__), _Found({}, {})
    _take(own, own.all_names(), found)
    text = ast.get_docstring(own.tree, clean=False)
    return "\n\n\n".join([f'"""{text}"""\n\n{_START}\n{found.import_lines()}', *found.parts.values()]) + "\n"


@dataclass(frozen=True)
class _Found:
    """What a file is put together of."""

    parts: dict[tuple[str, int], str]
    """Definitions, by module and place in it."""
    imports: dict[str, set[str]]
    """Names by the module that they are taken from; none of a module that is taken whole, as it is written."""

    def import_lines(self) -> str:
        """Return the imports, those of Python's own library first."""
        lines = [
            f"from {module} import {', '.join(sorted(names))}" if names else module
            for module, names in sorted(self.imports.items(), key=lambda one: (bool(one[1]), one[0]))
        ]
        own = [line for line in lines if line.split()[1].partition(".")[0] in sys.stdlib_module_names]
        return "\n".join([*own, "", *(line for line in lines if line not in own)])


class _Module:
    """A module of nas as text and tree."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.tree, self._lines = name, ast.parse(text), text.splitlines()
        self.statements = [node for node in self.tree.body[1:] if not _is_future(node)]

    @classmethod
    def read(cls, name: str) -> _Module:
        """Read a module by its name."""
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        return cls(name, Path(spec.origin).read_text(encoding="utf-8"))

    def all_names(self) -> set[str]:
        """Return all names that are defined, and those of statements, which have none."""
        return {name for node in self.statements for name in _defines(node)} | {""}

    def text_of(self, place: int) -> str:
        """Return a statement with its decorators, and the text behind it that says what it is."""
        node, following = self.statements[place], self.statements[place + 1 : place + 2]
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)])
        last = following[0] if following and _is_text(following[0]) else node
        return "\n".join(self._lines[first - 1 : last.end_lineno])


def _take(module: _Module, wanted: set[str], found: _Found) -> None:
    """Add definitions of a module by their names, behind those of other modules of nas that they need."""
    taken, names, new = set[int](), set(wanted), {-1}
    while new:
        new = {i for i, node in enumerate(module.statements) if names & (set(_defines(node)) or {""})} - taken
        taken |= new
        names |= {name for i in new for name in _uses(module.statements[i])}
    for i in sorted(taken):
        node = module.statements[i]
        if isinstance(node, ast.ImportFrom):
            source, used = str(node.module), {alias.name for alias in node.names} & names
            if source.startswith("nas."):
                _take(_Module.read(source), used, found)
            else:
                found.imports.setdefault(source, set()).update(used)
        elif isinstance(node, ast.Import):
            found.imports[ast.unparse(node)] = set()
        elif not _is_text(node):
            found.parts[module.name, i] = module.text_of(i)


def _defines(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module gives a meaning to."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    else:
        yield from (one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))


def _uses(node: ast.stmt) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
