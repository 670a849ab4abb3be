"""The search for alpha, beta and gamma: networks that share out the same cost differently are trained and compared."""

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
from nas.scaling.study.scaling_study import ScalingStudy
from nas.scaling.study.sizes import SizeResult, regularised

Shares = tuple[float, float, float]
"""Shares of depth, width and resolution in the growth of the cost; their sum is 1."""

_TOLERANCE = 0.25
"""How far a network may miss the target cost, as a share: the surface has a term for that."""
_DRAWN_STEPS = 40
"""Steps of the lattice on which the surface is drawn."""


@dataclass(frozen=True)
class SharesResult:
    """The training runs of a network with some shares of the cost."""

    shares: Shares
    """Counted after rounding."""
    cost: float
    """The network's multiply-adds as a multiple of the target."""
    size_result: SizeResult

    @property
    def points(self) -> list[Point]:
        """The runs that did not fail, as points of the response surface."""
        return [Point(self.shares, loss, self.cost) for loss in self.size_result.losses]


def rule_of(shares: Sequence[float], factor: float) -> Rule:
    """Return compound scaling with a factor of the cost in a step of phi and its shares of the dimensions."""
    alpha, beta, gamma = coefficients(shares, factor)
    name = "-".join(f"{share:.3g}" for share in shares)
    return Rule(
        f"shares-{name}",
        f"depth {alpha:.4g}^phi, width {beta:.4g}^phi, resolution {gamma:.4g}^phi",
        lambda phi: Multipliers(alpha**phi, beta**phi, gamma**phi),
    )


def counted_shares(base: Architecture, by: Multipliers, rounding: Rounding) -> Shares:
    """Return the share of each dimension in the growth of the multiply-adds, each applied alone, after rounding.

    Raises:
        NasError: none of them makes the network larger.
    """
    base_multipliers, macs = Multipliers(), cost_of(base).macs
    alone = [
        scale_by(base, replace(base_multipliers, **{name: getattr(by, name)}), rounding)
        for name in ("depth", "width", "resolution")
    ]
    growth = [log(max(cost_of(arch).macs, macs) / macs) for arch in alone]
    if sum(growth) == 0:
        raise NasError("nothing grows")
    depth, width, resolution = (float(part / sum(growth)) for part in growth)
    return depth, width, resolution


def search_coefficients(study: ScalingStudy, say: Callable[[str], None]) -> tuple[list[SharesResult], BestCoefficients]:
    """Train networks that share out `factor` times the cost of the base differently, and find the best coefficients.

    Raises:
        NasError: too few of them can be made of this base.
    """
    settings = study.config.search
    results = _train_shares(study, lattice(settings.steps), say) if settings.by == "grid" else _by_optuna(study, say)
    points = [point for result in results for point in result.points]
    return results, best_coefficients(points, factor=settings.factor, seed=study.config.seed)


