"""Names of classes are names of folders: they may hold what ends a line, or controls a terminal."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nas.commands.evaluate import _print_answered, _print_classified
from nas.console import say_error
from nas.errors import in_a_line
from nas.training.scores import scores_of
from nas.training.scores_of_answers import scores_of_answers
from nas.training.tasks.registry import TASKS

NAMES = ["\x1b[2Jcleared", "two\nlines\tand a tab", "ü" * 300]
LABELS = np.array([0, 1, 2, 0])


def test_one_line_says_what_is_in_a_name() -> None:
    assert in_a_line("plain ü |<b>") == "plain ü |<b>"
    assert in_a_line(NAMES[0]) == r"\x1b[2Jcleared"
    assert in_a_line(NAMES[1]) == r"two\nlines\tand a tab"
    assert "240 characters left out" in in_a_line(NAMES[2])


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_an_evaluation_prints_a_line_a_class(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = np.eye(3)[(LABELS + 1) % 3]
    if task == "classification":
        _print_classified(scores_of(wrong, LABELS, NAMES), "")
    else:
        _print_answered(scores_of_answers(TASKS[task], wrong, np.eye(3, dtype=np.float32)[LABELS], NAMES), "")
    text = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    table = text.partition("images  ")[2].splitlines()
    assert [line.split()[0] for line in table[1:4]] == [r"\x1b[2Jcleared", r"two\nlines\tand", "ü" * 45]
    assert len({len(line) for line in table[1:4]}) == 1
    assert text.count("called ") == 4


def test_the_columns_of_an_evaluation_stand_below_their_heads(capsys: pytest.CaptureFixture[str]) -> None:
    chances = np.array([[0.9, 0.6, 0.1], [0.2, 0.7, 0.4], [0.8, 0.3, 0.6], [0.7, 0.2, 0.9]])
    targets = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=np.float32)
    _print_answered(scores_of_answers(TASKS["multilabel"], chances, targets, ("a", "b", "c")), "")
    head, *rows = capsys.readouterr().out.split("\n\n")[1].splitlines()
    ends = [match.end() for match in re.finditer(r"images|average precision|precision|recall|f1", head)]
    assert len(rows) == 3
    for row in rows:
        assert [match.end() for match in re.finditer(r"[\d.]+", row)] == ends


def test_the_likeliest_five_are_told_only_of_more_classes(capsys: pytest.CaptureFixture[str]) -> None:
    for classes in (5, 6):
        labels = np.arange(classes)
        _print_classified(scores_of(np.eye(classes), labels, [*"abcdef"[:classes]]), "")
        assert ("top-5 accuracy" in capsys.readouterr().out) is (classes == 6)


def test_an_error_controls_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say_error("nas.x", f"classes: {NAMES[0]}\nthe next line" + "x" * 3000)
    text = capsys.readouterr().err
    assert text.startswith("nas.x: classes: \\x1b[2Jcleared\nthe next line")
    assert text.endswith("x" * 3000 + "\n")
