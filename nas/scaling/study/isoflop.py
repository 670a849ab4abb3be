"""Networks of several sizes at the same cost of training: the best size for each, and how it grows with the cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path
from statistics import fmean

from nas.errors import NasError
from nas.run_folder import writing
from nas.scaling.laws.law import Law
from nas.scaling.laws.observations import Observation
from nas.scaling.laws.optimum import Estimate, best_size, growth_exponent, joint_law, parabola_minimum
from nas.scaling.study.report import LOSS_TEXT, fit_text, law_text, mean_text
from nas.scaling.study.scaling_study import Study
from nas.scaling.study.sizes import Shown, Sized

_SIZES = 4
"""Different sizes that a parabola with an estimate of its error needs."""
_LOOSE = 0.2
"""How far whole epochs may miss a budget, as a share of it."""


@dataclass(frozen=True)
class Profile:
    """What sizes showed at one cost of training."""

    budget: float
    """Multiply-adds of all examples together, as a multiple of what the base takes with the recipe's epochs."""
    sizes: tuple[Shown, ...]

    @property
    def work(self) -> float:
        """Multiply-adds of a network times epochs, as near as whole epochs come to the budget."""
        return exp(fmean(log(one.sized.member.cost.macs * one.sized.recipe.epochs) for one in self.sizes))

    @property
    def parabola(self) -> float | None:
        """Multiply-adds where a parabola through the sizes is lowest; None where it has no such point among them."""
        good = [one for one in self.sizes if one.losses and min(one.losses) > 0]
        if len(good) < max(_SIZES, len(self.sizes)):
            return None
        macs = [float(one.sized.member.cost.macs) for one in good]
        return parabola_minimum(macs, [exp(fmean(map(log, one.losses))) for one in good])

    @property
    def range(self) -> tuple[float, float]:
        """Multiply-adds of the smallest and of the largest size."""
        macs = [float(one.sized.member.cost.macs) for one in self.sizes]
        return min(macs), max(macs)


def profiles(study: Study, sizes: Sequence[Sized]) -> list[Profile]:
    """Train every size for as many epochs as each budget gives it.

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
        found.append(Profile(budget, tuple(study.show(kept))))
    return found


def _within(one: Sized, budget: float, epochs: int) -> Sized | None:
    """The size with as many epochs as the budget gives it."""
    allowed = round(budget * epochs / one.times)
    if abs(allowed * one.times / (budget * epochs) - 1) > _LOOSE:
        return None
    return replace(one, recipe=replace(one.recipe, epochs=allowed))


def law_of(found: Sequence[Profile], seed: int) -> Law | str:
    """Fit E + A N^-a + B D^-b to all of them, with N multiply-adds and D epochs; or say why there is none."""
    observations = [
        Observation((size.size("macs"), float(run.epochs)), loss, run.key)
        for one in found
        for size in one.sizes
        for run, loss in zip(size.good, size.losses, strict=True)
    ]
    try:
        return joint_law(observations, seed=seed)
    except NasError as error:
        return str(error)


def best_of(law: Law | str, one: Profile) -> Estimate | None:
    """The best size at one cost of training by the law, where there is one."""
    return None if isinstance(law, str) else best_size(law, one.work)


def isoflop_lines(found: Sequence[Profile], law: Law | str, loss: str) -> list[str]:
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
                f"{size.sized.recipe.epochs} | {mean_text(size.losses, loss)} | {len(size.losses)} |"
            )
    lines.append("")
    for one in found:
        lines += _best_lines(one, best_of(law, one))
    if isinstance(law, str):
        return [*lines, f"Law in N multiply-adds and D epochs: {law}"]
    power = growth_exponent(law)
    lines.append(
        f"The best size grows as the cost of training to the power {power.value:.2f} ({power.low:.2f} to "
        f"{power.high:.2f}), 90 % interval"
    )
    return [*lines, f"Law in N multiply-adds and D epochs: {law_text(law)}", *filter(None, [fit_text(law)])]


def _best_lines(one: Profile, best: Estimate | None) -> list[str]:
    """The best size at one cost, and what the parabola says of it."""
    at, (smallest, largest) = one.parabola, one.range
    if best is None:
        guess = "no size is the lowest" if at is None else f"a parabola, untested, is lowest at {at:,.0f} MACs"
        return [f"Budget {one.budget:g}: no best size, since there is no law; {guess}"]
    ends = f"90 % interval {best.low:,.0f} to {best.high:,.0f}"
    if not smallest <= best.value <= largest:
        side = "smaller" if best.value < smallest else "larger"
        text = f"the best size is {side} than those that were trained, by the law {best.value:,.0f} MACs ({ends})"
    else:
        text = f"the best size is {best.value:,.0f} MACs ({ends})"
    lines = [f"Budget {one.budget:g}: {text}"]
    if at is not None and not best.low <= at <= best.high:
        lines.append(
            f"  Mind: a parabola through its sizes is lowest at {at:,.0f} MACs, outside that interval; the law is "
            "of all budgets, and holds further from the best size than a parabola does"
        )
    return lines


def draw_isoflop(found: Sequence[Profile], law: Law | str, loss: str, path: Path) -> None:
    """Draw the loss against the size, a curve a budget, with the best sizes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for number, one in enumerate(found):
        x = [size.sized.member.cost.macs for size in one.sizes]
        axes.plot(x, [size.mean for size in one.sizes], "o-", color=f"C{number}", label=f"budget {one.budget:g}")
        best = best_of(law, one)
        if best is not None and one.range[0] <= best.value <= one.range[1]:
            axes.axvline(best.value, color=f"C{number}", linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="multiply-adds", ylabel=LOSS_TEXT[loss])
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    with writing(path) as file:
        figure.savefig(file, format="svg")
