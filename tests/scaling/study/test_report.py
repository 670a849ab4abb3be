"""What a report says of a few runs: intervals within what a loss can be, and nothing on the terminal beside it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import nas
from nas.latency.measure import Latency
from nas.scaling.study import measured_latency as latency
from nas.scaling.study.report import loss_interval, mean_text
from nas.statistics import unpaired
from nas.workers.processes import Outcome, Task
from tests.scaling.lawpool import LawPool, run
from tests.scaling.study.test_measured_latency import FormulaMeter


@given(losses=st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_an_interval_of_error_rates_is_within_0_and_1(losses: list[float]) -> None:
    assume(len(losses) > 3 or max(losses) - min(losses) > 1e-6)  # a few equal ones have no interval
    low, high = loss_interval(losses, "error")
    assert 0 <= low <= high <= 1
    low, high = loss_interval([5 * loss for loss in losses], "val_loss")
    assert 0 <= low <= high


def test_an_interval_is_students_where_that_is_inside() -> None:
    losses = [0.1, 0.12, 0.09, 0.11]
    expected = stats.ttest_1samp(losses, 0).confidence_interval(0.95)
    assert loss_interval(losses, "error") == pytest.approx((expected.low, expected.high))
    # Two runs: the 97.5 % point of Student's t with one degree of freedom is 12.706.
    assert loss_interval([0.19, 0.21], "error") == pytest.approx((0.2 - 0.12706, 0.2 + 0.12706), abs=1e-5)
    assert loss_interval([0.1, 0.3], "error") == (0.0, 1.0)
    assert loss_interval([1.0, 3.0], "val_loss") == pytest.approx((0.0, 2 + 12.706), abs=1e-3)
    assert mean_text([0.1, 0.3], "error") == "0.2000 (0.0000 to 1.0000)"
    assert mean_text([0.1, 0.1], "error") == "0.1000"


@given(one=st.lists(st.floats(0, 1), min_size=2, max_size=6), other=st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_interval_of_a_difference_is_that_of_scipys_welch_test(one: list[float], other: list[float]) -> None:
    first, second = np.array(one), np.array(other)
    found = unpaired(first, second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which scipy gives where the values of one are alike
        expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    if max(np.var(one), np.var(other)) > 1e-12:
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def test_a_report_of_two_runs_that_are_alike_or_far_apart(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outcome(pool: LawPool, task: Task) -> Outcome:
        alike = task.architecture.input_shape[1] > 8
        error = 0.2 if alike else 0.1 + 0.6 * (task.seed % 97) / 97
        return Outcome(task.number, nas.Evaluation({"val_accuracy": 1 - error, "val_loss": error}))

    monkeypatch.setattr(LawPool, "_outcome", outcome)
    settings = {"rules": ["width", "resolution"], "times": [1, 4], "rounding": {"divisor": 1}, "seeds": 2}
    assert run(base, mode="compare", **settings) == 0
    text = capsys.readouterr().out
    ends = [(float(low), float(high)) for low, high in re.findall(r"\((-?[\d.]+) to (-?[\d.]+)\) \|", text)]
    assert len(ends) == 3  # the two runs that gave the same have none
    assert all(0 <= low <= high <= 1 for low, high in ends)
    gaps = re.findall(r"\(([+-][\d.]+) to ([+-][\d.]+)\)", text)
    assert len(gaps) == 2
    assert all(-1 <= float(low) <= float(high) <= 1 for low, high in gaps)
    # At 1 time both have the base; two runs of each at 4 times are divided in 6 ways, of which no 5 % can come.
    assert re.search(r"\| 1 x \| the same network \|\n.*\n\| all \| .*: too few to tell: at least 4 of each \|", text)


def test_the_verdicts_of_a_comparison_are_over_all_sizes(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three runs of each of three sizes show what those of none can; equal rules are not said to differ."""

    def outcome(pool: LawPool, task: Task) -> Outcome:
        worse = 0.2 if task.architecture.input_shape[1] > 8 else 0.0
        error = 0.3 + worse + 0.01 * (task.seed % 97) / 97
        return Outcome(task.number, nas.Evaluation({"val_accuracy": 1 - error, "val_loss": error}))

    monkeypatch.setattr(LawPool, "_outcome", outcome)
    settings = {"rules": ["width", "resolution", "depth"], "times": [4, 16, 64], "rounding": {"divisor": 1}, "seeds": 3}
    assert run(base, mode="compare", **settings) == 0
    text = capsys.readouterr().out
    assert "corrected for all 2 (Holm)" in text
    ((resolution, depth),) = re.findall(r"\| all \| (.*) \| (.*) \|", text)
    assert float(resolution.split()[0]) == pytest.approx(0.2, abs=0.01)
    assert resolution.endswith("): better")
    assert depth.endswith("): not shown")
    assert text.count(": better") + text.count(": not shown") == 2


def test_a_latency_that_other_work_disturbed_is_marked(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Busy(FormulaMeter):
        def measure(self, arch: nas.Architecture) -> Latency:
            return replace(super().measure(arch), quiet_visits=0 if arch.input_shape[1] > 8 else 3)

    monkeypatch.setattr(latency, "Meter", Busy)
    settings = {"rule": "resolution", "times": [1, 4], "rounding": {"divisor": 1}, "seeds": 2, "latency": True}
    assert run(base, mode="family", **settings) == 0
    text = capsys.readouterr().out
    assert "measuring the latency of 2 networks" in text
    assert [bool(star) for star in re.findall(r"\| [\d.]+(\*?) \|\n", text)] == [False, True]
    assert "other work disturbed 1 of 2 measurements (* in tables)" in text


@pytest.mark.parametrize(("law", "shown"), [(lambda macs: 0.25, False), (lambda macs: 0.05 + 100 * macs**-0.5, True)])
def test_a_report_says_where_no_fall_is_shown(
    law: Callable[[float], float],
    shown: bool,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A loss that does not hang on the size at all, and one that does."""
    monkeypatch.setattr(LawPool, "law", staticmethod(law))
    assert run(base, rule="width", phi=[0, 1, 2, 3, 4], seeds=2) == 0
    text = capsys.readouterr().out
    said = "the loss does not fall" in text or "Mind: the runs do not show that the loss falls with the size" in text
    assert said != shown
