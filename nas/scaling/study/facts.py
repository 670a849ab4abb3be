"""What a scaling study found, as plain values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nas.scaling.laws.law import Law
from nas.scaling.laws.response_surface import BestCoefficients
from nas.scaling.study.coefficients import SharesResult
from nas.scaling.study.isoflop import IsoflopProfile, best_size_at
from nas.scaling.study.preregistration import CheckedForecast
from nas.scaling.study.report import FamilyResult
from nas.scaling.study.sequential import SequentialResult
from nas.scaling.study.sizes import SizeResult


def family_facts(result: FamilyResult) -> dict[str, Any]:
    """Return the sizes of a rule with their law; a latency that was not measured is nan."""
    return {
        "sizes": [{**_size(size), "latency_ms": result.ms_of(size)} for size in result.sizes],
        "law": None if result.law is None else _law(result.law),
        "no_law": result.reason,
    }


def forecast_facts(checked: CheckedForecast | None, verdict: str) -> dict[str, Any]:
    """Return a forecast with what was measured then; where there is none, why."""
    if checked is None:
        return {"no_forecast": verdict}
    found = {**asdict(checked.registered.forecast), "sha256": checked.registered.digest, "verdict": verdict}
    return {**found, "measured": _size(checked.result)}


def isoflop_facts(profiles: Sequence[IsoflopProfile], law: Law | str) -> dict[str, Any]:
    """Return the sizes at each cost of training, with the best one there; or why there is no law."""
    found = []
    for profile in profiles:
        best = best_size_at(law, profile)
        sizes = [{**_size(size), "epochs": size.setup.recipe.epochs} for size in profile.sizes]
        found.append({"budget": profile.budget, "sizes": sizes, "best_macs": None if best is None else asdict(best)})
    no_law = law if isinstance(law, str) else ""
    return {"profiles": found, "law": None if isinstance(law, str) else _law(law), "no_law": no_law}


def plan_facts(result: SequentialResult, law: Law | str, target: float) -> dict[str, Any]:
    """Return the runs of a sequential design, by multiply-adds of their network, and the forecast at `target` ones."""
    runs = {f"{macs:.0f}": count for macs, count in result.counts.items()}
    found = {"runs_by_macs": runs, "spent": result.spent, "stop_reason": result.stopped}
    if isinstance(law, str):
        return {**found, "law": None, "no_law": law, "forecast": None}
    return {**found, "law": _law(law), "no_law": "", "forecast": {"macs": target, **asdict(law.forecast(target))}}


def coefficient_facts(results: Sequence[SharesResult], best: BestCoefficients) -> dict[str, Any]:
    """Return the networks that share out the cost differently, and the best coefficients."""
    return {
        "networks": [{"shares": one.shares, "relative_cost": one.cost, **_size(one.size_result)} for one in results],
        "coefficients": {name: asdict(getattr(best, name)) for name in ("alpha", "beta", "gamma")},
        "shares": best.shares,
        "edges": best.edges,
    }


def _size(size: SizeResult) -> dict[str, Any]:
    cost = size.setup.member.cost
    return {
        "arch_id": size.setup.arch.arch_id,
        "phi": size.setup.member.phi,
        "times_base": size.setup.times,
        "macs": cost.macs,
        "params": cost.params,
        "losses": size.losses,
        "mean_loss": size.mean,
        "failed": sum(bool(run.reason) for run in size.runs),
        "reason": size.reason,
    }


def _law(law: Law) -> dict[str, Any]:
    constants = {
        name: {"value": one.loss, "low": one.low, "high": one.high, "confidence": one.confidence}
        for name, one in law.constants().items()
    }
    return {"formula": law.form.formula, "constants": constants, "p_of_fit": law.lack_of_fit, "scatter": law.scatter}
