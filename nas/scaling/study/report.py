"""The report of a scaling study: tables, laws, comparisons of rules, and a chart."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf, isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np

from nas.cost import cost_of
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.run_folder import writing
from nas.scaling.counted_family import number_text
from nas.scaling.family import distinct_members
from nas.scaling.laws.forms import ASYMPTOTE, POWER
from nas.scaling.laws.law import POOR_FIT, Law, fit_law, fit_untested, why_not_shown_to_fall
from nas.scaling.laws.observations import Observation
from nas.scaling.laws.refusal import MAX_SCATTER
from nas.scaling.laws.selection import FormError, compare_forms, select_form
from nas.scaling.study.config import ScaleConfig
from nas.scaling.study.preregistration import CheckedForecast
from nas.scaling.study.published_efficientnet import LABEL, PublishedSize, applies, published_family
from nas.scaling.study.sizes import SizeResult
from nas.statistics import Array, Unpaired, judge, mean_interval, stratified, unpaired
from nas.training.tasks.classification import ACCURACY

LOSS_TEXT = {"error": f"validation error (1 - {ACCURACY.on_val})", "val_loss": "validation loss"}
_MAX_LOSS = {"error": 1.0, "val_loss": inf}
AXES: Mapping[str, str] = {"macs": "multiply-adds", "params": "parameters"}
_MS = "latency_ms"
_RUN_COLUMNS = (
    *("rule", "phi", "macs_ratio", "arch_id", "macs", "params", "latency_ms", "lr", "epochs", "replicate", "seed"),
    *("seconds", ACCURACY.on_val, "val_loss", "loss", "reason"),
)
_CURVE_POINTS = 16
_TINY = 1e-9
"""Intervals are drawn from this loss to its inverse at most."""


@dataclass(frozen=True)
class FamilyResult:
    """The results of the sizes of a rule, with their law."""

    rule: str
    axis: str
    """The cost that the law is a function of: `macs` or `params`."""
    sizes: tuple[SizeResult, ...]
    law: Law | None
    without: Law | None
    """The law without an asymptote."""
    form_errors: tuple[FormError, ...]
    reason: str
    """Why there is no law, or nothing."""

    ms: Mapping[str, float] = field(default_factory=dict)
    """Measured latencies by `arch_id`."""
    disturbed: Collection[str] = ()
    """Networks whose measurement other work disturbed, by `arch_id`."""

    def ms_of(self, size: SizeResult) -> float:
        """Return the measured latency of a size, in milliseconds; nan where there is none."""
        return self.ms.get(size.setup.arch.arch_id, float("nan"))

    def ms_text(self, size: SizeResult) -> str:
        """Return the measured latency of a size, marked with a star where the measurement was disturbed."""
        return f"{self.ms_of(size):.4g}{'*' * (size.setup.arch.arch_id in self.disturbed)}"

    @property
    def observations(self) -> list[Observation]:
        """The observations that the law is fitted to: of the sizes in the rule's proportions, each network once."""
        return [observation for size in _distinct_sizes(self.sizes) for observation in size.observations(self.axis)]


def family_result(
    rule: str, sizes: Sequence[SizeResult], *, axis: str = "macs", max_loss: float = inf, seed: int = 0
) -> FamilyResult:
    """Fit the laws of a rule's sizes in `axis`, where there are enough of them; no loss can be above `max_loss`."""
    observations = [observation for size in _distinct_sizes(sizes) for observation in size.observations(axis)]
    try:
        form = select_form(observations)
        law = fit_law(observations, form, max_loss=max_loss, seed=seed)
        without = fit_untested(observations, POWER, max_loss=max_loss, seed=seed)
    except NasError as error:
        return FamilyResult(rule, axis, tuple(sizes), None, None, (), str(error))
    return FamilyResult(rule, axis, tuple(sizes), law, without, tuple(compare_forms(observations)), "")


def _distinct_sizes(sizes: Sequence[SizeResult]) -> list[SizeResult]:
    kept = {member.arch.arch_id for member in distinct_members([size.setup.member for size in sizes])}
    return list({size.setup.arch.arch_id: size for size in sizes if size.setup.arch.arch_id in kept}.values())


def loss_interval(values: Sequence[float], loss: str) -> tuple[float, float]:
    """Return Student's 95 % interval of a mean loss, within the range of the loss; see `mean_interval` for nan."""
    low, high = mean_interval(values)
    return (low, high) if isnan(low) else (max(0.0, low), min(_MAX_LOSS[loss], high))


