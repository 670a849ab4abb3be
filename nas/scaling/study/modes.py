"""What each mode of a study does once its networks are known: train, fit, and report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nas.errors import NasError
from nas.scaling.family import write_family
from nas.scaling.solve import Member
from nas.scaling.study.coefficients import coefficient_lines, draw_surface, search
from nas.scaling.study.isoflop import draw_isoflop, isoflop_lines, law_of, profiles
from nas.scaling.study.networks import Networks
from nas.scaling.study.preregistration import Tried
from nas.scaling.study.published_efficientnet import published_lines
from nas.scaling.study.report import (
    Findings,
    comparison_lines,
    draw,
    findings,
    law_lines,
    published_beside,
    size_table,
    write_runs,
)
from nas.scaling.study.scaling_study import Study, forecast, trained
from nas.scaling.study.sequential import outlay_lines, progressive
from nas.scaling.study.training_runs import RUNS

_LINE = partial(print, flush=True)


def work_of(mode: str) -> Callable[[Study, Networks], list[str]]:
    """Return what a mode does; it gives the lines of the report."""
    return {"coefficients": _coefficients, "isoflop": _isoflop, "plan": _plan}.get(mode, _sizes)


def _sizes(study: Study, networks: Networks) -> list[str]:
    """Train families, fit their laws, and try a forecast."""
    config, folder = study.config, study.folder
    found = trained(study, networks.families)
    if networks.latencies is not None:  # now that the machine is quiet
        ms = networks.latencies.of(size.sized.arch for one in found for size in one.sizes)
        found = [replace(one, ms=ms, disturbed=networks.latencies.disturbed()) for one in found]
        write_family(networks.members, study.cost, folder, networks.latencies.known())
    lines = ["", *size_table(found, config.loss)]
    if networks.latencies is not None:
        lines += ["", networks.latencies.how()]
    lines += ["", *(line for one in found for line in law_lines(one))]
    for one in found:
        if one.law is not None:
            study.metrics |= {f"{one.rule}.{name}": value.loss for name, value in one.law.constants().items()}
    if len(found) > 1:
        lines += ["", *comparison_lines(found, config.loss)]
    lines += _others(study, networks)
    if beside := published_beside(found, config.loss):
        lines += ["", *published_lines(beside)]
    _LINE("\n".join(lines))
    write_runs(found, folder / "runs.csv")
    draw(found, config.loss, folder / "scaling.svg")
    if networks.ahead is not None:
        tried, verdict = _forecast(study, found[0], networks.ahead)
        lines += ["", verdict]
        _LINE(verdict)
        if tried is not None and tried.shown.losses:
            write_runs(found, folder / "runs.csv", tried)
            draw(found, config.loss, folder / "scaling.svg", tried)
    return lines


def _others(study: Study, networks: Networks) -> list[str]:
    """Say where runs are left out since their networks are no members: an earlier version, or forecast, made them."""
    members = {one.arch.arch_id for one in networks.members}
    runs = sum(run.arch_id not in members for run in study.log.runs.values())
    return ["", f"{runs} runs in {RUNS} are of networks that are not among these sizes any more"] if runs else []


def _forecast(study: Study, found: Findings, ahead: Member) -> tuple[Tried | None, str]:
    """Try a forecast; where there is none, what was trained is worth its report all the same."""
    try:
        tried = forecast(study, found, ahead, _LINE)
    except NasError as error:
        return None, str(error)
    study.metrics |= {"forecast": tried.frozen.forecast.loss, "forecast_measured": tried.shown.mean}
    return tried, f"Forecast (sha256 {tried.frozen.digest}): {tried.frozen.verdict(tried.shown.losses)}"


def _isoflop(study: Study, networks: Networks) -> list[str]:
    found = profiles(study, study.sized(networks.distinct_members))
    law = law_of(found, study.config.seed)
    lines = isoflop_lines(found, law, study.config.loss)
    _LINE("\n" + "\n".join(lines))
    draw_isoflop(found, law, study.config.loss, study.folder / "isoflop.svg")
    return lines


def _plan(study: Study, networks: Networks) -> list[str]:
    assert study.config.forecast is not None
    target = study.config.forecast * study.cost.macs
    sizes = study.sized(networks.distinct_members)
    lines = outlay_lines(study, progressive(study, sizes, target, _LINE), target)
    shown = [one for one in map(study.known, sizes) if one.runs]
    if shown:
        (rule,) = networks.families
        found = [findings(rule, shown, max_loss=study.max_loss, seed=study.config.seed)]
        lines += ["", *size_table(found, study.config.loss)]
        write_runs(found, study.folder / "runs.csv")
        draw(found, study.config.loss, study.folder / "scaling.svg")
    _LINE("\n".join(lines))
    return lines


def _coefficients(study: Study, _: Networks) -> list[str]:
    tried, best = search(study, study.say)
    lines = coefficient_lines(tried, best, study.config.loss)
    _LINE("\n" + "\n".join(lines))
    draw_surface(tried, best, study.config.loss, study.folder / "surface.svg")
    return lines
