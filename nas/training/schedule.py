"""The learning rate of each step, as a share of the highest one. Never loads torch."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

from nas.training.recipe import Recipe


def lr_schedule(recipe: Recipe, total: int, epochs: int) -> Callable[[int], float]:
    """Return the share of `train.lr` at a step, from 0.

    Args:
        recipe: `schedule` and what belongs to it.
        total: steps of the whole run.
        epochs: of the whole run.
    """
    if recipe.schedule in ("one_cycle", "triangle"):
        bend = half_cosine if recipe.schedule == "one_cycle" else straight
        return lambda step: one_cycle_factor(
            step, total, recipe.warmup_fraction, start=recipe.lr_start, end=recipe.lr_end, bend=bend
        )
    if recipe.schedule == "exponential":
        every = recipe.lr_decay_epochs * total / epochs
        return lambda step: exponential_factor(step, total, recipe.warmup_fraction, decay=recipe.lr_decay, every=every)
    return lambda step: lr_factor(step, total, recipe.warmup_fraction)


def lr_factor(step: int, total: int, warmup_fraction: float) -> float:
    """Return the share of the highest learning rate at a step: linear warm-up, then half a cosine down to 0.

    Loshchilov & Hutter 2017, "SGDR", equation 5, without restarts; the warm-up as in Goyal et al. 2017, "Accurate,
    large minibatch SGD".

    Args:
        step: from 0.
        total: steps of the whole run.
        warmup_fraction: share of them in which the rate rises.
    """
    warmup = round(total * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + cos(pi * min(1.0, progress)))


def exponential_factor(step: int, total: int, warmup_fraction: float, *, decay: float, every: float) -> float:
    """Return the share at a step: linear warm-up, then `decay` to the power of the whole times `every` has passed.

    Tan & Le 2019, "EfficientNet", section 5.2, whose code counts the decays from the first step of the warm-up on.

    Args:
        step: from 0.
        total: steps of the whole run.
        warmup_fraction: share of them in which the rate rises.
        decay: factor.
        every: steps between two decays.
    """
    warmup = round(total * warmup_fraction)
    return (step + 1) / (warmup + 1) if step < warmup else decay ** int(step / every)


def one_cycle_factor(
    step: int, total: int, rising: float, *, start: float, end: float, bend: Callable[[float, float, float], float]
) -> float:
    """Return the share at a step: from `start` up to 1, and from there down to `end` at the last step.

    Smith & Topin 2019, "Super-convergence: very fast training of neural networks using large learning rates", as
    torch's `OneCycleLR` has it, with two phases; the momentum stays as it is.

    Args:
        step: from 0.
        total: steps of the whole run.
        rising: share of them in which the rate rises.
        start: share at the first step.
        end: share at the last step.
        bend: how it goes from one share to another.
    """
    top, last = max(0.0, rising * total - 1), max(1, total - 1)
    if step <= top and top > 0:
        return bend(start, 1.0, step / top)
    return bend(1.0, end, min(1.0, (step - top) / max(1e-12, last - top)))


def half_cosine(first: float, then: float, progress: float) -> float:
    """Return what lies between two values at a progress from 0 to 1, by half a cosine."""
    return then + (first - then) * (1 + cos(pi * progress)) / 2


def straight(first: float, then: float, progress: float) -> float:
    """Return what lies between two values at a progress from 0 to 1, in a straight line."""
    return first + (then - first) * progress