def mean_text(losses: Sequence[float], loss: str) -> str:
    """Return a mean loss with its 95 % interval, in words; without it for a single run, and where all gave the same."""
    if not losses:
        return "failed"
    low, high = loss_interval(losses, loss)
    return f"{np.mean(losses):.4f}" + ("" if isnan(low) else f" ({low:.4f} to {high:.4f})")


def head_lines(config: ScaleConfig, base: Architecture, folder: Path) -> list[str]:
    """Return the head of a report: the study's base, data and recipe, and its charts."""
    data, recipe = config.data, config.train
    part = f" ({data.train_fraction:g} of the training split)" if data.train_fraction != 1 else ""
    epochs = f"{recipe.epochs} epoch{'s' * (recipe.epochs != 1)}"
    charts = [f"![{path.stem}]({path.name})" for path in sorted(folder.glob("*.svg"))]
    return [
        f"# {folder.name}: mode={config.mode}",
        "",
        f"Base {config.space or config.base} ({base.arch_id}), {cost_of(base).macs:,} MACs. Data {data.name}{part}, "
        f"{epochs} of {recipe.optimizer} at {recipe.lr:g}, {config.seeds} seeds a size. All settings: "
        "settings.json.",
        "",
        *charts,
        "",
    ]


def size_table(results: Sequence[FamilyResult], loss: str) -> list[str]:
    """Return a Markdown table with a row for each size: its costs, its mean loss and its runs."""
    measured = any(result.ms for result in results)
    lines = [
        f"Mean {LOSS_TEXT[loss]}, with the 95 % interval over the runs:",
        "",
        "| rule | phi | x base | MACs | params | input | mean (interval) | runs | failed | lr |"
        + (" ms |" if measured else ""),
        "| --- | --: | --: | --: | --: | --- | --: | --: | --: | --: |" + (" --: |" if measured else ""),
    ]
    for result in results:
        for size in result.sizes:
            member, cost = size.setup.member, size.setup.member.cost
            name = result.rule if member.on_rule else f"{result.rule}, off its rule"
            failed = len(size.runs) - len(size.losses)
            lines.append(
                f"| {name} | {number_text(member.phi)} | {size.setup.times:.2f} | {cost.macs:,} | {cost.params:,} | "
                f"{'x'.join(map(str, member.arch.input_shape))} | {mean_text(size.losses, loss)} | "
                f"{len(size.losses)} | {failed} | {size.runs[0].lr:.3g} |"
                + (f" {result.ms_text(size)} |" if measured else "")
            )
    reasons = {size.reason: size for result in results for size in result.sizes if size.reason}
    return lines + [f"Failed, {size.setup.member.cost.macs:,} MACs: {reason}" for reason, size in reasons.items()]


def law_lines(result: FamilyResult) -> list[str]:
    """Return the laws of a rule as lines, with their constants and their errors on held-out sizes."""
    if result.law is None or result.without is None:
        return [f"{result.rule}: no law: {result.reason}"]
    lines = [
        f"{result.rule}, C in {AXES[result.axis]}: {law_text(result.law)}",
        f"  without an asymptote: {law_text(result.without)}",
    ]
    lines += [f"  {text}" for text in [fit_text(result.law), growth_text(result.without)] if text]
    tested = [form_error for form_error in result.form_errors if form_error.error is not None]
    lines += [
        f"  the largest sizes from the smaller ones, by {each.form.formula}: {each.error:.1%} off" for each in tested
    ]
    if not tested:
        lines.append(f"  how well it says larger sizes was not tried: {result.form_errors[0].reason}")
    if result.law.form is not ASYMPTOTE:
        lines.append(f"  {result.law.form.formula} is believed, since it says best what was held out")
    return lines


def fit_text(law: Law) -> str:
    """Return a warning where the test of fit speaks against a law, or there is no test; or nothing."""
    if law.lack_of_fit is None:
        return (
            "whether it fits was not tested, which takes sizes with two runs that differ; a law that misses sizes by "
            f"more than {MAX_SCATTER:.0%} is refused"
        )
    if not law.poor_fit:
        return ""
    return (
        "Mind: it fits badly. The sizes are further from it than their runs from each other "
        f"(p = {law.lack_of_fit:.2g}, below {POOR_FIT:g}); intervals are widened by its error on held-out sizes"
    )


