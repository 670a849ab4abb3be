"""Learning rates by the step, against torch's own schedulers and values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nas.training.recipe import Recipe
from nas.training.schedule import exponential_factor, lr_factor, lr_schedule


def _torch(total: int, rising: float, anneal: str, start: float, end: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=total,
        pct_start=rising,
        anneal_strategy=anneal,  # type: ignore[arg-type]  # one of two words
        cycle_momentum=False,
        div_factor=1 / start,
        final_div_factor=start / end,
    )
    found = []
    for _ in range(total):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("schedule", "anneal"), [("one_cycle", "cos"), ("triangle", "linear")])
@pytest.mark.parametrize(("total", "rising"), [(10, 0.3), (100, 0.25), (73, 0.5)])
def test_one_cycle_is_that_of_torch(schedule: str, anneal: str, total: int, rising: float) -> None:
    recipe = Recipe(schedule=schedule, warmup_fraction=rising, lr_start=0.2, lr_end=0.07)
    factor = lr_schedule(recipe, total, 5)
    assert [factor(step) for step in range(total)] == pytest.approx(_torch(total, rising, anneal, 0.2, 0.07))


def test_the_defaults_of_one_cycle_are_those_of_torch() -> None:
    factor = lr_schedule(Recipe(schedule="one_cycle", warmup_fraction=0.3), 50, 5)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=50, cycle_momentum=False)
    assert factor(0) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert factor(49) == pytest.approx(optimizer.param_groups[0]["min_lr"])


def test_a_run_too_short_to_rise_begins_at_the_top() -> None:
    factor = lr_schedule(Recipe(schedule="one_cycle", warmup_fraction=0.1), 4, 1)
    assert [factor(0), factor(3)] == pytest.approx([1.0, 4e-6])


def test_exponential_decays_at_once() -> None:
    """20 steps an epoch: 10 of warm-up, and a decay every 2.4 epochs, which is 48 steps, from the first step on."""
    recipe = Recipe(schedule="exponential", warmup_fraction=0.05, lr_decay=0.97, lr_decay_epochs=2.4)
    factor = lr_schedule(recipe, 200, 10)
    assert [factor(step) for step in (0, 9)] == pytest.approx([1 / 11, 10 / 11])
    assert {factor(step) for step in range(10, 48)} == {1.0}
    assert [factor(step) for step in (48, 95, 96, 192)] == pytest.approx([0.97, 0.97, 0.97**2, 0.97**4])


def test_parts_of_steps_do_not_decay() -> None:
    assert [exponential_factor(step, 10, 0.0, decay=0.5, every=2.5) for step in range(6)] == [1, 1, 1, 0.5, 0.5, 0.25]


def test_cosine_is_what_it_was() -> None:
    recipe = Recipe(warmup_fraction=0.2)
    assert [lr_schedule(recipe, 10, 2)(step) for step in range(10)] == [lr_factor(step, 10, 0.2) for step in range(10)]
    assert replace(recipe, schedule="one_cycle") != recipe
