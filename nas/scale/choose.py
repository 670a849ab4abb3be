"""Which law to believe: the one that says best what was held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import f

from nas.scale.forms import ASYMPTOTE, BROKEN, POWER, Form
from nas.scale.law import Law, Observation, fit_law, why_insufficient

FORMS = (ASYMPTOTE, POWER, BROKEN)
"""The first is believed unless another wins; a law without an asymptote is shown beside it."""
_QUICK = 2


@dataclass(frozen=True)
class HeldOut:
    """How well a form says the largest sizes from the smaller ones."""

    form: Form
    error: float | None
    """Mean of the absolute differences of the logarithms; None where too little is left to fit it to."""
    reason: str = ""
    """Why there is none."""


def held_out(observations: Sequence[Observation], forms: Sequence[Form] = FORMS) -> list[HeldOut]:
    """Fit each form without the largest size, and without the two largest, and say how far off what it says of them is.

    A law is made to be read beyond what it was fitted to, so that is what it is tried on (Alabdulmohsin et al. 2022,
    "Revisiting neural scaling laws in language and vision", section 3).
    """
    return [_held_out(observations, form) for form in forms]


def _held_out(observations: Sequence[Observation], form: Form) -> HeldOut:
    sizes = sorted({one.size for one in observations}, key=lambda size: float(np.prod(size)))
    errors, reason = [], ""
    for count in (1, 2):
        left_out = set(sizes[-count:])
        rest = [one for one in observations if one.size not in left_out]
        reason = why_insufficient(rest, form) if rest else "nothing is left"
        if reason:
            break
        law = fit_law(rest, form, draws=_QUICK)
        errors += [
            abs(
                float(np.mean([np.log(one.loss) for one in observations if one.size == size])) - np.log(law.loss(*size))
            )
            for size in left_out
        ]
    return HeldOut(form, float(np.mean(errors)) if errors else None, "" if errors else f"without the largest: {reason}")


def lack_of_fit(law: Law, observations: Sequence[Observation]) -> float | None:
    """Return how likely sizes are as far from a law as these, were it true: small where no such law fits.

    The F test of what the sizes' means miss against what their runs differ (Draper & Smith 1998, "Applied regression
    analysis", section 2.1), in logarithms. None where there are no more sizes than constants, or no runs that could
    differ.
    """
    runs: dict[tuple[float, ...], list[float]] = {}
    for one in observations:
        runs.setdefault(one.size, []).append(float(np.log(one.loss)))
    spare, repeated = len(runs) - len(law.form.constants), len(observations) - len(runs)
    if spare < 1 or repeated < 1:
        return None
    pure = sum(float(np.var(logs)) * len(logs) for logs in runs.values())
    missed = sum(
        len(logs) * (float(np.mean(logs)) - float(np.log(law.loss(*size)))) ** 2 for size, logs in runs.items()
    )
    if pure == 0:
        return None
    return float(f.sf((missed / spare) / (pure / repeated), spare, repeated))


def believed(observations: Sequence[Observation]) -> Form:
    """Return the law with an asymptote, or a broken one where that wins by more than the noise.

    A law without an asymptote promises a loss of 0 at some size; it is never believed for its error alone, since over a
    narrow span it cannot be told from one whose asymptote is small.
    """
    plain, broken = held_out(observations, (ASYMPTOTE, BROKEN))
    if plain.error is None or broken.error is None:
        return ASYMPTOTE
    runs = {one.run for one in observations if one.size == max(other.size for other in observations)}
    noise = fit_law(observations, BROKEN, draws=_QUICK).noise / sqrt(len(runs))
    return BROKEN if broken.error + 2 * noise < plain.error else ASYMPTOTE
