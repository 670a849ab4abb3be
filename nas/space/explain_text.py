"""Explanations in words."""

from __future__ import annotations

import math

from nas.space.explain import Explanation, LimitEffect, Share


def infeasible(found: Explanation) -> str:
    """Say that nothing holds the limits, how sure that is, and what comes nearest."""
    sure = "" if found.accepted.exact else " as far as sampling and guided sampling could find"
    return f"no network of the space holds the limits{sure}; the nearest: {found.nearest.problem}"


def lines(found: Explanation) -> list[str]:
    """Write an explanation for people."""
    accepted = found.accepted
    text = [
        f"Accepted: {percent(accepted)} of {accepted.of:,} genotypes"
        + ("" if accepted.exact else " drawn (99 % intervals)")
    ]
    if found.unsure.found:
        text.append(
            f"Unknown: {percent(found.unsure)} hold the others, but are unlike the networks of the device profile; a "
            "search measures them"
        )
    if not accepted.found and not found.infeasible and not found.unsure.found:
        text.append("  none of those drawn, but mutation towards the limits finds some: a search does the same")
    if found.no_network.found:
        text.append(f"No network, since shapes do not fit: {percent(found.no_network)}")
    text += ["", "Limits"]
    for effect in found.effects:
        alone = f"{effect.alone.value:.2%} that no other limit does"
        text.append(f"  {effect.limit}: excludes {percent(effect.excluded)}, {alone}")
        if effect.relaxed is not None:
            text.append(f"    {_relaxed(effect)} would accept 10 %, the other limits as they are")
    if found.weights:
        text += ["", "Decisions that matter most (share of the spread that each explains by itself)"]
        text += [f"  {one.metric:22} {one.explained:5.0%}  {one.decision}" for one in found.weights]
    if found.sections:
        text += ["", "Where the costs are (mean share of random networks)", f"  {'':12}{'params':>8}{'MACs':>8}"]
        text += [f"  {name:12}{params:8.0%}{macs:8.0%}" for name, params, macs in found.sections]
    return text


def percent(share: Share) -> str:
    """Write a share, with the interval that holds it 99 times of 100 where it is an estimate."""
    if share.exact:
        return f"{share.value:.2%}"
    low, high = share.interval()
    return f"{share.value:.2%} ({low:.2%} to {high:.2%})"


def _relaxed(effect: LimitEffect) -> str:
    assert effect.relaxed is not None
    # Two digits, rounded to the side that lets more through.
    step = 10.0 ** (math.floor(math.log10(effect.relaxed)) - 1) if effect.relaxed > 0 else 1.0
    value = (math.floor if effect.relaxed_low else math.ceil)(effect.relaxed / step) * step
    return f"{effect.limit.metric} {'>=' if effect.relaxed_low else '<='} {value:,.6g}"
