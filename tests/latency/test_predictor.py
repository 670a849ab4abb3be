"""The predictor against times that follow a known law, and its closed forms against doing it the long way."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nas
from nas.latency import predictor as module
from nas.latency.features import OpRow, network_rows
from nas.latency.predictor import Predictor, conformal_bound, fit

SPACES = ("mbconv", "resnet")


def _networks(count: int, seed: int) -> list[list[OpRow]]:
    rng, rows = random.Random(seed), list[list[OpRow]]()
    while len(rows) < count:
        space = nas.load_space(SPACES[len(rows) % 2])
        rows.append(network_rows(space.decode(space.sample(rng))))
    return rows


def _law(rows: list[OpRow]) -> float:
    """A device whose convolutions slow down with few channels, and which starts an operation in 2 us."""
    total = 0.0
    for row in rows:
        macs, reads, writes = (math.exp(n) - 1 for n in row.numbers[:3])
        few = 1 + 30 / math.exp(row.numbers[5])
        kind = {"depthwise": 4.0, "pointwise": 1.0}.get(row.kind, 1.5)
        total += 0.002 + kind * few * macs / 2e7 + (reads + writes) / 4e6
    return total


@pytest.fixture(scope="module")
def learned() -> tuple[Predictor, NDArray[Any], list[list[OpRow]]]:
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
    data = module._Data.of(rows, [_law(one) for one in rows])
    prior = module._prior(data)
    expected = np.concatenate([module._terms(data.numbers[span]) @ prior[kind] for kind, span in data.spans.items()])
    shares = data.counts * expected / data.ms[:, None]
    kernel = module._Kernel()
    every = module._solve(data, shares, kernel)
    # The covariance between networks by its definition, one pair of operations after another.
    places = list(range(len(data.rows)))
    kinds = np.array([row.kind for row in data.rows])
    scaled = data.numbers / module._LENGTHS
    near = np.array([[math.exp(-0.5 * ((scaled[a] - scaled[b]) ** 2).sum()) for b in places] for a in places])
    same = kinds[:, None] == kinds[None]
    sizes = data.sizes / module._NETWORK_LENGTHS
    alike = np.exp(-0.5 * ((sizes[:, None] - sizes[None]) ** 2).sum(2))
    mean = shares.sum(1)
    covariance = shares @ (same * (kernel.op**2 * near + kernel.kind**2)) @ shares.T
    covariance += kernel.network**2 * alike * np.outer(mean, mean)
    noisy = covariance + kernel.noise**2 * np.eye(len(rows))
    for left in (0, 7, 29):
        others = [i for i in range(len(rows)) if i != left]
        weights = np.linalg.solve(noisy[np.ix_(others, others)], (1 - mean)[others])
        assert every.residuals[left] == pytest.approx(1 - mean[left] - covariance[left, others] @ weights, abs=1e-8)


def test_a_file_predicts_the_same(learned: tuple[Predictor, Any, list[list[OpRow]]]) -> None:
    predictor, _, rows = learned
    again = Predictor(json.loads(json.dumps(predictor.to_dict())))
    for one in rows[:10]:
        assert again.predict(one) == pytest.approx((*predictor.predict(one)[:3], ""))


def test_what_was_not_measured_is_said(learned: tuple[Predictor, Any, Any]) -> None:
    predictor, _, _ = learned
    series = nas.load_space("conv1d")
    assert predictor.predict(network_rows(series.decode(series.sample(0)))).unknown
    large = nas.load_space("mbconv").for_data((3, 320, 320), 10)
    assert "of this size" in predictor.predict(network_rows(large.decode(large.sample(0)))).unknown
    known = nas.load_space("mbconv")
    assert not predictor.predict(network_rows(known.decode(known.sample(99)))).unknown
    rows = network_rows(known.decode(known.sample(99)))
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
    rows, cost = network_rows(arch), nas.cost_of(arch)
    macs, params = (sum(math.exp(row.numbers[i]) - 1 for row in rows) for i in (0, 3))
    assert macs == pytest.approx(cost.macs)
    assert params == pytest.approx(cost.params)
