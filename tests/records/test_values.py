"""Names, numbers and texts as MLflow takes them; MLflow's own checks are the outside source."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import validation as untyped

from nas.records.values import LEFT_OUT_TAG, milliseconds, mlflow_name, mlflow_text, values_of

VALIDATION: Any = untyped
AWKWARD = [
    "acc@5",
    "f1 (macro)",
    "",
    ".",
    "..",
    "/a",
    "a//b",
    "a/../b",
    "a/",
    "Größe",
    "x" * 400,
    "a\nb",
    "\ud800",
    "a\0",
]


@pytest.mark.parametrize("name", AWKWARD)
def test_mlflow_takes_every_name(name: str) -> None:
    VALIDATION._validate_metric(mlflow_name(name), 1.0, 0, 0)
    VALIDATION._validate_tag(f"name.{mlflow_name(name)}", mlflow_text(name))


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_mlflow_takes_whatever_a_name_and_a_text_hold(text: str) -> None:
    VALIDATION._validate_param(mlflow_name(text), mlflow_text(text, 500))
    assert mlflow_name(mlflow_name(text)) == mlflow_name(text)
    mlflow_text(text).encode()


@pytest.mark.parametrize("name", ["val_accuracy", "seconds/evaluation", "stages.0.kernel", "a b:c-d", "Größe"])
def test_a_name_that_mlflow_takes_stays(name: str) -> None:
    assert mlflow_name(name) == name


def test_different_names_stay_different() -> None:
    names = ["recall@5", "recall#5", "recall_5", "recall%5", "x" * 300, "x" * 301]
    assert len({mlflow_name(name) for name in names}) == len(names)


def test_what_cannot_be_kept_is_left_out_and_named() -> None:
    values = values_of({}, {"a": math.nan, "b": -math.inf, "c": 10**400, "d": 2, "acc@5": 0.5})
    assert {one.key: one.value for one in values.metrics} == {"d": 2.0, mlflow_name("acc@5"): 0.5}
    assert values.tags[LEFT_OUT_TAG].startswith("a is nan; b is -inf; c is 1000")
    assert values.tags[f"name.{mlflow_name('acc@5')}"] == "acc@5"


def test_a_row_without_an_epoch_has_its_place() -> None:
    history = (
        {"loss": 3.0},
        {"loss": 2.0, "epoch": 7.0},
        {"loss": 1.0, "epoch": math.nan},
        {"loss": 0.5, "epoch": 1e300},
    )
    values = values_of({}, {}, history)
    assert [(one.key, one.value, one.step) for one in values.metrics] == [
        ("epoch/loss", 3.0, 1),
        ("epoch/loss", 2.0, 7),
        ("epoch/loss", 1.0, 3),
        ("epoch/loss", 0.5, 4),
    ]


@pytest.mark.parametrize(("seconds", "expected"), [(1.5, 1500), (math.nan, 0), (math.inf, 0), (-1.0, 0), (1e300, 0)])
def test_times(seconds: float, expected: int) -> None:
    assert milliseconds(seconds) == expected
