"""The search for alpha, beta and gamma: networks that share out the same cost differently, trained and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

import numpy as np
import optuna

from nas.cost import cost_of
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.run_folder import writing
from nas.scaling.laws.response_surface import BestCoefficients, Point, best_coefficients, coefficients, lattice
from nas.scaling.rounding import Rounding
from nas.scaling.rules import Multipliers, Rule, scale_by
from nas.scaling.solve import Member, solve
from nas.scaling.study.report import LOSS_TEXT, mean_text
from nas.scaling.study.scaling_study import Study
from nas.scaling.study.sizes import Shown, regularised

Shares = tuple[float, float, float]

_LOOSE = 0.25
"""How far a network may miss its cost here: the surface has a term for that."""
_DRAWN = 40
"""Steps of the lattice on which the surface is drawn."""


@dataclass(frozen=True)
class Tried:
    """One way to share out the cost, and what it showed."""

    shares: Shares
    """Of depth, width and resolution in the counted work, after rounding."""
    cost: float
    """What it costs as a multiple of what it should."""
    shown: Shown

    @property
    def points(self) -> list[Point]:
        """A point a run."""
        return [Point(self.shares, loss, self.cost) for loss in self.shown.losses]


def rule_of(shares: Sequence[float], factor: float) -> Rule:
    """Return compound scaling whose step of phi costs `factor`, shared out as said."""
    alpha, beta, gamma = coefficients(shares, factor)
    name = "-".join(f"{share:.3g}" for share in shares)
    return Rule(
        f"shares-{name}",
        f"depth {alpha:.4g}^phi, width {beta:.4g}^phi, resolution {gamma:.4g}^phi",
        lambda phi: Multipliers(alpha**phi, beta**phi, gamma**phi),
    )


def counted_shares(base: Architecture, by: Multipliers, rounding: Rounding) -> Shares:
    """Return which share of the growth in multiply-adds each dimension has alone, after rounding.

    Raises:
        NasError: none of them makes it larger.
    """
    one, macs = Multipliers(), cost_of(base).macs
    alone = [
        scale_by(base, replace(one, **{name: getattr(by, name)}), rounding) for name in ("depth", "width", "resolution")
    ]
    growth = [log(max(cost_of(arch).macs, macs) / macs) for arch in alone]
    if sum(growth) == 0:
        raise NasError("nothing grows")
    depth, width, resolution = (float(part / sum(growth)) for part in growth)
    return depth, width, resolution


def search(study: Study, say: Callable[[str], None]) -> tuple[list[Tried], BestCoefficients]:
    """Train networks that share out `factor` times the cost of the base differently, and find the best shares.

    Raises:
        NasError: too few of them can be made of this base.
    """
    settings = study.config.search
    tried = _tried(study, lattice(settings.steps), say) if settings.by == "grid" else _by_optuna(study, say)
    points = [point for one in tried for point in one.points]
    return tried, best_coefficients(points, factor=settings.factor, seed=study.config.seed)


def _by_optuna(study: Study, say: Callable[[str], None]) -> list[Tried]:
    """Shares that Optuna's multivariate TPE proposes, after the corners, the middles of the edges, and the middle."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    first = [*lattice(1), *(at for at in lattice(2) if max(at) < 1), (1 / 3, 1 / 3, 1 / 3)]
    sampler = optuna.samplers.TPESampler(multivariate=True, seed=study.config.seed, n_startup_trials=len(first))
    proposals, tried = optuna.create_study(sampler=sampler), list[Tried]()
    for depth, width, resolution in first:
        rest = width + resolution
        proposals.enqueue_trial({"depth": depth, "width_of_rest": width / rest if rest else 0.5})
    for _ in range(study.config.search.trials):
        trial = proposals.ask()
        depth, of_rest = trial.suggest_float("depth", 0, 1), trial.suggest_float("width_of_rest", 0, 1)
        now = _tried(study, [(depth, (1 - depth) * of_rest, (1 - depth) * (1 - of_rest))], say)
        if now:
            proposals.tell(trial, now[0].shown.mean)
        else:
            proposals.tell(trial, state=optuna.trial.TrialState.FAIL)
        tried += now
    return tried


