"""The learning-rate range test: what it makes of a loss, what it does to the optimiser, and what it reads."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log10, nan
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import nas
from nas.errors import ConfigError
from nas.training.curves import draw_range_test
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.lr_range import RangeTest, lr_range_test, range_test_of, smoothed_losses, sweep
from nas.training.recipe import Recipe
from nas.training.transfer.settings import Transfer
from tests.training.test_fit import ARCH, DATA, RECIPE

_PLAIN = replace(RECIPE, optimizer="sgd", momentum=0.0, weight_decay=0.0, gradient_clip=None, lr=0.5)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data(DATA)


def test_rates_grow_by_a_factor() -> None:
    rates = sweep(1e-4, 10, 6)
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1, 10])


def test_smoothing_is_a_weighted_mean_from_the_first_loss_on() -> None:
    """Against numpy's weighted mean, whose weights sum to 1 by themselves."""
    losses = [3.0, 1.0, 4.0, 1.5, 9.0]
    for step, smooth in enumerate(smoothed_losses(losses), start=1):
        weights = 0.9 ** np.arange(step)[::-1]
        assert smooth == pytest.approx(np.average(losses[:step], weights=weights))


def _curve(rates: list[float], middle: float, *, noise: float = 0.0) -> list[float]:
    """A loss that falls from 2.3 to .3 around a rate, as a logistic function of its logarithm, and rises from 1 on."""
    x, rng = np.log10(rates), np.random.default_rng(0)
    falling = 0.3 + 2 / (1 + np.exp(6 * (x - log10(middle))))
    rising = np.where(x > 0, 8.0 ** (3 * x) - 1, 0)
    return [float(one) for one in falling + rising + noise * rng.standard_normal(len(rates))]


@pytest.mark.parametrize("middle", [1e-3, 1e-2])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_rate_at_which_a_loss_falls_fastest(middle: float, noise: float) -> None:
    """The middle of a logistic function, whatever the smoothing puts off."""
    rates = sweep(1e-6, 10, 140)
    found = range_test_of(rates, _curve(rates, middle, noise=noise))
    assert found.suggested is not None
    assert abs(log10(found.suggested) - log10(middle)) < (0.25 if noise else 0.15)
    assert found.lowest_at is not None
    assert middle < found.lowest_at <= 3
    assert found.problem == ""


def test_where_a_loss_diverges() -> None:
    rates = sweep(1e-6, 10, 140)
    losses = _curve(rates, 1e-3)
    ends = next(n for n in range(1, 141) if range_test_of(rates, losses[:n]).diverged_at is not None)
    found = range_test_of(rates, losses[:ends])
    assert found.diverged_at == rates[ends - 1]
    assert 1 < found.diverged_at < 10
    assert found.smoothed[-1] > max(4 * min(found.smoothed), found.smoothed[0])
    for last in (nan, inf):
        assert range_test_of(rates, [*losses[:30], last]).diverged_at == rates[30]


@pytest.mark.parametrize(
    ("losses", "problem"),
    [
        ([2.3] * 140, "the loss did not fall"),
        ([2.3 + 0.01 * step for step in range(140)], "the loss did not fall"),
        ([2.3, 2.3, 50.0], "the loss diverged after 3 steps: begin with a lower rate"),
        ([2.3] * 60 + [nan], "the loss rose before it had fallen"),
        ([nan], "the loss diverged after 1 steps"),
    ],
)
def test_a_loss_that_says_nothing(losses: list[float], problem: str, tmp_path: Path) -> None:
    found = range_test_of(sweep(1e-6, 10, 140), losses)
    assert found.suggested is None
    assert found.problem.startswith(problem)
    draw_range_test(tmp_path / "drawn.png", found)
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


class _Unread:
    """A split that nobody may read."""

    labels = torch.zeros(100, dtype=torch.int64)

    def read(self, indices: Tensor) -> Tensor:
        raise AssertionError("the validation split was read")


def test_each_step_has_its_rate_and_its_loss(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of plain SGD are the rate times the gradient, so the weights tell the rate; with batches added up."""
    rates: list[float] = []
    step = torch.optim.SGD.step

    def watched(optimizer: torch.optim.SGD, closure: object = None) -> object:
        weight = optimizer.param_groups[0]["params"][0]
        before = weight.detach().clone()
        found = step(optimizer, closure)
        assert weight.grad is not None
        rates.append(float((before - weight.detach()).norm() / weight.grad.norm()))
        return found

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    said: list[tuple[int, float, float]] = []
    found = lr_range_test(
        ARCH,
        replace(data, val=_Unread()),
        replace(_PLAIN, accumulate=2),
        low=1e-4,
        high=1e-2,
        steps=30,
        seed=0,
        accelerator="cpu",
        say=lambda *line: said.append(line),
    )
    assert rates == pytest.approx(sweep(1e-4, 1e-2, 30), rel=0.01)  # of differences of fp32
    assert found.rates == tuple(sweep(1e-4, 1e-2, 30))
    assert [one[0] for one in said] == [*range(1, 31)]
    assert tuple(one[2] for one in said) == found.losses
    # The loss of a batch, not the part of it that Lightning adds up: about that of four classes.
    assert 1.0 < found.losses[0] < 2.5
    assert found.diverged_at is None


def test_a_network_has_a_rate_between_too_low_and_too_high(data: ImageData) -> None:
    """And a training at the suggested rate does better than at a hundredth of it."""
    recipe = replace(_PLAIN, momentum=0.9)
    found = lr_range_test(ARCH, data, recipe, low=1e-6, high=100, steps=120, seed=0, accelerator="cpu")
    assert found.suggested is not None
    assert 1e-4 < found.suggested < 1
    scores = [
        nas.training.fit.fit(ARCH, data, replace(recipe, lr=rate, epochs=2), seed=0).scores["val_loss"]
        for rate in (found.suggested, found.suggested / 100)
    ]
    assert scores[0] < scores[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"low": 1.0, "high": 1.0}, "`0 < low < high`, but got low=1, high=1"),
        ({"steps": 26}, "27 steps at least, but got 26"),
        ({"transfer": Transfer(weights="a", style="features")}, "transfer.style=features"),
    ],
)
def test_what_is_no_test(settings: dict[str, object], words: str, data: ImageData) -> None:
    given: dict[str, object] = {"low": 1e-6, "high": 1.0, "steps": 50, "seed": 0} | settings
    with pytest.raises(ConfigError, match=words):
        lr_range_test(ARCH, data, Recipe(), **given)  # type: ignore[arg-type]


def test_plain_values() -> None:
    found = range_test_of([0.1, 1.0], [2.0, 1.0])
    assert RangeTest(**found.to_dict()) == found
