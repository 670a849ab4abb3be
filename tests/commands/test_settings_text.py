"""Settings are declared once: files, help texts and documentation say what the declarations say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from nas.commands.settings_text import COMMANDS, GROUPS, written
from nas.resources import resource_dir
from nas.settings import declarations

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = written()


def _kinds(kind: type) -> Iterator[type]:
    """Yield a dataclass of settings and those inside it."""
    yield kind
    for one, declared in declarations(kind):
        hint = get_type_hints(kind)[one.name]
        for inner in (declared.by_name or {"": hint}).values():
            if isinstance(inner, type) and is_dataclass(inner):
                yield from _kinds(inner)


KINDS: set[type[Any]] = {inner for kind in COMMANDS.values() for inner in _kinds(kind)}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_the_declarations_say(path: Path) -> None:
    assert path.read_text() == WRITTEN[path], "python -m nas.commands.settings_text writes it anew"


@pytest.mark.parametrize("kind", sorted(KINDS, key=str), ids=str)
def test_every_setting_is_declared_with_what_it_means(kind: type) -> None:
    documented = {one.name for one, declared in declarations(kind) if len(declared.doc) > 3}
    assert documented == {one.name for one in fields(kind)}


def _leaves(values: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {path: values}
    inner = [_leaves(value, f"{path}.{name}".strip(".")) for name, value in values.items()]
    return {name: value for leaves in inner for name, value in leaves.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_file_holds_is_what_the_declarations_allow(name: str) -> None:
    """And nothing that they do not know; the check of the settings themselves would refuse it."""
    stated = yaml.safe_load((resource_dir("conf") / f"{name}.yaml").read_text())
    del stated["defaults"], stated["hydra"]
    examples = {one.name for one, declared in declarations(COMMANDS[name]) if declared.example}
    assert {*stated} | {*GROUPS} | examples == {one.name for one in fields(COMMANDS[name])} | {*GROUPS}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_setting(name: str) -> None:
    config = yaml.safe_load((resource_dir("conf") / f"{name}.yaml").read_text())
    text, _ = config["hydra"]["help"]["template"], config.pop("defaults")
    del config["hydra"]
    named = re.findall(r" '?\+?([a-z][\w.]*)=", text)  # lists are quoted
    missing = [path for path in _leaves(config) if not path.startswith("soft.") and path not in named]
    assert not missing


# What a function takes beside settings though a setting has its name: it is another thing.
_OTHER_THINGS = {
    ("run_search", "workers"),  # 0 of them evaluate in this process, which the command does not
    ("_pool", "workers"),
    ("run_search", "executor"),  # may also be an object that runs, which no setting is
    ("_pool", "executor"),
    ("run_search", "resume"),  # whether `run_dir` holds a study to go on with, where the setting is its folder
}
_PLAIN = {"int", "float", "str", "bool", "Any", "Mapping", "Sequence", "list", "Path", "None", "object"}


def _functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for path in sorted((ROOT / "nas").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_no_function_takes_a_setting_beside_the_settings() -> None:
    """One object travels: what takes it reads from it. What was made from a setting, such as a space, is no setting."""
    config = COMMANDS["search"]
    carriers = {"Settings", "SearchSettings", *(kind.__name__ for kind in COMMANDS.values())}
    names = {one.name for kind in _kinds(config) for one in fields(kind)}
    beside = []
    for place, node in _functions():
        taken = {
            one.arg: {word.id for word in ast.walk(one.annotation) if isinstance(word, ast.Name)}
            for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if one.annotation is not None
        }
        if any(types & carriers for types in taken.values()):
            plain = {name for name, types in taken.items() if types <= _PLAIN}
            beside += [
                f"{place} {node.name}: {name}"
                for name in sorted(plain & names)
                if (node.name, name) not in _OTHER_THINGS
            ]
    assert not beside
