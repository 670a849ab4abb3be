"""Networks of several sizes at the same cost of training: the best size for each, and how it grows with the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path

import numpy as np

from nas.errors import NasError
from nas.run_folder import writing
from nas.scale.forms import PARAMS_DATA, Array
from nas.scale.law import Law, Observation, fit_law, stretch
from nas.scale.report import LOSS_TEXT, law_text, mean_text
from nas.scale.study import Study
from nas.scale.sweep import Shown, Sized

_DRAWS = 1000
_SIZES = 4
"""Different sizes that a parabola with an estimate of its error needs."""
_LOOSE = 0.2
"""How far whole epochs may miss a budget, as a share of it."""
_BUDGETS = 3
"""Budgets that a power law with an estimate of its error needs."""


@dataclass(frozen=True)
class Best:
    """The best size for one cost of training."""

    budget: float
    """Multiply-adds of all examples together, as a multiple of what the base takes with the recipe's epochs."""
    sizes: tuple[Shown, ...]
    macs: float | None
    """Of the best size; None where the parabola has no lowest point within the sizes."""
    low: float = 0.0
    high: float = 0.0
    """Ends of its 90 % interval."""
    draws: tuple[float, ...] = ()
    """Logarithms of what else it could be."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class Growth:
    """How the best size grows with the cost of training: as its power `exponent`."""

    exponent: float
    low: float
    high: float


def profiles(study: Study, sizes: Sequence[Sized]) -> list[Best]:
    """Train every size for as many epochs as each budget gives it, and find the best size of each.

    A size that whole epochs bring too far from a budget is left out of it. Hoffmann et al. 2022, "Training
    compute-optimal large language models", section 3.2 (approach 2).

    Raises:
        NasError: a budget in which nothing is left.
    """
    found = []
    for budget in study.config.budgets:
        within = [_within(one, budget, study.config.train.epochs) for one in sizes]
        kept = [one for one in within if one is not None]
        if not kept:
            raise NasError(f"budgets: no size comes near {budget:g} times the base's cost with whole epochs")
        found.append(_best(budget, study.show(kept), study.config.seed))
    return found


def _within(one: Sized, budget: float, epochs: int) -> Sized | None:
    """The size with as many epochs as the budget gives it."""
    allowed = round(budget * epochs / one.times)
    if abs(allowed * one.times / (budget * epochs) - 1) > _LOOSE:
        return None
    return replace(one, recipe=replace(one.recipe, epochs=allowed))


def _best(budget: float, sizes: Sequence[Shown], seed: int) -> Best:
    """The lowest point of a parabola through the logarithms of size and loss, with a bootstrap of its runs."""
    x = np.array([log(size.sized.member.cost.macs) for size in sizes for _ in size.losses])
    y = np.array([log(loss) for size in sizes for loss in size.losses if loss > 0])
    if len(y) < len(x):
        return Best(budget, tuple(sizes), None, reason="a loss of 0 has no logarithm")
    if len(set(x)) < _SIZES:
        return Best(budget, tuple(sizes), None, reason=f"{len(set(x))} sizes, but a parabola needs {_SIZES}")
    columns = np.stack([np.ones_like(x), x - x.mean(), (x - x.mean()) ** 2], axis=1)
    solve = np.linalg.pinv(columns)
    theta = solve @ y
    residual = (y - columns @ theta - (y - columns @ theta).mean()) * np.sqrt(len(y) / max(1, len(y) - 3))
    drawn = columns @ theta + np.random.default_rng(seed).choice(residual, (_DRAWS, len(y)))
    lowest = _lowest(drawn @ solve.T) + x.mean()
    centre = float(_lowest(theta[None])[0] + x.mean())
    if not x.min() <= centre <= x.max():
        side = "smaller" if centre < x.min() else "larger"
        reason = f"the best size is {side} than those that were trained" if theta[2] > 0 else "no size is the best"
        return Best(budget, tuple(sizes), None, reason=reason)
    further = stretch(0.05, max(1, len(y) - 3))
    low, high = (centre + further * (float(np.quantile(lowest, tail)) - centre) for tail in (0.05, 0.95))
    return Best(budget, tuple(sizes), exp(centre), exp(low), exp(high), tuple(lowest.tolist()))


def _lowest(theta: Array) -> Array:
    """The lowest point of each parabola, far out where it has none."""
    curve = np.maximum(theta[:, 2], 1e-9)
    found: Array = np.clip(-theta[:, 1] / (2 * curve), -10, 10)
    return found


def growth(found: Sequence[Best]) -> Growth | None:
    """Fit best size ~ budget^exponent; None below three budgets that have a best size."""
    good = [one for one in found if one.macs is not None]
    if len(good) < _BUDGETS:
        return None
    x = np.log([one.budget for one in good])
    slopes = [
        float(np.polyfit(x, values, 1)[0])
        for values in ([log(one.macs or 1) for one in good], *zip(*(one.draws for one in good), strict=True))
    ]
    low, high = np.quantile(slopes[1:], [0.05, 0.95])
    return Growth(slopes[0], float(low), float(high))


def joint_law(found: Sequence[Best], seed: int) -> Law | str:
    """Fit E + A N^-a + B D^-b to all of them, with N parameters and D epochs; or say why there is none."""
    observations = [
        Observation((size.size("params"), float(run.epochs)), loss, run.key)
        for one in found
        for size in one.sizes
        for run, loss in zip(size.good, size.losses, strict=True)
    ]
    try:
        return fit_law(observations, PARAMS_DATA, seed=seed)
    except NasError as error:
        return str(error)


def isoflop_lines(found: Sequence[Best], loss: str, seed: int) -> list[str]:
    """What was found, as lines of Markdown."""
    lines = [
        f"Mean {LOSS_TEXT[loss]} at equal cost of training, with the 95 % interval over the runs:",
        "",
        "| budget | x base | MACs | params | epochs | mean (interval) | runs |",
        "| --: | --: | --: | --: | --: | --: | --: |",
    ]
    for one in found:
        for size in one.sizes:
            cost = size.sized.member.cost
            lines.append(
                f"| {one.budget:g} | {size.sized.times:.2f} | {cost.macs:,} | {cost.params:,} | "
                f"{size.sized.recipe.epochs} | {mean_text(size.losses)} | {len(size.losses)} |"
            )
    lines.append("")
    for one in found:
        if one.macs is None:
            lines.append(f"Budget {one.budget:g}: {one.reason}")
        else:
            lines.append(
                f"Budget {one.budget:g}: the best size is {one.macs:,.0f} MACs ({one.low:,.0f} to {one.high:,.0f})"
            )
    grown, joint = growth(found), joint_law(found, seed)
    if grown is None:
        lines.append(f"How the best size grows: insufficient: it needs {_BUDGETS} budgets that have one")
    else:
        text = f"{grown.exponent:.2f} ({grown.low:.2f} to {grown.high:.2f})"
        lines.append(f"The best size grows as the cost of training to the power {text}, 90 % interval")
    said = joint if isinstance(joint, str) else law_text(joint)
    return [*lines, f"Law in N parameters and D epochs: {said}"]


def draw_isoflop(found: Sequence[Best], loss: str, path: Path) -> None:
    """Draw the loss against the size, a curve a budget, with the best sizes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for number, one in enumerate(found):
        x = [size.sized.member.cost.macs for size in one.sizes]
        axes.plot(x, [size.mean for size in one.sizes], "o-", color=f"C{number}", label=f"budget {one.budget:g}")
        if one.macs is not None:
            axes.axvline(one.macs, color=f"C{number}", linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="multiply-adds", ylabel=LOSS_TEXT[loss])
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    with writing(path) as file:
        figure.savefig(file, format="svg")
