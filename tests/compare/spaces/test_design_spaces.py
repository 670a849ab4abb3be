"""Comparing spaces: distributions and weights against closed formulas, intervals by repetition, the command."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import PermutationMethod, ks_2samp, ttest_ind, wasserstein_distance

import nas
from nas.commands.spaces_words import overrides_from
from nas.compare.spaces.acceptance import acceptance_of
from nas.compare.spaces.complexity import Array, match, unmatched, weights_of
from nas.compare.spaces.difference import bootstrap_weights, compare_errors
from nas.compare.spaces.distribution import area_between, distribution_of, ks_distance
from nas.compare.spaces.population import Drawn, EvaluatedNetwork, Population, evaluate_population
from nas.compare.spaces.report import SpaceComparison, table_of
from nas.errors import ConfigError, EvaluationError, SpaceError
from nas.evaluators.table.evaluator import TableEvaluator
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.table.table import read_table
from nas.search.settings import PYTHON_SETTINGS, with_keywords
from tests.run_command import run

_NUMBERS = st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0.0625, 8, width=32)), min_size=1, max_size=30).map(
    np.array
)

# Distributions


def test_a_distribution_by_hand() -> None:
    """Of errors 1, 2, 2, 4 with weights 1, 2, 1, 4, and one that does not count."""
    found = distribution_of(np.array([2.0, 4.0, 1.0, 9.0, 2.0]), np.array([2.0, 4.0, 1.0, 0.0, 1.0]))
    assert found.at(np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0])).tolist() == [0, 0, 0.125, 0.125, 0.5, 0.5, 1]
    assert found.mean == pytest.approx((1 + 3 * 2 + 4 * 4) / 8)
    assert [found.quantile(share) for share in (0.0, 0.125, 0.13, 0.5, 0.51, 1.0)] == [1, 1, 2, 2, 4, 4]
    assert found.best == 1


@given(_NUMBERS)
def test_distributions_are_shares_that_rise(drawn: Array) -> None:
    errors, weights = drawn.T
    found = distribution_of(errors, weights)
    places = np.linspace(-0.1, 1.1, 40)
    shares = found.at(places)
    brute = [weights[errors < place].sum() / weights.sum() for place in places]
    assert shares == pytest.approx(np.array(brute), abs=1e-9)
    assert (np.diff(shares) >= 0).all()
    assert (shares >= 0).all()
    assert (shares <= 1).all()
    assert found.mean == pytest.approx(np.average(errors, weights=weights), abs=1e-9)
    for share in (0.1, 0.5, 1.0):
        enough = [error for error in errors if weights[errors <= error].sum() >= (share - 1e-9) * weights.sum()]
        assert found.quantile(share) == pytest.approx(min(enough))


@given(_NUMBERS, _NUMBERS)
def test_distances(one: Array, other: Array) -> None:
    first, second = distribution_of(*one.T), distribution_of(*other.T)
    area = wasserstein_distance(one[:, 0], other[:, 0], one[:, 1], other[:, 1])
    assert area_between(first, second) == pytest.approx(area, abs=1e-6)
    assert area_between(first, second) >= abs(first.mean - second.mean) - 1e-9
    assert 0 <= ks_distance(first, second) <= 1
    assert ks_distance(first, second) == ks_distance(second, first)
    assert ks_distance(first, first) == area_between(first, first) == 0
    equal = ks_distance(distribution_of(one[:, 0]), distribution_of(other[:, 0]))
    with np.errstate(all="ignore"):  # of its p-value, where there are two numbers or three
        expected = ks_2samp(one[:, 0], other[:, 0], method="asymp").statistic
    assert equal == pytest.approx(expected)


# Equal complexity


def test_populations_of_the_same_complexities_keep_equal_weights() -> None:
    values = np.geomspace(1e3, 1e6, 40)
    found = match([values, values[::-1].copy()], "ab", "macs", 4)
    assert found.num_bins == 4
    assert found.weights(0) == pytest.approx(np.full(40, 1 / 40))
    assert found.weights(1) == pytest.approx(np.full(40, 1 / 40))


def test_weights_by_hand() -> None:
    """Common range 10 to 1000, bins 10 to 100 to 1000; b has one network in the second, which is not enough."""
    a = np.array([1.0, 10.0, 20.0, 30.0, 200.0, 300.0, 1000.0])
    b = np.array([10.0, 90.0, 500.0, 2000.0, 1000.0])
    found = match([a, b], "ab", "macs", 2)
    assert (found.low, found.high, found.num_bins) == (10, 1000, 2)
    assert found.weights(0) == pytest.approx(np.array([0, *[1 / 6] * 6]))
    assert found.weights(1) == pytest.approx(np.array([1 / 4, 1 / 4, 1 / 4, 0, 1 / 4]))
    fewer = match([a, np.array([10.0, 90.0, 1000.0])], "ab", "macs", 2)
    assert (fewer.num_bins, fewer.used(0), fewer.used(1)) == (1, 3, 2)
    assert fewer.weights(0) == pytest.approx(np.array([0, *[1 / 3] * 3, 0, 0, 0]))


@given(st.lists(st.lists(st.floats(1, 1e6), min_size=2, max_size=30).map(np.array), min_size=2, max_size=4))
def test_all_populations_get_the_same_uniform_complexity(values: list[Array]) -> None:
    names = [str(number) for number in range(len(values))]
    try:
        found = match(values, names, "macs")
    except SpaceError:
        low, high = max(one.min() for one in values), min(one.max() for one in values)
        assert min(((one >= low) & (one <= high)).sum() for one in values) < 2
        return
    for which, one in enumerate(values):
        weights, cells = found.weights(which), found.bin_numbers[which]
        assert weights.sum() == pytest.approx(1)
        assert (weights[(one < found.low) | (one > found.high)] == 0).all()
        for cell in range(found.num_bins):
            assert weights[cells == cell].sum() == pytest.approx(1 / found.num_bins)
            assert (cells == cell).sum() >= 2


def test_errors_that_only_depend_on_complexity_do_not_differ() -> None:
    """One population is mostly small, the other mostly large: raw means differ, those at equal complexity do not."""
    rng = np.random.default_rng(0)
    small, large = 10 ** rng.triangular(4, 4, 7, 400), 10 ** rng.triangular(4, 7, 7, 400)
    exact = match([small, large], "ab", "macs", 12)
    steps = [0.9 - 0.05 * cells.astype(np.float64) for cells in exact.bin_numbers]
    assert distribution_of(steps[0]).mean - distribution_of(steps[1]).mean > 0.1
    same = compare_errors((steps[0], exact.bin_numbers[0]), (steps[1], exact.bin_numbers[1]))
    assert (same.mean, same.low, same.high) == pytest.approx((0, 0, 0), abs=1e-12)
    smooth = [0.9 - 0.1 * np.log10(values / 1e4) for values in (small, large)]
    raw = smooth[0].mean() - smooth[1].mean()
    weighted = compare_errors((smooth[0], exact.bin_numbers[0]), (smooth[1], exact.bin_numbers[1])).mean
    assert raw > 0.09
    assert abs(weighted) < 0.05 * raw


def test_what_cannot_be_matched() -> None:
    one = np.array([1.0, 2.0, 3.0])
    with pytest.raises(SpaceError, match=r"macs that the others have too \(a 1 to 3, b 10 to 30\)"):
        match([one, 10 * one], "ab", "macs")
    with pytest.raises(ConfigError, match="must be > 0"):
        match([one - 1, one], "ab", "macs")
    with pytest.raises(SpaceError, match="fewer bins than 50"):
        match([one, one], "ab", "macs", 50)
    with pytest.raises(SpaceError, match="2 networks of each space"):
        unmatched([5, 1])
    assert match([np.full(3, 7.0), np.full(2, 7.0)], "ab", "macs").weights(0) == pytest.approx(np.full(3, 1 / 3))


# Intervals


def test_the_interval_is_that_of_a_stratified_mean() -> None:
    """Cochran 1977, chapter 5: the variance of the mean of k strata is the mean of s^2/m, by k."""
    rng = np.random.default_rng(0)
    cells = [np.repeat([0, 1, 2], [5, 200, 40]), np.repeat([0, 1, 2], [90, 8, 100])]
    errors = [rng.normal(cell, 0.5 + cell) for cell in cells]
    found = compare_errors((errors[0], cells[0]), (errors[1], cells[1]), draws=20_000)
    parts = [errors[which][cells[which] == cell] for which in (0, 1) for cell in range(3)]
    spread = math.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)) / 3
    assert found.mean == pytest.approx(
        sum(part.mean() for part in parts[:3]) / 3 - sum(p.mean() for p in parts[3:]) / 3
    )
    assert found.high - found.low == pytest.approx(2 * 1.97 * spread, rel=0.03)
    weights = bootstrap_weights(cells[0], rng, 4000)
    assert weights.sum(axis=1) == pytest.approx(np.ones(4000))
    assert weights.mean(axis=0) == pytest.approx(weights_of(cells[0]), rel=0.15)


@pytest.mark.parametrize("sizes", [(3, 4), (30, 12)])
def test_intervals_cover(sizes: tuple[int, int]) -> None:
    """About 95 in 100 hold the truth, also of few networks; so does the band of the distribution at one error."""
    rng, times = np.random.default_rng(1), 300
    held = within = 0
    for seed in range(times):
        cells = [np.repeat([0, 1], [size // 2 + size % 2, size // 2]) for size in (2 * sizes[0], 2 * sizes[1])]
        errors = [rng.normal(0.3 * cell + shift, 0.2) for cell, shift in zip(cells, (0.1, 0.0), strict=True)]
        found = compare_errors((errors[0], cells[0]), (errors[1], cells[1]), seed=seed, draws=600)
        held += found.low <= 0.1 <= found.high
        place = min(int(np.searchsorted(found.errors, 0.2)), len(found.errors) - 1)
        within += bool(found.band[0, place] <= _true_gap(found.errors[place]) <= found.band[1, place])
    assert 0.91 <= held / times <= 0.99
    assert within / times >= 0.85


def _true_gap(error: float) -> float:
    def share(shift: float) -> float:
        return sum(0.5 * math.erfc((shift + 0.3 * cell - error) / 0.2 / math.sqrt(2)) for cell in (0, 1)) / 2

    return share(0.1) - share(0.0)


@pytest.mark.parametrize(("shift", "verdict"), [(-0.2, "better"), (0.2, "worse"), (0.0, "not shown")])
def test_verdicts(shift: float, verdict: str) -> None:
    rng, cells = np.random.default_rng(2), np.zeros(40, np.int64)
    found = compare_errors((rng.normal(0.5 + shift, 0.1, 40), cells), (rng.normal(0.5, 0.1, 40), cells))
    assert found.verdict == verdict
    assert (found.band[0] <= found.edf + 1e-9).all()
    assert (found.edf <= found.band[1] + 1e-9).all()


def test_two_networks_show_nothing() -> None:
    """Two and two can be exchanged in six ways, of which two are the most extreme."""
    cells = np.zeros(2, np.int64)
    found = compare_errors((np.array([0.1, 0.11]), cells), (np.array([0.2, 0.25]), cells))
    assert found.verdict == "too few networks to tell"
    assert found.min_p == pytest.approx(1 / 3)


def test_the_test_of_two_populations_is_scipys() -> None:
    """In one bin it is the permutation test of Welch's t; scipy's of equal sizes is as two-sided."""
    rng, cells = np.random.default_rng(0), np.zeros(20, np.int64)
    one, other = rng.normal(0.45, 0.1, 20), rng.normal(0.5, 0.1, 20)
    found = compare_errors((one, cells), (other, cells))
    expected = ttest_ind(one, other, equal_var=False, method=PermutationMethod(n_resamples=9999, rng=1)).pvalue
    assert found.p == pytest.approx(expected, abs=0.015)


def test_verdicts_are_corrected_for_all_spaces() -> None:
    """Holm's: the only small p of four is four times as large."""
    rng = np.random.default_rng(4)
    shifts = {"first": 0.0, "a": 0.08, "b": 0.0, "c": 0.0, "d": 0.0}
    made = [
        Population(
            name=name,
            networks=tuple(
                EvaluatedNetwork(str(number), 0.5 + shift + error, nas.Cost(macs=9))
                for number, error in enumerate(rng.normal(0, 0.1, 24))
            ),
            share=1.0,
        )
        for name, shift in shifts.items()
    ]
    comparison = SpaceComparison(made, 24, "loss", None)
    assert 0.05 / 4 < comparison.differences[0].p < 0.05
    assert comparison.differences[0].verdict == "worse"
    assert comparison.verdicts[0].text == "not shown"
    assert comparison.verdicts[0].p == pytest.approx(4 * comparison.differences[0].p)
    assert any("corrected for 4 comparisons" in line for line in table_of(comparison))


