"""The moving average of weights, against its closed form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

import nas
from nas.training.data.load import load_data
from nas.training.ema import WeightAverage, decay_at
from nas.training.fit import fit
from nas.training.task import TaskModule
from nas.training.weights import load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE


def _steps(average: WeightAverage, values: list[float]) -> tuple[TaskModule, float]:
    """Go through some values of one weight; returns the task and the average."""
    network = nn.Linear(1, 1, bias=False)
    task = TaskModule(network, RECIPE)
    trainer = cast("pl.Trainer", object())
    weight = network.weight
    with torch.no_grad():
        weight.fill_(values[0])
        average.on_train_start(trainer, task)
        for value in values[1:]:
            weight.fill_(value)
            average.on_train_batch_end(trainer, task, None, None, 0)
    return task, float(average.state_dict()["averages"]["weight"])


def test_the_closed_form() -> None:
    """d^n w_0 + (1 - d) sum of d^(n - i) w_i, where the decay is as low as that of its first steps."""
    values = [3.0, 1.0, -2.0, 5.0, 0.5]
    decay, count = 0.05, len(values) - 1
    expected = decay**count * values[0] + (1 - decay) * sum(
        decay ** (count - i) * value for i, value in enumerate(values[1:], start=1)
    )
    assert _steps(WeightAverage(decay), values)[1] == pytest.approx(expected, rel=1e-6)


def test_the_first_steps_decay_faster() -> None:
    assert [decay_at(step, 0.99) for step in (1, 3, 9)] == [1 / 10, 3 / 12, 0.5]
    assert decay_at(10_000, 0.99) == 0.99
    # 0.1 * 4 + 0.9 * 2 = 2.2, then 2/11 * 2.2 + 9/11 * 1
    assert _steps(WeightAverage(0.9), [4.0, 2.0, 1.0])[1] == pytest.approx(2 / 11 * 2.2 + 9 / 11, rel=1e-6)


def test_the_average_takes_the_place_of_the_weights_in_validation_only() -> None:
    average = WeightAverage(0.9)
    task, value = _steps(average, [4.0, 2.0, 1.0])
    weight = cast("Tensor", task.network.weight)
    trainer = cast("pl.Trainer", object())
    average.on_validation_start(trainer, task)
    assert float(weight.detach()) == pytest.approx(value)
    average.on_validation_end(trainer, task)
    assert float(weight.detach()) == 1.0
    assert float(average.state_dict()["averages"]["weight"]) == pytest.approx(value)


def test_what_is_kept_is_the_average_of_all_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights after each step are noted, and averaged by hand."""
    seen: list[dict[str, Tensor]] = []
    step, start = WeightAverage.on_train_batch_end, WeightAverage.on_train_start

    def note(module: Any) -> None:
        seen.append({name: p.detach().clone() for name, p in module.network.named_parameters()})

    def started(self: WeightAverage, trainer: Any, module: Any) -> None:
        note(module)
        start(self, trainer, module)

    def stepped(self: WeightAverage, trainer: Any, module: Any, *rest: Any) -> None:
        note(module)
        step(self, trainer, module, *rest)

    monkeypatch.setattr(WeightAverage, "on_train_start", started)
    monkeypatch.setattr(WeightAverage, "on_train_batch_end", stepped)
    path = tmp_path / "weights.safetensors"
    recipe = replace(RECIPE, ema=0.8)
    fit(ARCH, load_data(DATA), recipe, nas.Budget(epochs=2, weights=str(path)), seed=1)
    expected = seen[0]
    for number, weights in enumerate(seen[1:], start=1):
        decay = min(0.8, number / (number + 9))
        expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in expected}
    kept = load_weights(path)
    for name, value in expected.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-4, atol=1e-6)
    assert not torch.equal(kept[name], seen[-1][name])
