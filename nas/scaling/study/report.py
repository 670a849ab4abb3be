"""What a scaling study found: tables, laws, a chart."""

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
from nas.scaling.study.preregistration import Tried
from nas.scaling.study.published_efficientnet import LABEL, PublishedSize, applies, published_family
from nas.scaling.study.sizes import Shown
from nas.statistics import Array, Unpaired, judge, mean_interval, stratified, unpaired

LOSS_TEXT = {"error": "validation error (1 - val_accuracy)", "val_loss": "validation loss"}
_MOST_LOSS = {"error": 1.0, "val_loss": inf}
AXES: Mapping[str, str] = {"macs": "multiply-adds", "params": "parameters"}
_MS = "latency_ms"
_RUN_COLUMNS = (
    *("rule", "phi", "macs_ratio", "arch_id", "macs", "params", "latency_ms", "lr", "epochs", "replicate", "seed"),
    *("seconds", "val_accuracy", "val_loss", "loss", "reason"),
)
_CURVE = 16
_TINY = 1e-9
"""Beyond it, or its inverse, an interval is drawn no further."""


@dataclass(frozen=True)
class Findings:
    """What the sizes of one rule showed together."""

    rule: str
    axis: str
    """What the law is in: `macs` or `params`."""
    sizes: tuple[Shown, ...]
    law: Law | None
    without: Law | None
    """The law without an asymptote."""
    tried: tuple[FormError, ...]
    reason: str
    """Why there is no law."""

    ms: Mapping[str, float] = field(default_factory=dict)
    """Measured latencies by `arch_id`."""
    disturbed: Collection[str] = ()
    """Networks whose measurement other work disturbed."""

    def ms_of(self, size: Shown) -> float:
        """The measured latency of a size; nan where there is none."""
        return self.ms.get(size.sized.arch.arch_id, float("nan"))

    @property
    def observations(self) -> list[Observation]:
        """What the law is of: the sizes in the rule's proportions, each network once."""
        return [one for size in _distinct_sizes(self.sizes) for one in size.observations(self.axis)]


def findings(
    rule: str, sizes: Sequence[Shown], *, axis: str = "macs", max_loss: float = inf, seed: int = 0
) -> Findings:
    """Fit the laws of a rule's sizes in `axis`, where there are enough of them; no loss can be above `max_loss`."""
    observations = [one for size in _distinct_sizes(sizes) for one in size.observations(axis)]
    try:
        form = select_form(observations)
        law = fit_law(observations, form, max_loss=max_loss, seed=seed)
        without = fit_untested(observations, POWER, max_loss=max_loss, seed=seed)
    except NasError as error:
        return Findings(rule, axis, tuple(sizes), None, None, (), str(error))
    return Findings(rule, axis, tuple(sizes), law, without, tuple(compare_forms(observations)), "")


def _distinct_sizes(sizes: Sequence[Shown]) -> list[Shown]:
    kept = {one.arch.arch_id for one in distinct_members([size.sized.member for size in sizes])}
    return list({size.sized.arch.arch_id: size for size in sizes if size.sized.arch.arch_id in kept}.values())


def interval(values: Sequence[float], loss: str) -> tuple[float, float]:
    """The 95 % interval of a mean loss, Student's, within what the loss can be; both ends nan for a single value."""
    low, high = mean_interval(values)
    return (low, high) if isnan(low) else (max(0.0, low), min(_MOST_LOSS[loss], high))


def mean_text(losses: Sequence[float], loss: str) -> str:
    """Say a mean with its 95 % interval, as far as there are runs for that."""
    if not losses:
        return "failed"
    low, high = interval(losses, loss)
    return f"{np.mean(losses):.4f}" + (f" ({low:.4f} to {high:.4f})" if len(losses) > 1 else "")


def head_lines(config: ScaleConfig, base: Architecture, folder: Path) -> list[str]:
    """What a report is of, for whoever finds it alone."""
    data, recipe = config.data, config.train
    part = f" ({data.train_fraction:g} of the training split)" if data.train_fraction != 1 else ""
    charts = [f"![{path.stem}]({path.name})" for path in sorted(folder.glob("*.svg"))]
    return [
        f"# {folder.name}: mode={config.mode}",
        "",
        f"Base {config.space or config.base} ({base.arch_id}), {cost_of(base).macs:,} MACs. Data {data.name}{part}, "
        f"{recipe.epochs} epochs of {recipe.optimizer} at {recipe.lr:g}, {config.seeds} seeds a size. All settings: "
        "settings.json.",
        "",
        *charts,
        "",
    ]


