"""The predictor against times that follow a known law, and its closed forms against doing it the long way."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import RBF

import nas
from nas.latency import fitting
from nas.latency.features import OpFeatures, network_features
from nas.latency.fitting import conformal_bound, fit
from nas.latency.kernel import LENGTHSCALES, SIZE_LENGTHSCALES, Kernel, terms_of
from nas.latency.predictor import Predictor

SPACES = ("mbconv", "resnet")


def _networks(count: int, seed: int) -> list[list[OpFeatures]]:
    rng, rows = random.Random(seed), list[list[OpFeatures]]()
    while len(rows) < count:
        space = nas.load_space(SPACES[len(rows) % 2])
        rows.append(network_features(space.decode(space.sample(rng))))
    return rows


def _law(rows: list[OpFeatures]) -> float:
    """A device whose convolutions slow down with few channels, and which starts an operation in 2 us."""
    total = 0.0
    for row in rows:
        numbers = row.numbers
        macs, reads, writes = (math.exp(n) - 1 for n in (numbers.log_macs, numbers.log_read, numbers.log_written))
        few = 1 + 30 / math.exp(numbers.log_out_channels)
        kind = {"depthwise": 4.0, "pointwise": 1.0}.get(row.kind, 1.5)
        total += 0.002 + kind * few * macs / 2e7 + (reads + writes) / 4e6
    return total


@pytest.fixture(scope="module")
def learned() -> tuple[Predictor, NDArray[Any], list[list[OpFeatures]]]:
    rows = _networks(150, 0)
    noise = np.random.default_rng(0).normal(0, 0.01, len(rows))
    predictor, errors = fit(rows, [_law(one) * math.exp(e) for one, e in zip(rows, noise, strict=True)])
    return predictor, errors, rows


def test_unseen_networks_are_predicted(learned: tuple[Predictor, NDArray[Any], Any]) -> None:
    predictor, errors, _ = learned
    found = [(predictor.predict(rows), _law(rows)) for rows in _networks(100, 1)]
    off = np.array([one.ms / true - 1 for one, true in found])
    assert (np.abs(off) < 0.1).mean() >= 0.95
    # What it says of its own errors is about what they are.
    assert np.abs(errors).mean() == pytest.approx(np.abs(off).mean(), rel=0.5)
    covered = np.mean([one.low_ms <= true <= one.high_ms for one, true in found])
    assert covered >= 0.85


def test_judged_by_other_figures() -> None:
    rows = _networks(40, 3)
    ms = [_law(one) for one in rows]
    _, errors = fit(rows, ms)
    _, judged = fit(rows, ms, judged=[2 * one for one in ms])
    np.testing.assert_allclose(judged, (1 + errors) / 2 - 1)


def test_errors_are_those_of_leaving_each_network_out() -> None:
    rows = _networks(30, 2)
    data = fitting.Measurements.of(rows, [_law(one) for one in rows])
    prior = fitting._prior(data)
    expected = np.concatenate([terms_of(data.numbers[span]) @ prior[kind] for kind, span in data.spans.items()])
    shares = data.counts * expected / data.ms[:, None]
    kernel = Kernel()
    posterior = fitting._condition(data, shares, kernel)
    # The covariance between networks by its definition, with the kernel of scikit-learn.
    kinds = np.array([op.kind for op in data.ops])
    of_ops = RBF(LENGTHSCALES)(data.numbers)
    same = kinds[:, None] == kinds[None]
    of_networks = RBF(SIZE_LENGTHSCALES)(data.sizes)
    mean = shares.sum(1)
    covariance = shares @ (same * (kernel.op**2 * of_ops + kernel.kind**2)) @ shares.T
    covariance += kernel.network**2 * of_networks * np.outer(mean, mean)
    noisy = covariance + kernel.noise**2 * np.eye(len(rows))
    for left in (0, 7, 29):
        others = [i for i in range(len(rows)) if i != left]
        weights = np.linalg.solve(noisy[np.ix_(others, others)], (1 - mean)[others])
        assert posterior.residuals[left] == pytest.approx(1 - mean[left] - covariance[left, others] @ weights, abs=1e-8)


def test_a_file_predicts_the_same(learned: tuple[Predictor, Any, list[list[OpFeatures]]]) -> None:
    predictor, _, rows = learned
    again = Predictor(json.loads(json.dumps(predictor.to_dict())))
    for one in rows[:10]:
        assert again.predict(one) == pytest.approx((*predictor.predict(one)[:3], ""))


def test_what_was_not_measured_is_said(learned: tuple[Predictor, Any, Any]) -> None:
    predictor, _, _ = learned
    series = nas.load_space("conv1d")
    assert predictor.predict(network_features(series.decode(series.sample(0)))).unknown
    large = nas.load_space("mbconv").for_data((3, 320, 320), 10)
    assert "of this size" in predictor.predict(network_features(large.decode(large.sample(0)))).unknown
    known = nas.load_space("mbconv")
    assert not predictor.predict(network_features(known.decode(known.sample(99)))).unknown
    rows = network_features(known.decode(known.sample(99)))
    assert predictor.predict([*rows, rows[0]._replace(kind="attention")]).unknown == "attention operations"


def test_conformal_bound_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        errors = np.expm1(rng.normal(0, 0.05, 99))
        covered.append(abs(rng.normal(0, 0.05)) <= conformal_bound(errors))
    # 90 of 100 by exchangeability; 400 draws have a standard deviation of 1.5 %.
    assert 0.85 <= np.mean(covered) <= 0.95
    assert conformal_bound(np.array([0.1] * 8)) == math.inf, "nine in ten cannot be said of eight"
    assert conformal_bound(np.array([0.1, -0.2, *[0.0] * 17])) == pytest.approx(math.log(1.1))


@pytest.mark.parametrize("name", ["mbconv", "resnet", "mobilenet_v3", "vit", "densenet", "nasbench201", "conv1d"])
def test_rows_add_up_to_the_network(name: str) -> None:
    space = nas.load_space(name)
    arch = space.decode(space.sample(5))
    rows, cost = network_features(arch), nas.cost_of(arch)
    macs = sum(math.exp(row.numbers.log_macs) - 1 for row in rows)
    params = sum(math.exp(row.numbers.log_params) - 1 for row in rows)
    assert macs == pytest.approx(cost.macs)
    assert params == pytest.approx(cost.params)
