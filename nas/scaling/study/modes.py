"""The modes of a study: training its networks, fitting laws, and reporting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nas.errors import NasError
from nas.scaling.family import write_family
from nas.scaling.solve import Member
from nas.scaling.study.coefficients import coefficient_lines, draw_surface, search_coefficients
from nas.scaling.study.facts import coefficient_facts, family_facts, forecast_facts, isoflop_facts, plan_facts
from nas.scaling.study.isoflop import draw_isoflop, fit_profiles, isoflop_lines, isoflop_profiles
from nas.scaling.study.networks import Networks
from nas.scaling.study.preregistration import CheckedForecast
from nas.scaling.study.published_efficientnet import published_lines
from nas.scaling.study.report import (
    FamilyResult,
    comparable_published,
    comparison_lines,
    draw,
    family_result,
    law_lines,
    size_table,
    write_runs,
)
from nas.scaling.study.scaling_study import ScalingStudy, check_forecast, train_families
from nas.scaling.study.sequential import sequential_law, sequential_lines, train_sequentially
from nas.scaling.study.training_runs import RUNS

_print = partial(print, flush=True)


def mode_runner(mode: str) -> Callable[[ScalingStudy, Networks], list[str]]:
    """Return the function that runs a mode; it returns the lines of the report."""
    return {"coefficients": _coefficients, "isoflop": _isoflop, "plan": _plan}.get(mode, _sizes)


def _sizes(study: ScalingStudy, networks: Networks) -> list[str]:
    """Train families, fit their laws, and check a forecast."""
    config, folder = study.config, study.folder
    results = train_families(study, networks.families)
    if networks.latencies is not None:  # now that the machine is quiet
        ms = networks.latencies.measure(size.setup.arch for result in results for size in result.sizes)
        results = [replace(result, ms=ms, disturbed=networks.latencies.disturbed()) for result in results]
        write_family(networks.members, study.cost, folder, networks.latencies.measured())
    lines = ["", *size_table(results, config.loss)]
    if networks.latencies is not None:
        lines += ["", networks.latencies.describe()]
    lines += ["", *(line for result in results for line in law_lines(result))]
    for result in results:
        if result.law is not None:
            study.metrics |= {f"{result.rule}.{name}": value.loss for name, value in result.law.constants().items()}
    if len(results) > 1:
        lines += ["", *comparison_lines(results, config.loss)]
    lines += _others(study, networks)
    if published := comparable_published(results, config.loss):
        lines += ["", *published_lines(published)]
    _print("\n".join(lines))
    write_runs(results, folder / "runs.csv")
    draw(results, config.loss, folder / "scaling.svg")
    study.facts |= {"rules": {result.rule: family_facts(result) for result in results}}
    if networks.forecast_member is not None:
        test, verdict = _forecast(study, results[0], networks.forecast_member)
        study.facts |= {"forecast": forecast_facts(test, verdict)}
        lines += ["", verdict]
        _print(verdict)
        if test is not None and test.result.losses:
            write_runs(results, folder / "runs.csv", test)
            draw(results, config.loss, folder / "scaling.svg", test)
    return lines


def _others(study: ScalingStudy, networks: Networks) -> list[str]:
    """Return a line where runs are left out since their networks are no members any more, as of an earlier version."""
    members = {member.arch.arch_id for member in networks.members}
    runs = sum(run.arch_id not in members for run in study.log.runs.values())
    return ["", f"{runs} runs in {RUNS} are of networks that are not among these sizes any more"] if runs else []


def _forecast(study: ScalingStudy, result: FamilyResult, member: Member) -> tuple[CheckedForecast | None, str]:
    """Check a forecast; where there is none, return why, since the report is still of use."""
    try:
        test = check_forecast(study, result, member, _print)
    except NasError as error:
        return None, str(error)
    study.metrics |= {"forecast": test.registered.forecast.loss, "forecast_measured": test.result.mean}
    return test, f"Forecast (sha256 {test.registered.digest}): {test.registered.verdict(test.result.losses)}"


def _isoflop(study: ScalingStudy, networks: Networks) -> list[str]:
    profiles = isoflop_profiles(study, study.setups(networks.distinct_members))
    law = fit_profiles(profiles, study.config.seed)
    study.facts |= isoflop_facts(profiles, law)
    lines = isoflop_lines(profiles, law, study.config.loss)
    _print("\n" + "\n".join(lines))
    draw_isoflop(profiles, law, study.config.loss, study.folder / "isoflop.svg")
    return lines


def _plan(study: ScalingStudy, networks: Networks) -> list[str]:
    assert study.config.forecast is not None
    target = study.config.forecast * study.cost.macs
    sizes = study.setups(networks.distinct_members)
    done = train_sequentially(study, sizes, target, _print)
    law = sequential_law(study, done)
    study.facts |= plan_facts(done, law, target)
    lines = sequential_lines(study, done, law, target)
    sizes_done = [size for size in map(study.finished, sizes) if size.runs]
    if sizes_done:
        (rule,) = networks.families
        results = [family_result(rule, sizes_done, max_loss=study.max_loss, seed=study.config.seed)]
        study.facts |= {"rules": {rule: family_facts(results[0])}}
        lines += ["", *size_table(results, study.config.loss)]
        write_runs(results, study.folder / "runs.csv")
        draw(results, study.config.loss, study.folder / "scaling.svg")
    _print("\n".join(lines))
    return lines


def _coefficients(study: ScalingStudy, _: Networks) -> list[str]:
    results, best = search_coefficients(study, study.say)
    study.facts |= coefficient_facts(results, best)
    lines = coefficient_lines(results, best, study.config.loss)
    _print("\n" + "\n".join(lines))
    draw_surface(results, best, study.config.loss, study.folder / "surface.svg")
    return lines
