"""IsoFLOP profiles: networks of several sizes at equal cost of training, and the best size for each cost."""

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
from nas.scaling.study.scaling_study import ScalingStudy
from nas.scaling.study.sizes import SizeResult, TrainingSetup

_MIN_SIZES = 4
"""Number of different sizes that a parabola with an estimate of its error needs."""
_TOLERANCE = 0.2
"""How far whole epochs may miss a budget, as a share of it."""


@dataclass(frozen=True)
class IsoflopProfile:
    """The results of several sizes at the same cost of training."""

    budget: float
    """Multiply-adds of all examples together, as a multiple of the base's with the recipe's epochs."""
    sizes: tuple[SizeResult, ...]

    @property
    def work(self) -> float:
        """Multiply-adds of a network times epochs: the geometric mean, since whole epochs miss the budget a little."""
        return exp(fmean(log(size.setup.member.cost.macs * size.setup.recipe.epochs) for size in self.sizes))

    @property
    def parabola(self) -> float | None:
        """Multiply-adds at the minimum of a parabola through the sizes; None where it has none among them."""
        usable = [size for size in self.sizes if size.losses and min(size.losses) > 0]
        if len(usable) < max(_MIN_SIZES, len(self.sizes)):
            return None
        macs = [float(size.setup.member.cost.macs) for size in usable]
        return parabola_minimum(macs, [exp(fmean(map(log, size.losses))) for size in usable])

    @property
    def range(self) -> tuple[float, float]:
        """Multiply-adds of the smallest and of the largest size."""
        macs = [float(size.setup.member.cost.macs) for size in self.sizes]
        return min(macs), max(macs)


def isoflop_profiles(study: ScalingStudy, sizes: Sequence[TrainingSetup]) -> list[IsoflopProfile]:
    """Train every size for the epochs that each budget gives it.

    A size that whole epochs bring too far from a budget is left out of it. Hoffmann et al. 2022, "Training
    compute-optimal large language models", section 3.2 (approach 2).

    Raises:
        NasError: a budget that no size meets with whole epochs.
    """
    profiles = []
    for budget in study.config.budgets:
        setups = [_with_epochs(setup, budget, study.config.train.epochs) for setup in sizes]
        kept = [setup for setup in setups if setup is not None]
        if not kept:
            raise NasError(f"budgets: no size comes near {budget:g} times the base's cost with whole epochs")
        profiles.append(IsoflopProfile(budget, tuple(study.results_of(kept))))
    return profiles


def _with_epochs(setup: TrainingSetup, budget: float, epochs: int) -> TrainingSetup | None:
    """Return the size with the epochs that the budget gives it; None where whole epochs miss the budget too far."""
    allowed = round(budget * epochs / setup.times)
    if abs(allowed * setup.times / (budget * epochs) - 1) > _TOLERANCE:
        return None
    return replace(setup, recipe=replace(setup.recipe, epochs=allowed))


def fit_profiles(profiles: Sequence[IsoflopProfile], seed: int) -> Law | str:
    """Fit E + A N^-a + B D^-b to all profiles, with N multiply-adds and D epochs; or return why there is no law."""
    observations = [
        Observation((size.size("macs"), float(run.epochs)), loss, run.key)
        for profile in profiles
        for size in profile.sizes
        for run, loss in zip(size.completed_runs, size.losses, strict=True)
    ]
    try:
        return joint_law(observations, seed=seed)
    except NasError as error:
        return str(error)


def best_size_at(law: Law | str, profile: IsoflopProfile) -> Estimate | None:
    """Return the best size at a cost of training by the law; None where there is no law."""
    return None if isinstance(law, str) else best_size(law, profile.work)


def isoflop_lines(profiles: Sequence[IsoflopProfile], law: Law | str, loss: str) -> list[str]:
    """Return the report of the profiles, as lines of Markdown."""
    lines = [
        f"Mean {LOSS_TEXT[loss]} at equal cost of training, with the 95 % interval over the runs:",
        "",
        "| budget | x base | MACs | params | epochs | mean (interval) | runs |",
        "| --: | --: | --: | --: | --: | --: | --: |",
    ]
    for profile in profiles:
        for size in profile.sizes:
            cost = size.setup.member.cost
            lines.append(
                f"| {profile.budget:g} | {size.setup.times:.2f} | {cost.macs:,} | {cost.params:,} | "
                f"{size.setup.recipe.epochs} | {mean_text(size.losses, loss)} | {len(size.losses)} |"
            )
    lines.append("")
    for profile in profiles:
        lines += _best_lines(profile, best_size_at(law, profile))
    if isinstance(law, str):
        return [*lines, f"Law in N multiply-adds and D epochs: {law}"]
    exponent = growth_exponent(law)
    lines.append(
        f"The best size grows as the cost of training to the power {exponent.value:.2f} ({exponent.low:.2f} to "
        f"{exponent.high:.2f}), 90 % interval"
    )
    return [*lines, f"Law in N multiply-adds and D epochs: {law_text(law)}", *filter(None, [fit_text(law)])]


def _best_lines(profile: IsoflopProfile, best: Estimate | None) -> list[str]:
    """Return the best size at a cost, as lines, and the parabola's minimum where it contradicts the law."""
    minimum, (smallest, largest) = profile.parabola, profile.range
    if best is None:
        guess = "no size is the lowest"
        if minimum is not None:
            guess = f"a parabola, untested, is lowest at {minimum:,.0f} MACs"
        return [f"Budget {profile.budget:g}: no best size, since there is no law; {guess}"]
    ends = f"90 % interval {best.low:,.0f} to {best.high:,.0f}"
    if not smallest <= best.value <= largest:
        side = "smaller" if best.value < smallest else "larger"
        text = f"the best size is {side} than those that were trained, by the law {best.value:,.0f} MACs ({ends})"
    else:
        text = f"the best size is {best.value:,.0f} MACs ({ends})"
    lines = [f"Budget {profile.budget:g}: {text}"]
    if minimum is not None and not best.low <= minimum <= best.high:
        lines.append(
            f"  Mind: a parabola through its sizes is lowest at {minimum:,.0f} MACs, outside that interval; the law is "
            "of all budgets, and holds further from the best size than a parabola does"
        )
    return lines


def draw_isoflop(profiles: Sequence[IsoflopProfile], law: Law | str, loss: str, path: Path) -> None:
    """Draw the loss against the size, with a curve and the best size for each budget."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for number, profile in enumerate(profiles):
        x = [size.setup.member.cost.macs for size in profile.sizes]
        losses = [size.mean for size in profile.sizes]
        axes.plot(x, losses, "o-", color=f"C{number}", label=f"budget {profile.budget:g}")
        best = best_size_at(law, profile)
        if best is not None and profile.range[0] <= best.value <= profile.range[1]:
            axes.axvline(best.value, color=f"C{number}", linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="multiply-adds", ylabel=LOSS_TEXT[loss])
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    with writing(path) as file:
        figure.savefig(file, format="svg")
