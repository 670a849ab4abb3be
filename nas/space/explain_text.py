"""Writing an `Explanation` for people."""

from __future__ import annotations

import math

from nas.space.explain import Explanation, LimitEffect, Share


def infeasible(explanation: Explanation) -> str:
    """Return the sentence that no network holds the limits, how certain that is, and what the nearest one breaks."""
    sure = "" if explanation.accepted.exact else " as far as sampling and guided sampling could find"
    return f"no network of the space holds the limits{sure}; the nearest: {explanation.nearest.problem}"


def lines(explanation: Explanation) -> list[str]:
    """Return the lines of an explanation."""
    accepted = explanation.accepted
    text = [
        f"Accepted: {percent(accepted)} of {accepted.total:,} genotypes"
        + ("" if accepted.exact else " drawn (99 % intervals)")
    ]
    if explanation.unsure.count:
        text.append(
            f"Unknown: {percent(explanation.unsure)} hold the others, but are unlike the networks of the device "
            "profile; a search measures them"
        )
    if not accepted.count and not explanation.infeasible and not explanation.unsure.count:
        text.append("  none of those drawn, but mutation towards the limits finds some: a search does the same")
    if explanation.no_network.count:
        text.append(f"No network, since shapes do not fit: {percent(explanation.no_network)}")
    text += ["", "Limits"]
    for effect in explanation.effects:
        alone = f"{effect.alone.value:.2%} that no other limit does"
        text.append(f"  {effect.limit}: excludes {percent(effect.excluded)}, {alone}")
        if effect.relaxed is not None:
            text.append(f"    {_relaxed(effect)} would accept 10 %, the other limits as they are")
    if explanation.weights:
        text += ["", "Decisions that matter most (share of the spread that each explains by itself)"]
        text += [f"  {weight.metric:22} {weight.explained:5.0%}  {weight.decision}" for weight in explanation.weights]
    if explanation.sections:
        text += ["", "Where the costs are (mean share of random networks)", f"  {'':12}{'params':>8}{'MACs':>8}"]
        text += [f"  {name:12}{params:8.0%}{macs:8.0%}" for name, params, macs in explanation.sections]
    return text


def percent(share: Share) -> str:
    """Write a share, with its 99 % interval where it is an estimate."""
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
