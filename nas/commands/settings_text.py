"""Writes what is said of settings from their declarations: `conf/`, the help texts in it, and docs/settings.md.

`python -m nas.commands.settings_text` in a checkout writes them anew.
"""

from __future__ import annotations

import collections.abc
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from nas.commands import registry
from nas.commands.command import SettingsCommand
from nas.evaluators.registry import EVALUATORS
from nas.json_output import FLAG, FLAG_HELP
from nas.resources import resource_dir
from nas.search.budgets.pruning import Pruning
from nas.search.settings import SamplerSettings
from nas.settings import Declaration, declarations
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.recipe_files import recipe_heads
from nas.workers.executors.settings import EXECUTORS

COMMANDS: Mapping[str, type] = {
    name: command.config()
    for name, command in registry.COMMANDS.items()
    if isinstance(command, SettingsCommand) and name != "limits"  # whose settings are those of a search
}
"""What has settings, each in a file of `conf/`."""
GROUPS: Mapping[str, tuple[type, ...]] = {
    "data": (DataConfig,),
    "train": (Recipe,),
    "sampler": (SamplerSettings,),
    "pruner": (Pruning,),
    "evaluator": tuple(EVALUATORS.values()),
    "executor": tuple(EXECUTORS.values()),
}
"""Settings that come in files to choose from, in a folder of `conf/` each: their classes."""

_FOLDERS = {"train": "recipe"}
"""The folder of a group's files where it has another name; its files say with `@package` which group they set."""

_WIDTH = 120
_COLUMN = 27
"""Where comments begin in a file of `conf/`."""
_HELP_COLUMN = 36
_TITLE = "Settings, with what they are where nothing is said"


def _defaults(kind: type) -> Any:
    """Return the settings of a dataclass where nothing is said, without its checks: a space may have to be given."""
    settings: Any = object.__new__(kind)
    for member in fields(kind):
        made = member.default_factory() if member.default_factory is not MISSING else member.default
        object.__setattr__(settings, member.name, made)
    return settings


def _composed(name: str, text: str) -> Any:
    """Return the settings of a command where nothing is said: with the values of the files that `text` chooses."""
    settings = _defaults(COMMANDS[name])
    entries = [entry for entry in yaml.safe_load(text)["defaults"] if isinstance(entry, dict)]
    chosen = {group: file for entry in entries for group, file in entry.items()}
    for group in GROUPS:
        folder = _FOLDERS.get(group, group)
        if chosen.get(folder) is None or not hasattr(settings, group):
            continue
        inner = _defaults(type(getattr(settings, group)))
        for key, value in yaml.safe_load(
            (resource_dir("conf") / folder / f"{chosen[folder]}.yaml").read_text()
        ).items():
            object.__setattr__(inner, key, value)
        object.__setattr__(settings, group, inner)
    return settings


