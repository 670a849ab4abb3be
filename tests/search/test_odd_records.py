"""Records from a stranger: whatever stands in them, there is a study or one line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.errors import NasError
from nas.search.optuna_file import write_optuna
from tests.search.conftest import SMALL

_ODD = st.one_of(
    st.sampled_from([None, True, 5, -1, 2**70, 1e308, -0.5, "", "x", "\ud800", [], [1, [2]], {}, {"a": None}]),
    st.sampled_from([float("nan"), float("inf")]),
)


def _paths(values: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where values stand in JSON."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        yield (*before, key)
        yield from _paths(value, (*before, key))


def _put(values: Any, path: tuple[Any, ...], odd: Any) -> None:
    for key in path[:-1]:
        values = values[key]
    values[path[-1]] = odd


@cache
def _records() -> str:
    """Return what study.json and the lines of trials.jsonl hold, as logs without checksums have them."""
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        nas.run_search(
            nas.SearchSpace.from_dict(SMALL),
            lambda arch, budget, seed: float(nas.cost_of(arch).params),
            trials=12,
            pruner="asha",
            budget=nas.Budget(epochs=3),
            constraints={"params": 20_000},
            run_dir=run,
            notes={"config": {"workers": 2, "search": {}}, "data": {"name": "none"}},
        )
        lines = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
        trials = [{name: value for name, value in line.items() if name != "check"} for line in lines]
        return json.dumps([json.loads((run / "study.json").read_text()), trials])


def test_the_records_are_read_as_they_are() -> None:
    assert _read(*json.loads(_records())) == ""


@settings(max_examples=60, deadline=None)
@given(line=st.integers(0, 6), place=st.integers(0, 10_000), odd=_ODD)
def test_an_odd_value_anywhere_is_taken_or_refused(line: int, place: int, odd: Any) -> None:
    study, trials = json.loads(_records())
    where = [study, *trials][line]
    paths = [*_paths(where)]
    _put(where, paths[place % len(paths)], odd)
    assert "\n" not in _read(study, trials)


def _read(study: Any, trials: Any) -> str:
    """Do with a study what commands do; return what is said against it."""
    with TemporaryDirectory() as folder:
        run = Path(folder)
        (run / "study.json").write_text(json.dumps(study))
        (run / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in trials))
        try:
            found = nas.load_study(run)
            found.best(3)
            assert (found.winner is None) == (not found.best(1))
            write_optuna(found, run / "study.log")
        except NasError as error:
            return str(error)
    return ""
