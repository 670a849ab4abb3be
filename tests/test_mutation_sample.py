"""The sample of mutants, and what is said of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.mutation import fresh_caches
from benchmarks.mutation.__main__ import report
from benchmarks.mutation.covering import Covering
from benchmarks.mutation.places import PACKAGES, Mutant, files_of, mutants, sample
from benchmarks.mutation.run import Result, changed_lines


def _mutant(package: str, line: int, operator: str = "core/AddNot") -> Mutant:
    return Mutant(package, f"nas/{package}/a.py", line, 0, operator, 0)


def test_a_sample_takes_places_of_each_package_by_its_size() -> None:
    # 30 places with ten mutants each against 70 with one: places count, not mutants.
    every = {
        "cost": [_mutant("cost", line, f"core/{number}") for line in range(30) for number in range(10)],
        "space": [_mutant("space", line) for line in range(70)],
    }
    drawn = sample(every, 20, seed=0)
    assert Counter(mutant.package for mutant in drawn) == {"cost": 6, "space": 14}
    assert len({(mutant.file, mutant.line) for mutant in drawn}) == 20
    assert drawn == sample(every, 20, seed=0)
    assert drawn != sample(every, 20, seed=1)


def test_mutants_are_found_where_code_runs(tmp_path: Path) -> None:
    folder = tmp_path / "nas" / "cost"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    A = 1\n"
        "@lru_cache(maxsize=8)\ndef f(x: int | None, y: bool = True) -> int | None:\n    return x if y else 2\n"
        "def g(\n    x: int,\n    *,\n    y: int,\n) -> None: ...\n"
    )
    found = mutants(tmp_path, "cost")
    assert len({mutant.name for mutant in found}) == len(found)
    lines = Counter((mutant.line, mutant.operator) for mutant in found)
    assert (5, "core/ReplaceTrueWithFalse") in lines
    # Not the annotations, not what is for type checkers only; of the cache that it is there, but not its size.
    assert {line for line, _ in lines} == {4, 5, 6}
    assert [operator for line, operator in lines if line == 4] == ["core/RemoveDecorator"]
    assert not any("BinaryOperator" in operator for _, operator in lines)


def test_caches_are_emptied_before_each_test() -> None:
    """Those of functions and of methods, also behind a module that was loaded later."""
    import nas.network.registry
    from nas.cost import cost_of

    arch = nas.load_space("reference/squeezenet1_0").decode({})
    cost_of(arch)
    filled = [cache for cache in fresh_caches.caches() if cache.cache_info().currsize]
    assert nas.network.registry.block_graph in filled
    assert len(filled) > 5
    fresh_caches.pytest_runtest_setup(None)  # type: ignore[arg-type]  # it needs none
    assert not any(cache.cache_info().currsize for cache in fresh_caches.caches())


def test_tests_of_the_own_package_come_first_then_quick_ones() -> None:
    tests = {"tests/cost/t.py::slow": 5.0, "tests/cost/t.py::quick": 1.0, "tests/scaling/t.py::quick": 0.1, "x": 9.0}
    covering = Covering({("nas/cost/a.py", 3): set(tests), ("nas/cost/a.py", 4): set()}, tests, ["x"])
    mutant = _mutant("cost", 3)
    assert covering.tests(mutant, 6.2) == [
        "tests/cost/t.py::quick",
        "tests/cost/t.py::slow",
        "tests/scaling/t.py::quick",
    ]
    assert covering.tests(mutant, 0.5) == ["tests/cost/t.py::quick"]  # one at least
    # Run when the module is imported: any test may need it.
    assert covering.tests(_mutant("cost", 4), 99) == [
        "tests/cost/t.py::quick",
        "tests/cost/t.py::slow",
        "tests/scaling/t.py::quick",
        "x",
    ]
    # Run by none of them here, so by the commands that one of them starts.
    assert covering.tests(_mutant("cost", 5), 99) == ["x"]


def test_a_change_is_told_by_its_lines() -> None:
    assert changed_lines("a\n  b = 1\nc\n", "a\n  b = 2\nc\n") == "- b = 1\n+ b = 2"
    assert changed_lines("@d\nf\n", "f\n") == "- @d"
    assert changed_lines("a\n\n@d\nf\n", "a\nf\n") == "- @d"


def test_equivalent_mutants_do_not_count() -> None:
    def result(name: str, caught: bool) -> Result:
        return Result(name, "cost", f"a.py\n{name}", caught, 1, 0.0)

    results = [result(str(number), caught=True) for number in range(18)] + [
        result("alive", False),
        result("same", False),
    ]
    table = report({"cost": [_mutant("cost", line) for line in range(50)]}, results, {"a.py\nsame"})
    # Clopper-Pearson for 18 of 19, by R's binom.test(18, 19).
    assert "| cost | 50 | 20 | 1 | 18 | 94.7% (74.0% to 99.9%) |" in table
    assert "alive" in table
    assert "same" not in table


def test_every_package_has_its_files_and_a_folder_of_tests() -> None:
    root = Path(__file__).parent.parent
    for package, paths in PACKAGES.items():
        assert (root / "tests" / package).is_dir(), package
        assert all((root / path).exists() for path in paths), paths
        assert files_of(root, package)