def _text(value: Any) -> str:
    """Return a value as YAML writes it in one line."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=10_000)).removesuffix("\n...\n").strip()


def _commented(start: str, doc: str, column: int, mark: str = "# ") -> Iterator[str]:
    """Yield `start`, and beside it a text in as many lines as it takes."""
    start = f"{start:{column}}" if len(start) < column - 1 else f"{start}  "
    for line in textwrap.wrap(doc, _WIDTH - max(column, len(start)) - len(mark)):
        yield f"{start}{mark}{line}"
        start = " " * max(column, len(start))


def _group(kind: type, name: str) -> type | None:
    hint = get_type_hints(kind)[name]
    return hint if isinstance(hint, type) and is_dataclass(hint) else None


def _chosen(kind: type, name: str) -> bool:
    """Whether a group of settings comes in files to choose from."""
    hint = _group(kind, name)
    return name in GROUPS and hint is not None and issubclass(GROUPS[name][0], hint)


def _yaml_lines(settings: Any, indent: int = 0) -> Iterator[str]:
    """Yield the lines of a file of `conf/`: single settings first, then groups that have no files of their own."""
    kind, groups = type(settings), list[tuple[Field[Any], Declaration]]()
    for member, declared in declarations(kind):
        if _group(kind, member.name) is not None or declared.keys:
            groups.append((member, declared))
        elif declared.example:
            yield from _commented(f"# {member.name}: {declared.example}", declared.doc, _COLUMN)
        else:
            yield from _commented(
                f"{' ' * indent}{member.name}: {_text(getattr(settings, member.name))}", declared.doc, _COLUMN
            )
    for member, declared in groups:
        if _chosen(kind, member.name):
            continue
        yield ""
        yield from _commented(f"{member.name}:", declared.doc, _COLUMN)
        if not declared.keys:
            yield from _yaml_lines(getattr(settings, member.name), indent + 2)
        for key, doc in (declared.keys or {}).items():
            yield from _commented(f"  {key}: null", doc, _COLUMN)


def _help_lines(settings: Any, where: str = "") -> Iterator[str]:
    """Yield the settings of a help text, each with what it means."""
    kind = type(settings)
    for member, declared in declarations(kind):
        inner, path = _group(kind, member.name), f"{where}{member.name}"
        if inner is None and not declared.keys and not (member.name == "name" and where.strip(".") in GROUPS):
            shown = (
                f"+{path}={declared.example}" if declared.example else f"{path}={_text(getattr(settings, member.name))}"
            ).replace(", ", ",")  # a shell parts words at spaces, and zsh takes brackets for a pattern of file names
            shown = shlex.quote(shown) if "[" in shown else shown
            yield from _commented(f"  {shown}", declared.doc, _HELP_COLUMN, "")
    for member, declared in declarations(kind):
        path = f"{where}{member.name}"
        if _group(kind, member.name) is not None:
            yield ""
            yield from textwrap.wrap(f"{_title(kind, member.name, path)}: {declared.doc}", _WIDTH)
            if _chosen(kind, member.name) and member.name in _FOLDERS:
                yield from _recipe_lines()
            kinds = (declared.by_name or {}).values()
            for inner in map(_defaults, kinds) if kinds else (getattr(settings, member.name),):
                yield from _help_lines(inner, f"{path}.")
        elif declared.keys:
            yield ""
            yield f"{path}: {declared.doc}"
            for key, doc in declared.keys.items() if path != "soft" else ():
                yield from _commented(f"  {path}.{key}=null", doc, _HELP_COLUMN, "")


def _recipe_lines() -> Iterator[str]:
    """Yield each recipe with when to use it."""
    for head in recipe_heads():
        yield from _commented(f"  recipe={head.name}", head.use, _HELP_COLUMN, "")
    yield ""


def recipe_page(text: str) -> str:
    """Return docs/recipes.md with its table of recipes written anew; the rest of `text` stays."""
    lines = text.splitlines()
    begin = lines.index(_RECIPE_TABLE[0])
    end = next(i for i, line in enumerate([*lines, ""]) if i > begin and not line.startswith("|"))
    rows = [f"| `{head.name}` | {head.source} | {head.use} |" for head in recipe_heads()]
    return "\n".join([*lines[:begin], *_RECIPE_TABLE, *rows, *lines[end:]]) + "\n"


def _title(kind: type, name: str, path: str) -> str:
    """Return what a group of settings is headed with in a help text: the word that chooses among its files."""
    if not _chosen(kind, name):
        return path
    choices = ", ".join(file.stem for file in _files(name))
    return f"{path}={choices}" if name not in _FOLDERS else f"{path}, set by {_FOLDERS[name]}={choices}"


def _files(group: str) -> list[Path]:
    return sorted((resource_dir("conf") / _FOLDERS.get(group, group)).glob("*.yaml"))


def command_file(name: str, text: str) -> str:
    """Return the file of a command in `conf/` with its settings written anew; the rest of `text` stays."""
    lines = text.splitlines()
    begin, hydra = lines.index("  - _self_") + 1, lines.index("hydra:")
    settings = "\n".join(_yaml_lines(_defaults(COMMANDS[name]))).strip("\n").splitlines()
    rest = lines[hydra:]
    first = next(i for i, line in enumerate(rest) if line.strip() in ("Common settings", _TITLE))
    last = next(i for i, line in enumerate(rest) if i > first and line.strip() == "")
    last = next((i for i, line in enumerate(rest) if i > first and line.startswith("      All settings")), last)
    flag = [*_commented(f"  {FLAG}", FLAG_HELP, _HELP_COLUMN, "")]
    shown = [f"{' ' * 6}{line}".rstrip() for line in (_TITLE, *flag, *_help_lines(_composed(name, text)), "")]
    return "\n".join([*lines[:begin], "", *settings, "", *rest[:first], *shown, *rest[last:]]) + "\n"


def group_file(name: str, text: str) -> str:
    """Return a file of a group in `conf/` with its comments written anew; its head and its values stay."""
    head, values = [line for line in text.splitlines() if line.startswith("#")], yaml.safe_load(text)
    # Classes may have settings of one name that mean something else in each: that of the class of the file counts.
    kinds = sorted(GROUPS[name], key=lambda kind: getattr(_defaults(kind), "name", None) == values.get("name"))
    return "\n".join([*head, *_group_lines(kinds, values)]) + "\n"


def _group_lines(kinds: Iterable[type], values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield values of a file of a group, each with its comment; groups within it have theirs below them."""
    docs = {member.name: (kind, declared.doc) for kind in kinds for member, declared in declarations(kind)}
    for key, value in values.items():
        kind, doc = docs[key]
        inner = _group(kind, key)
        start = f"{indent}{key}:" if inner is not None else f"{indent}{key}: {_text(value)}"
        yield from _commented(start, doc, _COLUMN)
        if inner is not None:
            yield from _group_lines([inner], value, f"{indent}  ")