def _by_optuna(study: ScalingStudy, say: Callable[[str], None]) -> list[SharesResult]:
    """Train shares that Optuna's multivariate TPE proposes, after corners, edge centres and centre of the simplex."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    initial = [*lattice(1), *(shares for shares in lattice(2) if max(shares) < 1), (1 / 3, 1 / 3, 1 / 3)]
    sampler = optuna.samplers.TPESampler(multivariate=True, seed=study.config.seed, n_startup_trials=len(initial))
    proposals, results = optuna.create_study(sampler=sampler), list[SharesResult]()
    for depth, width, resolution in initial:
        rest = width + resolution
        proposals.enqueue_trial({"depth": depth, "width_of_rest": width / rest if rest else 0.5})
    for _ in range(study.config.search.trials):
        trial = proposals.ask()
        depth, of_rest = trial.suggest_float("depth", 0, 1), trial.suggest_float("width_of_rest", 0, 1)
        new = _train_shares(study, [(depth, (1 - depth) * of_rest, (1 - depth) * (1 - of_rest))], say)
        if new:
            proposals.tell(trial, new[0].size_result.mean)
        else:
            proposals.tell(trial, state=optuna.trial.TrialState.FAIL)
        results += new
    return results


def _train_shares(study: ScalingStudy, wanted: Sequence[Shares], say: Callable[[str], None]) -> list[SharesResult]:
    """Train a network for each of some shares; those of which this base has no network are left out, with a message."""
    config, members, counted = study.config, list[Member](), list[Shares]()
    target = config.search.factor * study.cost.macs
    for shares in wanted:
        try:
            rule = rule_of(shares, config.search.factor)
            # Their shares are counted after rounding, so that they need not be those that were wanted.
            solved = solve(
                study.base, rule, target, rounding=config.rounding, tolerance=_TOLERANCE, proportions=False
            ).member
            counted.append(counted_shares(study.base, solved.multipliers, solved.rounding))
            members.append(regularised(solved, study.cost, config.by_size))
        except NasError as error:
            say(f"left out: shares {shares[0]:.2f}, {shares[1]:.2f}, {shares[2]:.2f}: {error}")
    results = []
    for shares, result in zip(counted, study.results_of(study.setups(members)), strict=True):
        if result.losses:
            results.append(SharesResult(shares, result.setup.member.cost.macs / target, result))
        else:
            depth, width, resolution = shares
            say(f"left out: shares {depth:.2f}, {width:.2f}, {resolution:.2f}: every run failed: {result.reason}")
    return results


def coefficient_lines(results: Sequence[SharesResult], best: BestCoefficients, loss: str) -> list[str]:
    """Return the report of a search for the coefficients, as lines of Markdown."""
    lines = [
        f"Mean {LOSS_TEXT[loss]} of networks that share out the same cost differently, in counted work after rounding:",
        "",
        "| depth | width | resolution | MACs | of the target | input | mean (95 % interval) | runs |",
        "| --: | --: | --: | --: | --: | --- | --: | --: |",
    ]
    for result in sorted(results, key=lambda result: result.size_result.mean):
        arch, cost = result.size_result.setup.arch, result.size_result.setup.member.cost
        depth, width, resolution = result.shares
        lines.append(
            f"| {depth:.2f} | {width:.2f} | {resolution:.2f} | {cost.macs:,} | {result.cost:.2f} | "
            f"{'x'.join(map(str, arch.input_shape))} | {mean_text(result.size_result.losses, loss)} | "
            f"{len(result.size_result.losses)} |"
        )
    estimates = {"alpha": best.alpha, "beta": best.beta, "gamma": best.gamma}
    texts = [f"{name} {each.value:.3f} ({each.low:.3f} to {each.high:.3f})" for name, each in estimates.items()]
    lines += ["", f"Best, with 90 % intervals: {', '.join(texts)}; noise of a run {best.noise:.1%}"]
    if best.warning:
        lines.append(f"Mind: {best.warning}")
    settings = " ".join(f"coefficients.{name}={result.value:.4g}" for name, result in estimates.items())
    return [*lines, f"To scale by them: rule=compound {settings}"]


def draw_surface(results: Sequence[SharesResult], best: BestCoefficients, loss: str, path: Path) -> None:
    """Draw the fitted surface on the triangle of shares, and on it the trained networks, in one scale of colours."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
    positions = np.array([result.shares for result in results]) @ corners
    means = np.array([result.size_result.mean for result in results])
    shares = np.array(lattice(_DRAWN_STEPS))
    heights = best.surface(shares)
    scale = {"vmin": min(means.min(), heights.min()), "vmax": max(means.max(), heights.max()), "cmap": "viridis_r"}
    x, y = (shares @ corners).T
    axes.tricontourf(x, y, heights, levels=15, **scale)
    x, y = positions.T
    points = axes.scatter(x, y, c=means, s=90, edgecolors="white", clip_on=False, zorder=3, label="trained", **scale)
    optimum = np.array(best.shares) @ corners
    axes.plot(*optimum, "r*", markersize=16, label="optimum")
    axes.plot(*np.vstack([corners, corners[:1]]).T, color="grey", linewidth=0.8)
    for name, (x, y) in zip(("depth", "width", "resolution"), corners, strict=True):
        axes.annotate(name, (x, y), ha="center", va="bottom" if y else "top")
    figure.colorbar(points, ax=axes, label=loss)
    axes.legend(loc="upper right")
    axes.set_axis_off()
    with writing(path) as file:
        figure.savefig(file, format="svg")
