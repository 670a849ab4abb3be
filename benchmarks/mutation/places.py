"""Which small changes of the code there are, and a sample of them."""

from __future__ import annotations

import ast
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cosmic_ray.commands.init import init
from cosmic_ray.work_db import WorkDB, use_db

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "space": ("nas/space", "nas/equality.py"),
    "network": ("nas/network",),
    "cost": ("nas/cost",),
    "search": (
        "nas/search",
        "nas/pareto.py",
        "nas/commands/command_line.py",
        "nas/commands/hydra_main.py",
        "nas/commands/search.py",
        "nas/evaluators/settings.py",
    ),
    "workers": ("nas/workers",),
    "scaling": tuple(
        f"nas/scaling/{name}.py"
        for name in (
            "laws/selection",
            "laws/least_squares",
            "laws/forms",
            "study/isoflop",
            "laws/law",
            "laws/observations",
            "laws/planner",
            "laws/profile_interval",
            "study/sequential",
            "laws/response_surface",
        )
    ),
}
"""The core by package: folders and files; of `scaling` those of its statistics. `tests/` has a folder for each."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small change of one file."""

    package: str
    """A key of `PACKAGES`."""
    file: str
    """From the root of the repository."""
    line: int
    column: int
    operator: str
    """Of Cosmic Ray."""
    occurrence: int
    """Which of the places where the operator can change this file."""

    @property
    def name(self) -> str:
        """What tells a mutant from all others of the same commit: a number is changed both up and down."""
        operator = self.operator.removeprefix("core/")
        return f"{self.file}:{self.line}:{self.column}:{operator}:{self.occurrence}"


def files_of(root: Path, package: str) -> list[Path]:
    """Return the files of a package."""
    paths = [root / path for path in PACKAGES[package]]
    return sorted(file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path]) if file.exists())


def mutants(root: Path, package: str) -> list[Mutant]:
    """Return all mutants of a package in a fixed order, those left out that cannot change what the code does.

    Annotations are not worked out (`from __future__ import annotations`), or give the same types with any operator in
    the place of `|` or an error at once; and what stands under `if TYPE_CHECKING` never runs.
    """
    files = files_of(root, package)
    with TemporaryDirectory() as folder, use_db(str(Path(folder) / "mutants.sqlite"), WorkDB.Mode.create) as database:
        init(files, database, {})
        changes = [item.mutations[0] for item in database.work_items]
    idle = {file: _idle_places(file) for file in files}
    every = [
        Mutant(
            package,
            str(change.module_path.relative_to(root)),
            line=change.start_pos[0],
            column=change.start_pos[1],
            operator=change.operator_name,
            occurrence=change.occurrence,
        )
        for change in changes
        if not any(start <= change.start_pos < end for start, end in idle[change.module_path])
    ]
    return sorted(every, key=lambda mutant: (mutant.file, mutant.line, mutant.column, mutant.operator))


Span = tuple[tuple[int, int], tuple[int, int]]


def _idle_places(file: Path) -> list[Span]:
    """Return where annotations and imports for type checkers begin and end, what only decides on memory or speed (the
    slots of dataclasses, the sizes of caches), and the star before keywords, which looks like an operator."""
    spans: list[Span] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            spans.append(_span(node))
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            spans.append(_span(node.returns))
        if isinstance(node, ast.arguments) and node.kwonlyargs and node.vararg is None:
            spans.append(_before_keywords(node))
        if isinstance(node, ast.keyword) and node.arg in ("slots", "maxsize"):
            spans.append(_span(node.value))
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            spans.append(_span(node.annotation))
    return spans


def _before_keywords(arguments: ast.arguments) -> Span:
    """Return the place between the last argument that may be positional, with its default, and the first keyword."""
    positional: list[ast.expr | ast.arg] = [*arguments.posonlyargs, *arguments.args, *arguments.defaults]
    before = [_span(part)[1] for part in positional]
    first = arguments.kwonlyargs[0]
    return max(before, default=(first.lineno - 1, 0)), (first.lineno, first.col_offset)


def _span(node: ast.expr | ast.stmt | ast.arg) -> Span:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def sample(every: Mapping[str, Sequence[Mutant]], count: int, seed: int) -> list[Mutant]:
    """Draw places at random, as many from each package as it has of them, and one mutant of each place.

    A place is a line and column: `a < b` can be changed in ten ways and `not a` in one, and both count once.

    Args:
        every: all mutants by package.
        count: mutants to draw.
        seed: of the draw.
    """
    places = {package: _by_place(found) for package, found in every.items()}
    shares = _shares({package: len(found) for package, found in places.items()}, count)
    rng = random.Random(seed)
    return [
        rng.choice(places[package][place])
        for package, number in shares.items()
        for place in rng.sample(sorted(places[package]), number)
    ]


def _by_place(every: Iterable[Mutant]) -> dict[tuple[str, int, int], list[Mutant]]:
    places: dict[tuple[str, int, int], list[Mutant]] = defaultdict(list)
    for mutant in every:
        places[mutant.file, mutant.line, mutant.column].append(mutant)
    return places


def _shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Share out a count by size; what is left by rounding down goes to the largest remainders."""
    exact = {name: count * size / sum(sizes.values()) for name, size in sizes.items()}
    shares = {name: min(math.floor(share), sizes[name]) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: math.floor(exact[name]) - exact[name])[: count - sum(shares.values())]:
        shares[name] = min(shares[name] + 1, sizes[name])
    return shares