def size_table(all_findings: Sequence[Findings], loss: str) -> list[str]:
    """A row a size: what it costs and what it showed."""
    measured = any(one.ms for one in all_findings)
    lines = [
        f"Mean {LOSS_TEXT[loss]}, with the 95 % interval over the runs:",
        "",
        "| rule | phi | x base | MACs | params | input | mean (interval) | runs | failed | lr |"
        + (" ms |" if measured else ""),
        "| --- | --: | --: | --: | --: | --- | --: | --: | --: | --: |" + (" --: |" if measured else ""),
    ]
    for one in all_findings:
        for size in one.sizes:
            found, cost = size.sized.member, size.sized.member.cost
            name = one.rule if found.on_rule else f"{one.rule}, off its rule"
            failed = len(size.runs) - len(size.losses)
            lines.append(
                f"| {name} | {number_text(found.phi)} | {size.sized.times:.2f} | {cost.macs:,} | {cost.params:,} | "
                f"{'x'.join(map(str, found.arch.input_shape))} | {mean_text(size.losses, loss)} | "
                f"{len(size.losses)} | {failed} | {size.runs[0].lr:.3g} |"
                + (f" {one.ms_of(size):.4g}{'*' * (size.sized.arch.arch_id in one.disturbed)} |" if measured else "")
            )
    reasons = {size.reason: size for one in all_findings for size in one.sizes if size.reason}
    return lines + [f"Failed, {size.sized.member.cost.macs:,} MACs: {reason}" for reason, size in reasons.items()]


def law_lines(one: Findings) -> list[str]:
    """The laws of one rule, with their constants and what was held out."""
    if one.law is None or one.without is None:
        return [f"{one.rule}: no law: {one.reason}"]
    lines = [
        f"{one.rule}, C in {AXES[one.axis]}: {law_text(one.law)}",
        f"  without an asymptote: {law_text(one.without)}",
    ]
    lines += [f"  {text}" for text in [fit_text(one.law), growth_text(one.without)] if text]
    known = [tried for tried in one.tried if tried.error is not None]
    lines += [
        f"  the largest sizes from the smaller ones, by {tried.form.formula}: {tried.error:.1%} off" for tried in known
    ]
    if not known:
        lines.append(f"  how well it says larger sizes was not tried: {one.tried[0].reason}")
    if one.law.form is not ASYMPTOTE:
        lines.append(f"  {one.law.form.formula} is believed, since it says best what was held out")
    return lines


def fit_text(law: Law) -> str:
    """What the test of fit says against a law, or nothing."""
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
    """What to mind where the runs do not show that the loss falls with the size, or nothing."""
    return f"Mind: {text}" if (text := why_not_shown_to_fall(without)) else ""


def law_text(law: Law) -> str:
    """The law with its constants, as one line."""
    constants = ", ".join(f"{name} {one.text}" for name, one in law.constants().items())
    fits = "" if law.lack_of_fit is None else f"; p of its fit {law.lack_of_fit:.2g}"
    return (
        f"{law.form.formula} with {constants} (90 %); noise of a run {law.noise:.1%}, of a size {law.scatter:.1%}{fits}"
    )


def comparison_lines(all_findings: Sequence[Findings], loss: str) -> list[str]:
    """How much lower the first rule's loss is than the others' at equal counted cost.

    Each size has a difference with its interval; the verdict is over all sizes, since the few runs of one show nothing.
    """
    first, *others = all_findings
    pairs = {one.rule: [_same_times(size, one) for size in first.sizes] for one in others}
    over = {rule: stratified(strata) for rule, found in pairs.items() if (strata := _strata(found))}
    verdicts = dict(zip(over, judge(list(over.values())), strict=True))
    totals = [
        f"{_gap_text(over[rule], loss)}: {verdicts[rule].text}" if rule in over else "nothing to compare"
        for rule in pairs
    ]
    return [
        f"How much lower the loss of {first.rule} is (positive: it is better), as the difference of the means with its "
        f"95 % interval, at about so many times the base's cost; the verdicts, over all sizes, are corrected for all "
        f"{len(over)} (Holm):",
        "",
        f"| about | {' | '.join(pairs)} |",
        f"| ---{' | --:' * len(pairs)} |",
        *(_row(size, [found[place] for found in pairs.values()], loss) for place, size in enumerate(first.sizes)),
        f"| all | {' | '.join(totals)} |",
    ]


def _same_times(size: Shown, rival: Findings) -> tuple[Shown, Shown] | str:
    """A size and the one of another rule for which as much was asked, or why they cannot be compared."""
    other = next((one for one in rival.sizes if one.sized.member.times == size.sized.member.times), None)
    if other is None:
        return "no such size"
    if other.sized.arch == size.sized.arch:
        return "the same network"
    return "too few runs" if min(len(size.losses), len(other.losses)) < 2 else (size, other)


def _strata(found: Sequence[tuple[Shown, Shown] | str]) -> list[tuple[Array, Array]]:
    """The losses of each size's two rules, the rival's first: a loss that is lower by it is better."""
    pairs = [pair for pair in found if not isinstance(pair, str)]
    return [(np.array(other.losses), np.array(own.losses)) for own, other in pairs]


def _row(size: Shown, found: Sequence[tuple[Shown, Shown] | str], loss: str) -> str:
    return f"| {size.sized.member.times or size.sized.times:g} x | {' | '.join(_cell(one, loss) for one in found)} |"


def _cell(found: tuple[Shown, Shown] | str, loss: str) -> str:
    return found if isinstance(found, str) else _gap_text(unpaired(*_strata([found])[0]), loss)


