"""The same seed gives the results that were written down before (`python -m tests.same_results` writes them anew)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.same_results.studies import BY_COMMAND, IN_THIS_PROCESS, STUDIES, TRAINED, file_of


def kept(name: str) -> Any:
    return json.loads(file_of(name).read_text())


def as_kept(found: Any) -> Any:
    """As it is when it was written and read again."""
    return json.loads(json.dumps(found))


@pytest.mark.parametrize("name", IN_THIS_PROCESS)
def test_in_this_process(name: str, tmp_path: Path) -> None:
    assert as_kept(STUDIES[name](tmp_path)) == kept(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_COMMAND)
def test_by_command(name: str, tmp_path: Path) -> None:
    assert as_kept(STUDIES[name](tmp_path)) == kept(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_what_is_trained(name: str, tmp_path: Path) -> None:
    """Sums of floats go in another order on another machine: losses may be off a little."""
    found, before = as_kept(STUDIES[name](tmp_path)), kept(name)
    scores = [[trial.pop("scores") for trial in trials] for trials in (found, before)]
    assert found == before
    assert scores[0] == [pytest.approx(was, abs=0.03) for was in scores[1]]
