"""What the end of a search shows."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

import nas
from nas.cost import Cost
from nas.latency.deployment import Deployment, Device
from nas.latency.measure import Latency
from nas.search.reporting.progress import Progress, duration
from nas.search.reporting.summary import print_best, time_summary, to_go_on
from nas.search.settings import SearchSettings
from nas.search.stop_reason import Stop, StopReason
from nas.search.study import Study
from nas.search.trial import State, Trial
from tests.search.conftest import SMALL


def _study(trials: int, objective: str | list[str] = "val_accuracy") -> Study:
    space = nas.SearchSpace.from_dict(SMALL)
    return nas.run_search(
        space, lambda arch, budget, seed: float(arch.arch_id[0] < "8"), trials=trials, objective=objective
    )


def test_a_file_gets_a_line_when_nothing_else_came_for_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    study, console, now = _study(3), _console(), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(console, 24, None)
    progress.begin(study)
    lines = []
    for now[0] in (110.0, 129.0, 131.0, 140.0, 160.0, 162.0):
        before = len(_text(console))
        progress.proposed(study, 2)
        lines.append(_text(console)[before:])
    assert [bool(line) for line in lines] == [False, False, True, False, False, True]
    assert lines[2] == "  3/24 done | 2 running | best 1.0000 | 0:31 gone\n"
    progress.paused(study, replace(study.trials[0], number=7, steps=((1, (0.5,)),)))
    now[0] = 200.0
    before = len(_text(console))
    progress.proposed(study, 1)
    assert "1 running | 1 paused | best" in _text(console)[before:]


def _console() -> Console:
    return Console(file=io.StringIO(), soft_wrap=True, markup=False, emoji=False)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _shown(study: Study) -> str:
    console = _console()
    print_best(console, study)
    return _text(console)


@pytest.mark.parametrize(("trials", "title"), [(1, "Best of 1 network"), (2, "Best of 2 networks")])
def test_the_best_have_a_title(trials: int, title: str) -> None:
    assert title in [line.strip() for line in _shown(_study(trials)).splitlines()]


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        ("val_accuracy", "The best was selected out of 7 by this very val_accuracy on the validation split, which is"),
        (["val_accuracy", "macs"], "They were selected out of 7 by this very val_accuracy on the validation split"),
    ],
)
def test_the_scores_of_the_best_are_marked_as_selected(objective: str | list[str], text: str) -> None:
    lines = _shown(_study(7, objective)).splitlines()
    assert [line for line in lines if line.startswith(text)] == [lines[-1]]
    assert "optimistic" in lines[-1]


def test_pruned_candidates_were_tried_too_and_proxies_have_no_validation() -> None:
    study = _study(6)
    study.trials[0] = replace(study.trials[0], state=State.PRUNED)
    study.trials[1] = replace(study.trials[1], state=State.FAILED)
    study.notes["config"] = {"evaluator": {"name": "proxy"}}
    assert "selected out of 5 by this very val_accuracy, which" in _shown(study)
    assert "selected" not in _shown(_study(1))


def _trial(number: int, **facts: Any) -> Trial:
    """A completed trial of 1,234 parameters and 56,789 multiply-adds."""
    given = {"state": State.COMPLETED, "scores": {"val_accuracy": 0.5}, "seconds": {"evaluation": 2.04}, **facts}
    return Trial(number=number, genotype=GENOTYPE, cost=COST, **given)


GENOTYPE = nas.SearchSpace.from_dict(SMALL).sample(0)
SCORES_IN_8_BITS = {"val_accuracy": 0.5, "int8_accuracy": 0.4, "int8_latency_ms": 1.25}
COST = Cost(params=1234, macs=56789)
DEVICE = Device("a processor", 1, "a system", {})
LATENCY = Latency(1.25, 1.3, 2.0, 0.1, 9, 3, 3, Deployment("torch"), DEVICE, "2026-01-01")


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "  trial    7  val_accuracy 0.5000  params       1,234  macs        56,789     2.0 s"),
        (
            {"latency": LATENCY},
            "  trial    7  val_accuracy 0.5000  params       1,234  macs        56,789     1.250 ms     2.0 s",
        ),
        (
            {"state": State.DUPLICATE, "duplicate_of": 3},
            "  trial    7  val_accuracy 0.5000  params       1,234  macs        56,789  same network as trial 3",
        ),
        (
            {"state": State.PRUNED, "reason": "ended after step 2"},
            "  trial    7  val_accuracy 0.5000  params       1,234  macs        56,789     2.0 s  ended after step 2",
        ),
        (
            {"state": State.OVER_LIMIT, "scores": SCORES_IN_8_BITS, "reason": "int8_accuracy 0.4 is under 0.5"},
            "  trial    7  val_accuracy 0.5000  int8_accuracy 0.4000  int8_latency_ms 1.2500  params       1,234  macs"
            "        56,789     2.0 s  int8_accuracy 0.4 is under 0.5",
        ),
        ({"state": State.OVER_LIMIT, "scores": {}, "reason": "none"}, "  trial    7  over a limit: none"),
        ({"state": State.FAILED, "scores": {}, "reason": "ValueError: no"}, "  trial    7  failed: ValueError: no"),
        (
            {"state": State.FAILED, "scores": {}, "reason": "it failed", "duplicate_of": 3},
            "  trial    7  failed  same network as trial 3: it failed",
        ),
    ],
    ids=[
        "completed",
        "measured",
        "duplicate",
        "pruned",
        "over a limit",
        "not in 8 bits",
        "failed",
        "duplicate of a failed one",
    ],
)
def test_a_line_a_trial(facts: dict[str, Any], line: str) -> None:
    console = _console()
    Progress(console, 10, None).ended(_study(1), _trial(7, **facts))
    assert _text(console) == f"{line}\n"


def test_a_paused_trial_says_on_which_rung_it_waits() -> None:
    console = _console()
    Progress(console, 10, None).paused(_study(1), _trial(7, steps=((1, (0.5,)), (2, (0.6,)))))
    assert _text(console).endswith("  paused on rung 2\n")


def test_in_a_log_rejected_candidates_are_told_now_and_then() -> None:
    """After 50, and then whenever they have doubled."""
    study, console = _study(1), _console()
    progress = Progress(console, 10, None)
    for number in range(1, 301):
        study.trials.append(_trial(number, state=State.REJECTED, reason=f"number {number} is too large"))
        progress.ended(study, study.trials[-1])
    assert _text(console).splitlines() == [
        f"  {count} candidates rejected so far, the last one: number {count} is too large" for count in (50, 100, 200)
    ]


def test_the_live_line_counts_and_guesses_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10 trials 3 took 60 s in this session (one more was there before it): the 6 that are left take 120 s."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    study = _study(1)
    for minutes, left in ((None, "2:00"), (1.5, "0:30"), (60, "2:00")):
        del study.trials[1:]
        clock[0] = 1000.0
        console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
        progress = Progress(console, 10, minutes)
        progress.begin(study)
        assert "1/10 done | 0 running | best" in _text(console)
        for number in (1, 2, 3):
            study.trials.append(_trial(number, scores={"val_accuracy": number / 10}))
        study.trials.append(_trial(4, state=State.REJECTED, reason="too large"))
        clock[0] += 60
        progress.proposed(study, running=2)
        progress.end(study)
        best = study.best(1)[0].scores["val_accuracy"]
        assert f"4/10 done | 2 running | 1 rejected | best {best:.4f} | 1:00 gone | about {left} left" in _text(console)


def test_what_cannot_be_shown_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("the terminal is gone")

    Progress(Console(file=Broken(), force_terminal=False), 10, None).ended(_study(1), _trial(7))
    assert "the progress cannot be shown" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (-5, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_where_the_time_went() -> None:
    """Two workers for 100 s: 120 s in evaluations, 90 of them in training steps."""
    trials = [_trial(n, seconds={"evaluation": 40.0, "train_steps": 30.0}) for n in range(3)]
    assert time_summary(trials, 100, 2) == (
        "Time of this session: 1:40 with 2 workers; of their time 45.0% in training steps, 15.0% in the rest of "
        "training (validation, set-up), 40.0% idle (start-up, waiting, stopped while latency was measured)"
    )
    assert "with 1 worker;" in time_summary(trials, 100, 1)
    assert "0.0% in training steps" in time_summary([], 0, 0)  # ended at once


def test_the_best_stand_in_a_table_best_first() -> None:
    study = _study(1)
    study.trials[:] = [_trial(n, arch_id=f"id{n}", scores={"val_accuracy": n / 10}) for n in (1, 5, 3, 2, 4, 6)]
    rows = [line.split() for line in _shown(study).splitlines() if line.strip()]
    assert rows[0] == ["Best", "of", "6", "networks"]
    assert rows[1] == ["trial", "val_accuracy", "params", "macs", "size", "MiB", "arch_id"]
    size = f"{study.trials[0].cost.size_mib:.2f}" if study.trials[0].cost else ""
    assert rows[3:8] == [[str(n), f"0.{n}000", "1,234", "56,789", size, f"id{n}"] for n in (6, 5, 4, 3, 2)]


def test_measured_latencies_have_a_column() -> None:
    study = _study(1)
    study.trials[:] = [_trial(0, arch_id="a", latency=LATENCY), _trial(1, arch_id="b")]
    rows = [line.split() for line in _shown(study).splitlines() if line.strip()]
    assert rows[1][-4:] == ["size", "MiB", "ms", "arch_id"]
    assert [row[-2:] for row in rows[3:5]] == [["1.250", "a"], [rows[4][-2], "b"]]
    assert len(rows[4]) == len(rows[3]) - 1


def test_where_the_time_alone_ends_a_search_it_alone_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    study = _study(1)
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    progress = Progress(console, None, 5)
    progress.begin(study)
    study.trials.append(_trial(1, scores={"val_accuracy": 0.5}))
    clock[0] += 60
    progress.proposed(study, running=2)
    progress.end(study)
    assert "2 done | 2 running | best" in _text(console)
    assert "1:00 gone | about 4:00 left" in _text(console)


@pytest.mark.parametrize(
    ("reason", "given", "setting"),
    [
        (StopReason.INTERRUPTED.stop(), {}, "search.trials=12"),
        (StopReason.INTERRUPTED.stop(), {"trials": 20, "minutes": 60}, "search.trials=20"),
        (StopReason.INTERRUPTED.stop(), {"minutes": 60}, "search.minutes=60"),
        (StopReason.TIME_OVER.stop(minutes=60), {"minutes": 60}, "search.minutes=120"),
        (StopReason.TIME_OVER.stop(minutes=0.5), {"trials": 20, "minutes": 0.5}, "search.minutes=1"),
    ],
)
def test_a_search_that_ended_early_goes_on_with_what_it_lacked(
    reason: Stop, given: dict[str, Any], setting: str
) -> None:
    study = _study(1)
    study.stop = reason
    assert to_go_on(study, SearchSettings(**given)) == setting
