"""Equality of values that tells true from 1, and that nothing else in the package decides it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.equality import same_value, value_key

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, 1.0, 0.5]), st.sampled_from("ab")
)
OWN = Path(__file__).resolve().parent.parent / "nas"


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [(True, 1, False), (0, False, False), (True, 1.0, False), (1, 1.0, True), (True, True, True), ("1", 1, False)],
)
def test_truth_values_are_no_numbers(first: object, second: object, same: bool) -> None:
    assert same_value(first, second) is same
    assert (value_key(first) == value_key(second)) is same


@given(SCALARS, SCALARS)
def test_it_is_equality_but_for_truth_values(first: object, second: object) -> None:
    assert same_value(first, second) == (first == second and (type(first) is bool) == (type(second) is bool))
    assert len({value_key(first), value_key(second)}) == (1 if same_value(first, second) else 2)


def test_values_that_have_no_hash_are_compared_too() -> None:
    assert same_value([1], [1])
    assert not same_value([1], 1)


def test_one_function_decides_it() -> None:
    again = re.compile(r"isinstance\([\w.\[\]]+, bool\) (==|!=|is|is not) isinstance")
    others = [path.name for path in OWN.rglob("*.py") if path.name != "equality.py" and again.search(path.read_text())]
    assert others == []
