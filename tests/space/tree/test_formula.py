"""Formulas: every operation against Python's own, and what is refused, with the words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nas.errors import NasError
from nas.space.tree.formula import formula, is_formula


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", 9),
        ("a - b", 5),
        ("a * b", 14),
        ("a / b", 3.5),
        ("a // b", 3),
        ("a % b", 1),
        ("-a", -7),
        ("(a + 1) / b", 4),  # a whole number, though division gives 4.0
        ("a == b", False),
        ("a != b", True),
        ("a < b", False),
        ("a <= a", True),
        ("a > b", True),
        ("a >= b", True),
        ("a > b and b > a", False),
        ("a > b and b < a", True),
        ("b > a or a > b", True),
        ("b > a or a < b", False),
        ("not a > b", False),
        ("3 if a > b else 4", 3),
        ("3 if a < b else 4", 4),
        ("round(2.567, 2)", 2.57),
        ("round(2.5)", 2),
        ("ceil(a / b)", 4),
        ("floor(a / b)", 3),
        ("int(a / b)", 3),
        ("min(a, b, 1)", 1),
        ("max(a, b, 9)", 9),
        ("round_to(a * b, 8)", 16),
        ("kind == 'conv'", True),
        ("none == None", True),
        ("1000000000000000", 10**15),
    ],
)
def test_a_formula_is_worked_out(text: str, expected: Any) -> None:
    found = formula(f"= {text}").value({"a": 7, "b": 2, "kind": "conv", "none": None})
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a ** 2", r"not 'a \*\* 2'"),
        ("a @ b", "not 'a @ b'"),
        ("~a", "not '~a'"),
        ("+a", r"not '\+a'"),
        ("[a]", r"not '\[a\]'"),
        ("a.b", "not 'a.b'"),
        ("lambda: 1", "not 'lambda: 1'"),
        ("1j", "not '1j'"),
        ("a < b < 3", "compares two values with .*, not 'a < b < 3'"),
        ("a in b", "compares two values with .*, not 'a in b'"),
        ("sqrt(a)", "no function 'sqrt'"),
        ("ciel(a)", "Did you mean 'ceil'"),
        ("a.bit_length()", "no function 'a.bit_length'"),
        ("(lambda: 1)()", "no function"),
        ("max()", r"max takes values in order, as in max\(x\)"),
        ("round(a, ndigits=1)", "round takes values in order"),
        ("a +", "is not an expression"),
        ("max(a", "a comma ends a value, so put quotes"),
        ("1e16", "a value over 1e"),
    ],
)
def test_what_is_no_formula_is_refused(text: str, problem: str) -> None:
    with pytest.raises(NasError, match=problem):
        formula(f"= {text}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a / zero", "formula 'a / zero' with a=7, zero=0: division by zero"),
        ("a // zero", "division"),
        ("a + true", "True is not a number"),
        ("a * word", "'ab' is not a number"),
        ("-true", "True is not a number"),
        ("max(a, word)", "'ab' is not a number"),
        ("max(true, 1)", "True is not a number"),
        ("none * 2", "None is not a number"),
        ("round(a, 16)", "up to 15 digits, not 16"),
        ("round(a, 0.5)", "up to 15 digits"),
        ("a * 1e15", r"a value over 1e\+15"),
        ("0 - a * 1e15", r"a value over 1e\+15"),
    ],
)
def test_what_cannot_be_worked_out_says_the_formula_and_its_values(text: str, problem: str) -> None:
    read = formula(f"= {text}")
    with pytest.raises(NasError, match=problem):
        read.value({"a": 7, "zero": 0, "true": True, "word": "ab", "none": None})


def test_fifteen_digits_can_be_rounded_to() -> None:
    assert formula("= round(x, 15)").value({"x": math.pi}) == round(math.pi, 15)


def test_a_formula_may_have_300_characters() -> None:
    assert formula("= 1" + " + 1" * 74 + "+10").value({}) == 85  # 1 + 74 x 4 + 3 = 300
    with pytest.raises(NasError, match="a formula may have 300 characters, but this one has 301"):
        formula("= 1" + " + 1" * 74 + "+100")


@pytest.mark.parametrize(("value", "is_one"), [("= 1", True), ("  = 1", True), ("1 = 1", False), (1, False)])
def test_a_text_that_begins_with_the_mark_is_one(value: object, is_one: bool) -> None:
    assert is_formula(value) == is_one