def _gap_text(gap: Unpaired, loss: str) -> str:
    most = _MOST_LOSS[loss]
    ends = (
        f"{max(-most, gap.low):+.4f} to {min(most, gap.high):+.4f}" if isfinite(gap.low) else "runs of each all alike"
    )
    return f"{gap.mean:+.4f} ({ends})"


def write_runs(all_findings: Sequence[Findings], path: Path, tried: Tried | None = None) -> None:
    """Write every run as a row, those of a forecast's network last; `loss` is what the law is of."""
    first = all_findings[0]
    ahead = [replace(first, rule=f"{first.rule}, forecast", sizes=(tried.shown,))] if tried else []
    with writing(path) as file:
        writer = csv.DictWriter(file, _RUN_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for one in [*all_findings, *ahead]:
            for size in one.sizes:
                own = {
                    "rule": one.rule,
                    "phi": number_text(size.sized.member.phi),
                    "macs_ratio": f"{size.sized.times:.6g}",
                }
                losses = iter(size.losses)
                for run in size.runs:
                    found = {"loss": next(losses)} if run.scores else {}
                    ms = {"latency_ms": one.ms.get(run.arch_id, "")}
                    writer.writerow({**own, **asdict(run), **run.scores, **found, **ms})


def published_beside(all_findings: Sequence[Findings], loss: str) -> list[PublishedSize]:
    """EfficientNet's published line, where the families are for the same task."""
    networks = [size.sized.arch for one in all_findings for size in one.sizes]
    return published_family() if loss == "error" and applies(networks) else []


def draw(all_findings: Sequence[Findings], loss: str, path: Path, tried: Tried | None = None) -> None:
    """Draw the loss against multiply-adds, parameters and measured latency: each rule with means, intervals and law.

    EfficientNet's published line stands beside families for ImageNet's classes, and a forecast of the first rule's
    law beside what its network showed.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    panels = [*AXES.items(), *([(_MS, "latency, ms")] if all(_measured(one) for one in all_findings) else [])]
    figure = Figure(figsize=(5.5 * len(panels), 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    beside = published_beside(all_findings, loss)
    losses = [value for one in all_findings for size in one.sizes for value in size.losses]
    losses += [one.error for one in beside] + ([tried.shown.mean, tried.frozen.forecast.loss] if tried else [])
    for axes, (axis, label) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for number, one in enumerate(all_findings):
            _draw_family(axes, one, axis, f"C{number}", loss)
        if beside and axis in AXES:
            x = [getattr(one.cost, axis) for one in beside]
            axes.plot(x, [one.error for one in beside], "x--", color="0.4", linewidth=1, label=LABEL)
        if tried is not None and axis == all_findings[0].axis:
            _draw_forecast(axes, tried, axis)
        # What an interval that says nothing would do to the scale hides what was measured.
        bottom, top = min(losses) / 1.5, max(losses) * 1.5
        axes.set(ylim=(bottom, top), xscale="log", yscale="log", xlabel=label, ylabel=LOSS_TEXT[loss])
        axes.xaxis.set_minor_formatter(NullFormatter())  # they would run into each other
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].legend(fontsize="small")
    with writing(path) as file:
        figure.savefig(file, format="svg")


def _measured(one: Findings) -> bool:
    return all(size.sized.arch.arch_id in one.ms for size in one.sizes)


def _draw_family(axes: Any, one: Findings, axis: str, colour: str, loss: str) -> None:
    """Draw the means of the sizes with their 95 % intervals, and the law where it is in this axis."""
    shown = [size for size in one.sizes if size.losses]
    if not shown:
        return
    x = np.array([one.ms_of(size) if axis == _MS else size.size(axis) for size in shown])
    order = np.argsort(x, kind="stable")
    mean = np.array([size.mean for size in shown])
    ends = np.array([interval(size.losses, loss) for size in shown])
    reach = np.nan_to_num(np.abs(ends.T - mean), nan=0.0)
    axes.errorbar(x[order], mean[order], reach[:, order], fmt="o", color=colour, capsize=3, label=one.rule)
    if axis == one.axis and one.law is not None:
        sizes = np.geomspace(x.min(), 4 * x.max(), _CURVE)
        said = [one.law.forecast(float(size)) for size in sizes]
        axes.plot(sizes, [now.loss for now in said], color=colour, linewidth=1)
        low, high = ([getattr(now, end) for now in said] for end in ("low", "high"))
        axes.fill_between(sizes, np.maximum(low, _TINY), np.minimum(high, 1 / _TINY), color=colour, alpha=0.12)
    else:
        axes.plot(x[order], mean[order], color=colour, linewidth=1)


def _draw_forecast(axes: Any, tried: Tried, axis: str) -> None:
    said, x = tried.frozen.forecast, tried.shown.size(axis)
    axes.errorbar(
        [x],
        [said.loss],
        [[said.loss - said.low], [said.high - said.loss]],
        fmt="s",
        color="0.3",
        capsize=5,
        mfc="none",
        label=f"forecast ({said.confidence:.0%})",
    )
    axes.plot([x], [tried.shown.mean], "*", color="C0", markersize=12, label="what it then showed")