def test_equal_populations_of_skewed_errors_differ_rarely() -> None:
    """Few beside many, in two bins: a wrong verdict in 5 % of 200, and three standard errors."""
    rng, wrong = np.random.default_rng(0), 0
    cells = [np.repeat([0, 1], [3, 3]), np.repeat([0, 1], [30, 20])]
    for seed in range(200):
        errors = [rng.lognormal(sigma=1.5, size=len(each)) for each in cells]
        found = compare_errors((errors[0], cells[0]), (errors[1], cells[1]), seed=seed, draws=400)
        wrong += found.verdict != "not shown"
    assert wrong / 200 <= 0.05 + 0.046


# Populations, on a table


def _space(name: str, channels: list[int], kernels: list[int]) -> dict[str, Any]:
    stage = {"block": "conv", "out_channels": {"choose": channels}, "kernel": {"choose": kernels}, "stride": 2}
    return {
        "name": name,
        "assume": {"channels": 3, "resolution": 16, "num_classes": 4},
        "stages": [stage] * 3,
        "head": {"block": "classifier"},
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Spaces, and a table of the 1,728 networks of `all`: kernels of 5 are good, all else is complexity and noise."""
    folder = tmp_path_factory.mktemp("spaces")
    spaces = {
        "all": _space("all", [8, 16, 24, 32], [1, 3, 5]),
        "fives": _space("fives", [8, 16, 24, 32], [5]),
        "threes": _space("threes", [8, 16, 24, 32], [3]),
        "strange": _space("strange", [7, 9], [3]),
    }
    for name, values in spaces.items():
        (folder / f"{name}.yaml").write_text(json.dumps(values))
    space, rng = nas.load_space(folder / "all.yaml"), np.random.default_rng(0)
    choices = space.decisions()
    with (folder / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*choices, "val_accuracy"])
        for options in itertools.product(*(choice.values for choice in choices.values())):
            genotype = dict(zip(choices, options, strict=True))
            macs = nas.cost_of(space.decode(genotype)).macs
            good = sum(value == 5 for path, value in genotype.items() if path.endswith("kernel"))
            writer.writerow([*options, 0.3 + 0.05 * math.log10(macs) + 0.05 * good + rng.normal(0, 0.02)])
    return {path.stem if path.suffix == ".yaml" else "table": path for path in folder.iterdir()}


def _population(files: dict[str, Path], name: str, **given: Any) -> Population:
    from nas.workers.simulated import SimulatedPool

    rows = nas.load_space(files["all"]).for_data((3, 16, 16), 4)
    table = read_table(rows, TableSettings(file=str(files["table"]), scores={"val_accuracy": "val_accuracy"}))
    space = nas.load_space(files[name]).for_data((3, 16, 16), 4)
    return evaluate_population(
        Drawn(space=space, name=name, share=1.0),
        pool=SimulatedPool(TableEvaluator(table)),
        settings=with_keywords(PYTHON_SETTINGS, {"trials": 60, **given}),
        budget=None,
    )


def test_a_population_is_drawn_uniformly_within_the_limits(files: dict[str, Path]) -> None:
    found = _population(files, "all", trials=300, constraints={"params": 12_000})
    assert len({network.arch_id for network in found.networks}) == len(found.networks) == 300
    assert found.values("params").max() <= 12_000
    again = _population(files, "all", trials=300, constraints={"params": 12_000})
    assert found == again
    assert found.networks != _population(files, "all", trials=300, constraints={"params": 12_000}, seed=1).networks
    space = nas.load_space(files["all"]).for_data((3, 16, 16), 4)
    costs = [nas.cost_of(space.decode(genotype)).params for genotype in space.enumerate()]
    every = np.array([cost for cost in costs if cost <= 12_000])
    assert found.values("params").mean() == pytest.approx(every.mean(), abs=4 * every.std() / math.sqrt(300))
    seen = acceptance_of(space, {"params": 12_000}, name="all")
    assert seen.share == pytest.approx(len(every) / len(costs), abs=0.06)


def test_a_small_space_gives_all_that_it_has(files: dict[str, Path]) -> None:
    found = _population(files, "fives", trials=100)
    assert len(found.networks) == 64
    every = SpaceComparison([_population(files, "all"), found], 100, "1 - val_accuracy", "macs")
    assert any("no more than 64 networks were found, not 100" in line for line in table_of(every))


def test_populations_that_there_are_none_of(files: dict[str, Path]) -> None:
    space = nas.load_space(files["all"]).for_data((3, 16, 16), 4)
    with pytest.raises(SpaceError, match=r"all: no network that holds the limits .* params .* is over 100"):
        acceptance_of(space, {"params": 100}, name="all")
    with pytest.raises(SpaceError, match=r"strange: no network could be evaluated: .* is not in it"):
        _population(files, "strange", trials=4)
    with pytest.raises(EvaluationError, match=r"the last 5 evaluations failed alike, .* is not in it"):
        _population(files, "strange", trials=5)


def test_what_weakens_a_comparison_is_said() -> None:
    networks = tuple(EvaluatedNetwork(str(number), number / 10, nas.Cost(macs=10 + number)) for number in range(8))
    weak = Population(name="weak", networks=networks, share=0.001, failed=2, reason="lost")
    good = Population(name="good", networks=networks, share=0.5)
    lines = table_of(SpaceComparison([good, weak], 8, "loss", None))
    assert "whatever its complexity" in lines[0]
    assert [line for line in lines if line.startswith("- weak:")] == [
        "- weak: 2 networks gave no score and are left out; the first: lost",
        "- weak: only 0.1% of random genotypes hold the limits, so that some networks were brought there by mutation "
        "and are not drawn uniformly",
    ]
    assert not [line for line in lines if line.startswith("- good:")]


# The command


def test_the_command_on_a_table(files: dict[str, Path], tmp_path: Path) -> None:
    words = [
        "compare", files["all"], files["fives"], files["threes"], "evaluator=table", f"evaluator.file={files['table']}",
        "trials=60", f"records.dir={tmp_path}", "name=c", "constraints.macs=[1e4,5e5]",
    ]  # fmt: skip
    done = run("nas.spaces", *words)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| /")]
    assert [line.rsplit(": ", 1)[-1] for line in rows[1:]] == ["better |", "worse |"]
    with (tmp_path / "c" / "populations.csv").open() as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["space", "arch_id", "error", "params", "macs", "weight"]
    for name in ("all", "fives", "threes"):
        weights = [float(row["weight"]) for row in found if row["space"] == str(files[name])]
        assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert (tmp_path / "c" / "edf.svg").read_text().startswith("<?xml")
    assert "better |" in (tmp_path / "c" / "report.md").read_text()
    again = run("nas.spaces", *words)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    other = run("nas.spaces", *words, "resume=true", "seed=1")
    assert (other.returncode, "seed was 0" in other.stderr) == (2, True)
    done = run("nas.spaces", *words, "resume=true", "complexity=null", "--json")
    assert "whatever its complexity" in done.stderr
    facts, errors = json.loads(done.stdout), defaultdict(list)
    with (tmp_path / "c" / "populations.csv").open() as file:
        for row in csv.DictReader(file):
            errors[row["space"]].append(float(row["error"]))
    means = {name: fmean(values) for name, values in errors.items()}
    assert {name: one["mean"] for name, one in facts["spaces"].items()} == pytest.approx(means)
    assert (facts["best"], facts["complexity"]) == (min(means, key=lambda name: means[name]), None)
    assert facts["spaces"][str(files["fives"])]["minus_first"]["verdict"] == "better"


@pytest.mark.slow  # two searches with worker processes
def test_the_command_trains_and_goes_on(tmp_path: Path) -> None:
    words = ["compare", "mbconv", "resnet", "data=synthetic", "data.samples=60", "train.epochs=1", "workers=1"]
    words += [f"records.dir={tmp_path}", "name=t", "complexity=null", "constraints.params=1e5"]
    done = run("nas.spaces", *words, "trials=2")
    assert done.returncode == 0, done.stderr
    before = (tmp_path / "t" / "populations.csv").read_text().splitlines()
    more = run("nas.spaces", *words, "trials=3", "resume=true")
    assert more.returncode == 0, more.stderr
    after = (tmp_path / "t" / "populations.csv").read_text().splitlines()
    kept = [line.rsplit(",", 1)[0] for line in before]
    assert len(after) == 7
    assert [line.rsplit(",", 1)[0] for line in after if line.rsplit(",", 1)[0] in kept] == kept


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which command?"),
        (["comapre", "mbconv", "resnet"], "Did you mean 'compare'?"),
        (["compare", "mbconv", "trials=3", "resnet"], "'resnet' is no setting=value"),
    ],
)
def test_words_that_do_not_fit(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        overrides_from(words)


def test_words_become_a_setting() -> None:
    assert overrides_from(["compare", "a", "it's/b.yaml", "x=1", "--cfg", "job"]) == [
        "+spaces=['a','it\\'s/b.yaml']", "x=1", "--cfg", "job"
    ]  # fmt: skip
    assert overrides_from(["compare", "--help"]) == ["--help"]


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1).filter(lambda text: "=" not in text))
def test_hydra_reads_names_back(name: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    (word, *_) = overrides_from(["compare", f"x{name}"])
    values: Any = OverridesParser.create().parse_override(word).value()
    assert OmegaConf.to_container(OmegaConf.create(values), resolve=True) == [f"x{name}"]


def test_the_command_refuses_slips(tmp_path: Path) -> None:
    for words, message in (
        (["compare", "mbconv"], "two or more different spaces"),
        (["compare", "mbconv", "resnett"], "Did you mean 'resnet'"),
        (["compare", "mbconv", "resnet", "complexity=mac"], "Did you mean 'macs'"),
        (["compare", "mbconv", "resnet", "trails=3"], "Did you mean 'trials'"),
        ([], "which command?"),
    ):
        done = run("nas.spaces", *words, *([f"records.dir={tmp_path}"] if words else []))
        assert (done.returncode, message in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
    helped = run("nas.spaces", "--help")
    assert helped.returncode == 0
    assert "python -m nas.spaces compare [SPACE SPACE ...]" in helped.stdout