def _tried(study: Study, wanted: Sequence[Shares], say: Callable[[str], None]) -> list[Tried]:
    """Train one network for each way to share out; those that this base has no network for are left out."""
    config, members, shares = study.config, list[Member](), list[Shares]()
    target = config.search.factor * study.cost.macs
    for one in wanted:
        try:
            rule = rule_of(one, config.search.factor)
            # Their shares are counted after rounding, so that they need not be those that were wanted.
            solved = solve(
                study.base, rule, target, rounding=config.rounding, tolerance=_LOOSE, proportions=False
            ).member
            shares.append(counted_shares(study.base, solved.multipliers, solved.rounding))
            members.append(regularised(solved, study.cost, config.by_size))
        except NasError as error:
            say(f"left out: shares {one[0]:.2f}, {one[1]:.2f}, {one[2]:.2f}: {error}")
    found = []
    for own, shown in zip(shares, study.show(study.sized(members)), strict=True):
        if shown.losses:
            found.append(Tried(own, shown.sized.member.cost.macs / target, shown))
        else:
            say(f"left out: shares {own[0]:.2f}, {own[1]:.2f}, {own[2]:.2f}: every run failed: {shown.reason}")
    return found


def coefficient_lines(tried: Sequence[Tried], best: BestCoefficients, loss: str) -> list[str]:
    """What a search for the coefficients found."""
    lines = [
        f"Mean {LOSS_TEXT[loss]} of networks that share out the same cost differently, in counted work after rounding:",
        "",
        "| depth | width | resolution | MACs | of the target | input | mean (95 % interval) | runs |",
        "| --: | --: | --: | --: | --: | --- | --: | --: |",
    ]
    for one in sorted(tried, key=lambda one: one.shown.mean):
        arch, cost = one.shown.sized.arch, one.shown.sized.member.cost
        depth, width, resolution = one.shares
        lines.append(
            f"| {depth:.2f} | {width:.2f} | {resolution:.2f} | {cost.macs:,} | {one.cost:.2f} | "
            f"{'x'.join(map(str, arch.input_shape))} | {mean_text(one.shown.losses, loss)} | "
            f"{len(one.shown.losses)} |"
        )
    found = {"alpha": best.alpha, "beta": best.beta, "gamma": best.gamma}
    texts = [f"{name} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for name, one in found.items()]
    lines += ["", f"Best, with 90 % intervals: {', '.join(texts)}; noise of a run {best.noise:.1%}"]
    if best.warning:
        lines.append(f"Mind: {best.warning}")
    settings = " ".join(f"coefficients.{name}={one.value:.4g}" for name, one in found.items())
    return [*lines, f"To scale by them: rule=compound {settings}"]


def draw_surface(tried: Sequence[Tried], best: BestCoefficients, loss: str, path: Path) -> None:
    """Draw the fitted surface on the triangle of shares, and on it the trained networks, in one scale of colours."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
    at = np.array([one.shares for one in tried]) @ corners
    means = np.array([one.shown.mean for one in tried])
    shares = np.array(lattice(_DRAWN))
    heights = best.surface(shares)
    scale = {"vmin": min(means.min(), heights.min()), "vmax": max(means.max(), heights.max()), "cmap": "viridis_r"}
    x, y = (shares @ corners).T
    axes.tricontourf(x, y, heights, levels=15, **scale)
    found = axes.scatter(
        at[:, 0], at[:, 1], c=means, s=90, edgecolors="white", clip_on=False, zorder=3, label="trained", **scale
    )
    optimum = np.array(best.shares) @ corners
    axes.plot(*optimum, "r*", markersize=16, label="optimum")
    axes.plot(*np.vstack([corners, corners[:1]]).T, color="grey", linewidth=0.8)
    for name, (x, y) in zip(("depth", "width", "resolution"), corners, strict=True):
        axes.annotate(name, (x, y), ha="center", va="bottom" if y else "top")
    figure.colorbar(found, ax=axes, label=loss)
    axes.legend(loc="upper right")
    axes.set_axis_off()
    with writing(path) as file:
        figure.savefig(file, format="svg")