def reference() -> str:
    """Return docs/settings.md: every setting of every command, with its type, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Written by `python -m nas.commands.settings_text` from the declarations in the code.",
        "",
    ]
    shared = [f"[{name}](#{name})" for name in GROUPS]
    lines += [f"Groups that several commands have: {', '.join(shared)}.", ""]
    for name, kind in COMMANDS.items():
        lines += [f"## {_called(name)}{' compare' * (name == 'spaces')}", "", *_TABLE, *_rows(_defaults(kind)), ""]
    for name, kinds in GROUPS.items():
        files = ", ".join(f"`{_FOLDERS.get(name, name)}={path.stem}`" for path in _files(name))
        rows = dict.fromkeys(row for kind in kinds for row in _rows(_defaults(kind), f"{name}."))
        lines += [f"## {name}", "", f"{files}.", "", *_TABLE, *rows, ""]
    return "\n".join(lines)


def _called(name: str) -> str:
    """Return how a command is started: older ones have a module of their own too."""
    package = Path(registry.__file__).parent.parent
    starts = (package / f"{name}.py", package / name / "__main__.py")
    return f"python -m nas.{name}" if any(path.is_file() for path in starts) else f"nas {name}"


_RECIPE_TABLE = ("| recipe | source | when to use |", "| --- | --- | --- |")
_TABLE = ("| setting | type | default | what it means |", "| --- | --- | --- | --- |")


def _rows(settings: Any, where: str = "") -> Iterator[str]:
    kind = type(settings)
    for member, declared in declarations(kind):
        inner, path = _group(kind, member.name), f"{where}{member.name}"
        doc = declared.doc.replace("|", "\\|")
        if _chosen(kind, member.name):
            yield f"| [`{path}`](#{member.name}) | group | | {doc} |"
        elif inner is not None:
            yield f"| `{path}` | group | | {doc} |"
            yield from _rows(getattr(settings, member.name), f"{path}.")
        else:
            kept = "; may change when a run is gone on with" if declared.may_change else ""
            words, value = _type_text(get_type_hints(kind)[member.name]), _text(getattr(settings, member.name))
            yield f"| `{path}` | {words} | `{value}` | {doc}{kept} |"
            for key, what in (declared.keys or {}).items() if member.name != "soft" else ():
                yield f"| `{path}.{key}` | number, pair | `null` | {what} |"


_TYPES: Mapping[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    collections.abc.Mapping: "mapping",
}


def _type_text(hint: Any) -> str:
    """Return a type in words; those of a list are in brackets."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_type_text, inner))
    if origin is Literal:
        return ", ".join(inner)
    if origin in (list, collections.abc.Sequence):
        return f"[{_type_text(inner[0])}, ...]"
    return _TYPES[origin or hint]


def written() -> dict[Path, str]:
    """Return every file that is made from the declarations, with what is to be in it, by its path."""
    conf = resource_dir("conf")
    files = {conf / f"{name}.yaml": command_file(name, (conf / f"{name}.yaml").read_text()) for name in COMMANDS}
    for group in GROUPS:
        files |= {path: group_file(group, path.read_text()) for path in _files(group)}
    docs = conf.parent / "docs"
    recipes = docs / "recipes.md"
    return files | {docs / "settings.md": reference(), recipes: recipe_page(recipes.read_text())}


if __name__ == "__main__":
    for file, text in written().items():
        file.write_text(text)
