"""Successive halving: who is promoted, by hand and by brute force; and in a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

import nas
from nas.errors import ConfigError
from nas.evaluation import Evaluation, report
from nas.search.budgets.halving import Halving, rungs_of
from nas.search.budgets.pruning import HALVING, Pruning
from nas.search.optuna_study import optuna_result
from nas.search.reporting.rungs import Array, RungCorrelation, correlation, rung_correlations, rung_lines
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State
from tests.search.conftest import SMALL


@pytest.mark.parametrize(
    ("most", "least", "eta", "rungs"),
    [
        (9, 1, 3, (1, 3, 9)),
        (12, 1, 3, (1, 4, 12)),
        (81, 3, 3, (3, 9, 27, 81)),
        (10, 1, 2, (1, 2, 5, 10)),
        (2, 1, 3, (2,)),
    ],
)
def test_rungs(most: int, least: int, eta: int, rungs: tuple[int, ...]) -> None:
    assert rungs_of(most, least, eta) == rungs


def _run_all(halving: Halving, scores: list[float], workers: int = 1) -> dict[int, int]:
    """Play a study with one worker; return the last rung that each trial has ended."""
    reached: dict[int, int] = {}
    begun = 0
    while True:
        job = halving.next()
        if job is None and begun < len(scores):
            job, begun = (begun, halving.begin(begun)), begun + 1
        if job is None:
            return reached
        number, rung = job
        reached[number] = rung
        halving.ended(number, (scores[number],))


def test_asha_promotes_as_soon_as_a_third_is_there() -> None:
    """Algorithm 2 of the paper, by hand: eta 3, scores in the order 0 < 1 < ... < 8."""
    halving = Halving([1, 3, 9], 3, total=9)
    assert halving.next() is None
    for number in range(3):
        halving.begin(number)
        halving.ended(number, (float(number),))
    assert halving.next() == (2, 1)
    assert halving.next() is None  # one in three, and that one is on its way
    halving.ended(2, (2.0,))
    for number in range(3, 6):
        halving.begin(number)
        halving.ended(number, (float(number),))
    # Two of six may go on, the best ones: 5 and 4, though 2 was already promoted.
    assert halving.next() == (5, 1)


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("brackets", [1, 3])
@given(scores=st.lists(st.floats(-1, 1), min_size=1, max_size=40, unique=True))
@settings(max_examples=60, deadline=None)
def test_one_in_eta_goes_on_and_one_at_least_to_the_end(synchronous: bool, brackets: int, scores: list[float]) -> None:
    reached = _run_all(Halving([1, 3, 9], 3, total=len(scores), brackets=brackets, synchronous=synchronous), scores)
    assert set(reached) == set(range(len(scores)))
    assert max(reached.values()) == 2
    if brackets == 1:
        counts = [sum(rung >= at for rung in reached.values()) for at in range(3)]
        # Asynchronously each promotion is one in three of those that were there, so some more than a third go on.
        if synchronous:
            assert counts[1] == max(1, counts[0] // 3)
            assert counts[2] == max(1, counts[1] // 3)
            best = sorted(range(len(scores)), key=lambda number: -scores[number])
            assert {number for number, rung in reached.items() if rung >= 1} == set(best[: counts[1]])
        assert counts[1] >= max(1, counts[0] // 3)
    if synchronous and brackets == 1:
        assert reached[max(range(len(scores)), key=lambda number: scores[number])] == 2


@pytest.mark.parametrize("synchronous", [False, True])
def test_the_last_ones_are_waited_for(synchronous: bool) -> None:
    """Of two trials neither is one in three: one goes on when both are there, and not before."""
    halving = Halving([1, 3], 3, total=2, synchronous=synchronous)
    halving.begin(0)
    halving.ended(0, (5.0,))
    assert halving.next() is None  # another may begin
    halving.begin(1)
    assert halving.next() is None  # and runs
    halving.ended(1, (6.0,))
    assert halving.next() == (1, 1)
    assert halving.next() is None


def test_brackets_cost_about_the_same() -> None:
    halving = Halving([1, 3, 9], 3, total=1000, brackets=3)
    begun = [halving.begin(number) for number in range(130)]
    counts = [begun.count(bracket) for bracket in range(3)]
    # Expected budgets of a trial: 1 + 2/3 + 6/9 on the first; shares by 1/(rungs x first budget) as the code states.
    assert counts == [pytest.approx(130 * share, abs=2) for share in (6 / 11, 3 / 11, 2 / 11)]


def test_what_failed_or_was_given_up_is_not_promoted() -> None:
    halving = Halving([1, 3], 3, total=3)
    for number in range(3):
        halving.begin(number)
    halving.dropped(2)
    halving.ended(0, (0.0,))
    halving.ended(1, (1.0,))
    assert halving.next() == (1, 1)
    # Another goes on where one fails on its way, so that a search does not end with nothing.
    halving.dropped(1)
    assert halving.next() == (0, 1)
    again = Halving([1, 3], 3, total=3)
    again.restore(2, 0, [], alive=False, failed=True)
    again.restore(1, 0, [(0, (1.0,))], alive=False, failed=True)
    again.restore(0, 0, [(0, (0.0,))], alive=True)
    assert again.next() == (0, 1)
    restored = Halving([1, 3], 3, total=4)
    restored.restore(0, 0, [(0, (5.0,))], alive=False)
    for number in (1, 2, 3):
        restored.restore(number, 0, [(0, (float(number),))], alive=True)
    assert restored.next() is None  # the best of four was given up, and one in three may go on


def _curve(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    """Rises over the epochs to a level that the parameters set."""
    level = -abs(nas.cost_of(arch).params - 3000) / 3000
    before = 0
    if budget.checkpoint is not None:
        path = Path(budget.checkpoint)
        before = int(path.read_text()) if path.exists() else 0
        path.write_text(str(budget.epochs))
    assert budget.epochs is not None
    rows = []
    for epoch in range(1, budget.epochs + 1):
        rows.append({"epoch": float(epoch), "score": level - 1 / epoch})
        if report(epoch, {"score": rows[-1]["score"]}):
            break
    return Evaluation({"score": rows[-1]["score"]}, tuple(rows), {"trained": float(len(rows) - before)})


def _search(pruner: str | Pruning, trials: int = 27, **arguments: Any) -> Study:
    space = nas.SearchSpace.from_dict(SMALL)
    return nas.run_search(
        space,
        _curve,
        trials=trials,
        pruner=pruner,
        **{"sampler": "random", "seed": 0, "budget": nas.Budget(epochs=9), "objective": "score", **arguments},
    )


def test_one_that_is_cut_short_reports_what_waits(tmp_path: Path) -> None:
    """As its record does; the best is that of the highest rung, on which fewer are than on the first."""
    evaluations = 0

    def interrupted(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        nonlocal evaluations
        evaluations += 1
        if evaluations > 8:
            raise KeyboardInterrupt
        return _curve(arch, budget, seed)

    space = nas.SearchSpace.from_dict(SMALL)
    study = nas.run_search(
        space,
        interrupted,
        trials=27,
        pruner="asha",
        sampler="random",
        seed=0,
        budget=nas.Budget(epochs=9),
        objective="score",
        run_dir=tmp_path / "run",
    )
    assert study.interrupted
    recorded = nas.load_study(tmp_path / "run")
    assert study.counts() == recorded.counts()
    assert study.counts()["paused"] >= 5
    assert study.counts()["completed"] == 0
    waiting = [trial for trial in study.trials if trial.state is State.PAUSED]
    assert all(trial.finished > 0 and trial.seconds["trained"] > 0 for trial in waiting)
    second = [trial for trial in waiting if trial.rung == 2]
    assert 0 < len(second) < len(waiting)
    assert study.best(99) == sorted(second, key=lambda trial: -trial.scores["score"])
    assert recorded.winner == study.winner == study.best(1)[0]
    assert study.compared == recorded.compared == len(waiting)


def _spent(study: Study) -> float:
    return sum(trial.seconds.get("trained", 0.0) for trial in study.trials)


@pytest.mark.parametrize("pruner", HALVING)
@pytest.mark.parametrize("sampler", ["random", "default", "tpe", "nsga2"])
def test_halving_finds_the_best_with_few_epochs(pruner: str, sampler: str) -> None:
    study = _search(pruner, sampler=sampler)
    counts = study.counts()
    assert counts["completed"] + counts.get("pruned", 0) == 27
    assert "paused" not in counts
    assert study.stop == StopReason.TRIALS_DONE.stop(trained=27)
    best = study.best(1)[0]
    assert len(best.history) == 9
    trained = [trial for trial in study.trials if trial.trained]
    assert best.scores["score"] == max(trial.scores["score"] for trial in trained)
    # Each epoch was trained once: what goes on does not begin anew.
    assert _spent(study) == sum(len(trial.history) for trial in trained)
    assert _spent(study) < (0.75 if pruner == "hyperband" else 0.34) * 27 * 9


def test_synchronous_halving_costs_what_the_formula_says() -> None:
    """27 trials of 1 epoch, 9 of 2 more, 3 of 6 more."""
    assert _spent(_search("successive_halving")) == 27 + 9 * 2 + 3 * 6


@pytest.mark.parametrize("pruner", ["asha", "hyperband", "successive_halving", "median"])
@pytest.mark.parametrize("sampler", ["default", "tpe"])
def test_an_interrupted_search_goes_on_as_if_it_was_never(pruner: str, sampler: str, tmp_path: Path) -> None:
    whole = _search(pruner, sampler=sampler, run_dir=tmp_path / "whole")
    calls = 0

    def until(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        nonlocal calls
        calls += 1
        if calls == 17:
            raise KeyboardInterrupt
        return _curve(arch, budget, seed)

    space = nas.SearchSpace.from_dict(SMALL)
    same: dict[str, Any] = {
        "trials": 27,
        "pruner": pruner,
        "budget": nas.Budget(epochs=9),
        "objective": "score",
        "sampler": sampler,
        "seed": 0,
    }
    first = nas.run_search(space, until, run_dir=tmp_path / "run", **same)
    assert first.interrupted
    again = nas.run_search(space, _curve, run_dir=tmp_path / "run", resume=True, **same)
    facts = [
        {t.number: (t.state, dict(t.genotype), dict(t.scores), t.steps) for t in study.trials}
        for study in (whole, again)
    ]
    assert facts[0] == facts[1]
    assert not list((tmp_path / "run").glob("checkpoints/*"))


@pytest.mark.parametrize("pruner", ["median", "curve", "patient"])
def test_pruners_that_stop_between_epochs(pruner: str) -> None:
    study = _search(Pruning(name=pruner, patience=1), trials=40)
    counts = study.counts()
    assert counts["completed"] + counts.get("pruned", 0) == 40
    if pruner != "patient":  # these curves rise all the time
        assert counts["pruned"] >= 10
        pruned = [trial for trial in study.trials if trial.state is State.PRUNED]
        assert all(len(trial.history) < 9 and "promise" in trial.reason for trial in pruned)
        best = max(trial.scores["score"] for trial in study.trials if trial.scores)
        assert study.best(1)[0].scores["score"] == best
    else:
        assert "pruned" not in counts


def test_a_study_without_reports_is_not_pruned() -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    study = nas.run_search(space, lambda arch, budget, seed: 1.0, trials=10, pruner="median")
    assert study.counts()["completed"] == 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pruning(name="ahsa"), "Did you mean 'asha'"),
        (lambda: Pruning(name="asha", eta=1), "eta must be >= 2"),
        (lambda: Pruning(name="asha", fidelity="epoch"), "Did you mean 'epochs'"),
        (lambda: _search("asha", budget=None), "none are stated"),
        (lambda: _search("asha", budget=nas.Budget(epochs=2)), "one rung only"),
        (lambda: _search("median", objective=["score", "macs"]), "serves one objective"),
    ],
)
def test_slips_are_explained(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_budgets_of_the_other_fidelities() -> None:
    full = nas.Budget(epochs=6)
    data = Pruning(name="asha", fidelity="data").budgets(full)
    assert [one.data_fraction for one in data] == pytest.approx([1 / 9, 1 / 3, 1])
    assert all(one.epochs == 6 for one in data)
    resolution = Pruning(name="asha", fidelity="resolution").budgets(full)
    assert [one.resolution_fraction**2 for one in resolution] == pytest.approx([1 / 9, 1 / 3, 1])


def test_rank_correlation_between_rungs() -> None:
    """These curves never cross, so every rung ranks as the next one does."""
    found = rung_correlations(_search("asha").rung_scores)
    assert [(one.lower, one.upper, one.tau) for one in found] == [(1, 2, 1.0), (2, 3, 1.0)]
    assert "1 and 2: 1.00" in rung_lines(found)[0]
    assert len(rung_lines(found)) == 1
    doubtful = RungCorrelation(1, 2, 0.1, 9)
    assert "hardly tells" in rung_lines([doubtful])[1]
    assert not RungCorrelation(1, 2, 0.1, 4).doubtful
    blind = RungCorrelation(1, 2, float("nan"), 3)
    assert blind.doubtful
    assert "all scores of one are equal" in rung_lines([blind])[0]
    assert rung_lines(rung_correlations(_search("none").rung_scores)) == []


def _promoted(rng: np.random.Generator, trials: int, tau: float) -> tuple[Array, Array]:
    """Scores on the lower rung, and on both of the better third. Of normal pairs tau is 2 / pi asin r: Greiner 1909."""
    lower, noise = rng.normal(size=(2, trials))
    correlation = np.sin(np.pi * tau / 2)
    upper = correlation * lower + np.sqrt(1 - correlation**2) * noise
    best = np.argsort(-lower)[: trials // 3]
    return lower, np.column_stack([lower, upper])[best]


@pytest.mark.parametrize("tau", [0.21, 0.55, 0.8])
def test_the_rank_correlation_is_corrected_for_who_was_promoted(tau: float) -> None:
    """Within 0.05 of the truth on average, while that of the promoted is 0.1 too low; its interval holds."""
    rng = np.random.default_rng(0)
    found = [correlation(*_promoted(rng, 81, tau)) for _ in range(60)]
    assert np.mean([one.promoted_tau for one in found]) < tau - 0.07
    assert np.mean([one.tau for one in found]) == pytest.approx(tau, abs=0.05)
    assert np.mean([one.low <= tau <= one.high for one in found]) >= 0.85


def test_good_networks_that_are_close_together_are_no_sign_of_a_bad_rung() -> None:
    """Skewed qualities with normal noise on both rungs: most pairs are far apart, those of the promoted are not."""
    rng, truth, found = np.random.default_rng(3), [], []
    for _ in range(40):
        lower, upper = -rng.exponential(size=81) + 0.3 * rng.normal(size=(2, 81))
        best = np.argsort(-lower)[:27]
        truth.append(kendalltau(lower, upper).statistic)
        found.append(correlation(lower, np.column_stack([lower, upper])[best]))
    # What is extrapolated stays low, but its interval says how little is known.
    assert np.mean([one.promoted_tau for one in found]) < np.mean(truth) - 0.35
    assert np.mean([one.tau for one in found]) > np.mean([one.promoted_tau for one in found]) + 0.15
    assert np.mean([one.low <= tau <= one.high for one, tau in zip(found, truth, strict=True)]) >= 0.75


def test_the_warning_goes_by_the_corrected_figure() -> None:
    """At a true tau of 0.55 the promoted alone are mostly below 0.4."""
    rng = np.random.default_rng(1)
    found = [correlation(*_promoted(rng, 243, 0.55)) for _ in range(12)]
    assert sum(one.promoted_tau < 0.4 for one in found) >= 6
    assert sum(one.doubtful for one in found) <= 2
    assert sum(correlation(*_promoted(rng, 243, 0.15)).doubtful for _ in range(12)) >= 10


def test_the_correction_leaves_what_was_not_selected() -> None:
    rng = np.random.default_rng(2)
    lower, both = _promoted(rng, 60, 0.5)
    every = correlation(both[:, 0], both)
    tau = kendalltau(*both.T).statistic
    assert every.tau == pytest.approx(tau, abs=1e-9)
    # Fieller et al. 1957: artanh(tau) has the variance 0.437 / (n - 4).
    ends = [np.tanh(np.arctanh(tau) + sign * 1.959964 * np.sqrt(0.437 / 16)) for sign in (-1, 1)]
    assert [every.low, every.high] == pytest.approx(ends, abs=1e-6)
    assert (correlation(both[:4, 0], both[:4]).low, correlation(both[:4, 0], both[:4]).high) == (-1.0, 1.0)
    found = correlation(lower, both)
    # Neither the unit of the lower rung matters nor more than the order of the upper one.
    other = correlation(5 - 3 * lower, np.column_stack([5 - 3 * both[:, 0], -np.exp(both[:, 1])]))
    assert (other.tau, other.low, other.high) == pytest.approx((found.tau, found.low, found.high))
    assert (found.trials, found.of) == (20, 60)
    assert found.low < found.tau < found.high
    assert correlation(lower, both * [1, -1]).promoted_tau == -found.promoted_tau
    assert correlation(np.tile(lower, 20), both).tau == pytest.approx(found.tau, abs=0.02)


def test_a_trial_that_fails_on_a_higher_rung_is_not_told_as_a_success() -> None:
    """Its score on the rung before is not what it is worth; and the search ends with another one."""

    def fails_at_the_end(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        found = _curve(arch, budget, seed)
        if budget.epochs == 9 and not failed:
            failed.append(arch.arch_id)
            return Evaluation({"score": float("nan")})
        return found

    failed: list[str] = []
    space = nas.SearchSpace.from_dict(SMALL)
    study = nas.run_search(
        space, fails_at_the_end, trials=9, pruner="asha", objective="score", budget=nas.Budget(epochs=9), seed=0
    )
    (lost,) = [trial for trial in study.trials if trial.state is State.FAILED]
    assert lost.steps
    assert not lost.scores
    assert optuna_result(lost, study)[0] is optuna.trial.TrialState.FAIL
    assert study.counts()["completed"] == 1