def growth_text(without: Law) -> str:
    """Return a warning where the runs do not show that the loss falls with the size, or nothing."""
    return f"Mind: {text}" if (text := why_not_shown_to_fall(without)) else ""


def law_text(law: Law) -> str:
    """Return the law with its constants and their intervals, as a line."""
    constants = ", ".join(f"{name} {constant.text}" for name, constant in law.constants().items())
    fits = "" if law.lack_of_fit is None else f"; p of its fit {law.lack_of_fit:.2g}"
    return (
        f"{law.form.formula} with {constants} (90 %); noise of a run {law.noise:.1%}, of a size {law.scatter:.1%}{fits}"
    )


def comparison_lines(results: Sequence[FamilyResult], loss: str) -> list[str]:
    """Return how much lower the first rule's loss is than the others' at equal counted cost, as a Markdown table.

    Each size has a difference with its interval; the verdict is over all sizes, since those of a size have too few
    runs.
    """
    first, *others = results
    pairs = {other.rule: [_same_times(size, other) for size in first.sizes] for other in others}
    overall = {rule: stratified(strata) for rule, pairs_ in pairs.items() if (strata := _strata(pairs_))}
    verdicts = dict(zip(overall, judge(list(overall.values())), strict=True))
    totals = [
        f"{_gap_text(overall[rule], loss)}: {verdicts[rule].text}" if rule in overall else "nothing to compare"
        for rule in pairs
    ]
    return [
        f"How much lower the loss of {first.rule} is (positive: it is better), as the difference of the means with its "
        f"95 % interval, at about so many times the base's cost; the verdicts, over all sizes, are corrected for all "
        f"{len(overall)} (Holm):",
        "",
        f"| about | {' | '.join(pairs)} |",
        f"| ---{' | --:' * len(pairs)} |",
        *(_row(size, [pairs_[index] for pairs_ in pairs.values()], loss) for index, size in enumerate(first.sizes)),
        f"| all | {' | '.join(totals)} |",
    ]


def _same_times(size: SizeResult, rival: FamilyResult) -> tuple[SizeResult, SizeResult] | str:
    """Return a size with that of another rule for the same multiple of the base, or why they cannot be compared."""
    times = size.setup.member.times
    same = next((candidate for candidate in rival.sizes if candidate.setup.member.times == times), None)
    if same is None:
        return "no such size"
    if same.setup.arch == size.setup.arch:
        return "the same network"
    return "too few runs" if min(len(size.losses), len(same.losses)) < 2 else (size, same)


def _strata(pairs: Sequence[tuple[SizeResult, SizeResult] | str]) -> list[tuple[Array, Array]]:
    """Return the losses of the two rules at each size, the rival's first, since the lower loss is the better one."""
    comparable = [pair for pair in pairs if not isinstance(pair, str)]
    return [(np.array(rival.losses), np.array(own.losses)) for own, rival in comparable]


def _row(size: SizeResult, pairs: Sequence[tuple[SizeResult, SizeResult] | str], loss: str) -> str:
    return f"| {size.setup.member.times or size.setup.times:g} x | {' | '.join(_cell(pair, loss) for pair in pairs)} |"


def _cell(pair: tuple[SizeResult, SizeResult] | str, loss: str) -> str:
    return pair if isinstance(pair, str) else _gap_text(unpaired(*_strata([pair])[0]), loss)


def _gap_text(gap: Unpaired, loss: str) -> str:
    most = _MAX_LOSS[loss]
    ends = (
        f"{max(-most, gap.low):+.4f} to {min(most, gap.high):+.4f}" if isfinite(gap.low) else "runs of each all alike"
    )
    return f"{gap.mean:+.4f} ({ends})"


