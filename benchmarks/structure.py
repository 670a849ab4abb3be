"""`python -m benchmarks.structure`: how large, how tangled and how documented the code is, in figures.

Complexity is McCabe's, counted by ruff. Rooms are the packages and modules that
tests/test_layers.py names; arrows are imports from one room into another.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np

from tests.test_layers import LAYERS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nas"
MOST_COMPLEX = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


def main() -> None:
    """Print the figures."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    lines = [len(path.read_text().splitlines()) for path in trees]
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, Function)]
    lengths = [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]
    print(f"files         {len(trees):5d}  lines: median {_quantiles(lines)}")
    print(f"functions     {len(functions):5d}  lines: median {_quantiles(lengths)}")
    complex_ones = _complex()
    print(f"CC over {MOST_COMPLEX}    {complex_ones:5d}  {complex_ones / len(functions):.2%} of the functions")
    public = [node for tree in trees.values() for node in _public(tree)]
    documented = sum(ast.get_docstring(node) is not None for node in public)
    print(f"public        {len(public):5d}  with a docstring: {documented / len(public):.2%}")
    typed = sum(map(_typed, functions))
    print(f"types         {len(functions):5d}  functions, wholly typed: {typed / len(functions):.2%}")
    arrows = _arrows(trees)
    rooms = {room for arrow in arrows for room in arrow}
    print(f"rooms         {len(rooms):5d}  arrows between them: {len(arrows)}, circles: {_circle(arrows) or 'none'}")


def _quantiles(values: list[int]) -> str:
    return f"{np.median(values):.0f}, 90 % {np.quantile(values, 0.9):.0f}, most {max(values)}"


def _complex() -> int:
    """Return how many functions are more complex than `MOST_COMPLEX`."""
    settings = f"lint.mccabe.max-complexity={MOST_COMPLEX}"
    command = [sys.executable, "-m", "ruff", "check", str(PACKAGE), "--isolated", "--select", "C901"]
    run = subprocess.run(
        [*command, "--config", settings, "--output-format", "json"], capture_output=True, text=True, check=False
    )
    return len(json.loads(run.stdout))


def _public(tree: ast.Module) -> Iterator[Documented]:
    """Yield a module and what is public in it: classes, functions, and methods of public classes."""
    yield tree
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    inner for inner in node.body if isinstance(inner, Function) and not inner.name.startswith("_")
                )


def _typed(node: Function) -> bool:
    taken = node.args
    parameters = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, *filter(None, (taken.vararg, taken.kwarg))]
    own = parameters[1:] if parameters and parameters[0].arg in ("self", "cls") else parameters
    return node.returns is not None and all(parameter.annotation is not None for parameter in own)


def _arrows(trees: dict[Path, ast.Module]) -> set[tuple[str, str]]:
    """Return which room imports from which."""
    arrows = set()
    for path, tree in trees.items():
        here = _room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nas."):
                there = _room(node.module or "")
                arrows |= {(here, there)} if here != there else set()
    return arrows


def _room(module: str) -> str:
    """Return the room of a module: the longest name in the layers that it begins with."""
    rooms = [room for layer in LAYERS for room in layer if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=len, default="nas")


def _circle(arrows: set[tuple[str, str]]) -> str:
    """Return a circle of rooms that import from each other; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for start, end in arrows:
        graph.setdefault(start, set()).add(end)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


if __name__ == "__main__":
    main()