def write_runs(results: Sequence[FamilyResult], path: Path, test: CheckedForecast | None = None) -> None:
    """Write every run as a row of a CSV file, those of a forecast's network last; `loss` is the loss of the law."""
    first = results[0]
    forecasts = [replace(first, rule=f"{first.rule}, forecast", sizes=(test.result,))] if test else []
    with writing(path) as file:
        writer = csv.DictWriter(file, _RUN_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for result in [*results, *forecasts]:
            for size in result.sizes:
                own = {
                    "rule": result.rule,
                    "phi": number_text(size.setup.member.phi),
                    "macs_ratio": f"{size.setup.times:.6g}",
                }
                losses = iter(size.losses)
                for run in size.runs:
                    loss = {"loss": next(losses)} if run.scores else {}
                    ms = {"latency_ms": result.ms.get(run.arch_id, "")}
                    writer.writerow({**own, **asdict(run), **run.scores, **loss, **ms})


def comparable_published(results: Sequence[FamilyResult], loss: str) -> list[PublishedSize]:
    """Return EfficientNet's published sizes where the families are for the same task, else none."""
    networks = [size.setup.arch for result in results for size in result.sizes]
    return published_family() if loss == "error" and applies(networks) else []


def draw(results: Sequence[FamilyResult], loss: str, path: Path, test: CheckedForecast | None = None) -> None:
    """Draw the loss against multiply-adds, parameters and measured latency: each rule with means, intervals and law.

    EfficientNet's published sizes are drawn with families for ImageNet's classes, and a forecast of the first rule's
    law with the loss of its network.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    panels = [*AXES.items(), *([(_MS, "latency, ms")] if all(_measured(result) for result in results) else [])]
    figure = Figure(figsize=(5.5 * len(panels), 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    published = comparable_published(results, loss)
    losses = [value for result in results for size in result.sizes for value in size.losses]
    losses += [size.error for size in published]
    losses += [test.result.mean, test.registered.forecast.loss] if test else []
    for axes, (axis, label) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for number, result in enumerate(results):
            _draw_family(axes, result, axis, f"C{number}", loss)
        if published and axis in AXES:
            x = [getattr(result.cost, axis) for result in published]
            axes.plot(x, [result.error for result in published], "x--", color="0.4", linewidth=1, label=LABEL)
        if test is not None and axis == results[0].axis:
            _draw_forecast(axes, test, axis)
        # By the losses alone: an open interval would stretch the axis until the losses are flat.
        bottom, top = min(losses) / 1.5, max(losses) * 1.5
        axes.set(ylim=(bottom, top), xscale="log", yscale="log", xlabel=label, ylabel=LOSS_TEXT[loss])
        axes.xaxis.set_minor_formatter(NullFormatter())  # minor labels would overlap
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].legend(fontsize="small")
    with writing(path) as file:
        figure.savefig(file, format="svg")


def _measured(result: FamilyResult) -> bool:
    return all(size.setup.arch.arch_id in result.ms for size in result.sizes)


def _draw_family(axes: Any, result: FamilyResult, axis: str, colour: str, loss: str) -> None:
    """Draw the means of the sizes with their 95 % intervals, and the law where it is in this axis."""
    sizes = [size for size in result.sizes if size.losses]
    if not sizes:
        return
    x = np.array([result.ms_of(size) if axis == _MS else size.size(axis) for size in sizes])
    order = np.argsort(x, kind="stable")
    mean = np.array([size.mean for size in sizes])
    ends = np.array([loss_interval(size.losses, loss) for size in sizes])
    reach = np.nan_to_num(np.abs(ends.T - mean), nan=0.0)
    axes.errorbar(x[order], mean[order], reach[:, order], fmt="o", color=colour, capsize=3, label=result.rule)
    if axis == result.axis and result.law is not None:
        grid = np.geomspace(x.min(), 4 * x.max(), _CURVE_POINTS)
        forecasts = [result.law.forecast(float(size)) for size in grid]
        axes.plot(grid, [forecast.loss for forecast in forecasts], color=colour, linewidth=1)
        low, high = ([getattr(forecast, end) for forecast in forecasts] for end in ("low", "high"))
        axes.fill_between(grid, np.maximum(low, _TINY), np.minimum(high, 1 / _TINY), color=colour, alpha=0.12)
    else:
        axes.plot(x[order], mean[order], color=colour, linewidth=1)


def _draw_forecast(axes: Any, test: CheckedForecast, axis: str) -> None:
    forecast, x = test.registered.forecast, test.result.size(axis)
    axes.errorbar(
        [x],
        [forecast.loss],
        [[forecast.loss - forecast.low], [forecast.high - forecast.loss]],
        fmt="s",
        color="0.3",
        capsize=5,
        mfc="none",
        label=f"forecast ({forecast.confidence:.0%})",
    )
    axes.plot([x], [test.result.mean], "*", color="C0", markersize=12, label="what it then showed")
