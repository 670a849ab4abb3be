"""Which law to believe: the one that says best what was held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np

from nas.scaling.laws.form_fits import LEFT_OUT, without_largest
from nas.scaling.laws.forms import ASYMPTOTE, BROKEN, POWER, Array, Form
from nas.scaling.laws.law import DOUBTED, fit_untested, why_insufficient
from nas.scaling.laws.observations import Observation, means_of

FORMS = (ASYMPTOTE, POWER, BROKEN)
"""The first is believed unless another wins; a law without an asymptote is shown beside it."""


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
    "Revisiting neural scaling laws in language and vision", section 3). All forms that can be tried
    at all are tried on the same sizes.
    """
    means = means_of(observations)
    errors = {
        form.name: {count: without_largest(means, form, count) for count in range(1, LEFT_OUT + 1)} for form in forms
    }
    able = [own for own in errors.values() if own[1] is not None]
    common = [count for count in range(1, LEFT_OUT + 1) if able and all(own[count] is not None for own in able)]
    return [_of_common(observations, form, [errors[form.name][count] for count in common]) for form in forms]


def _of_common(observations: Sequence[Observation], form: Form, errors: Sequence[Array | None]) -> HeldOut:
    every = [error for error in errors if error is not None]
    if every and len(every) == len(errors):
        return HeldOut(form, float(np.mean(np.abs(np.concatenate(every)))))
    largest = max(observations, key=lambda one: float(np.prod(one.size))).size
    rest = [one for one in observations if one.size != largest]
    return HeldOut(form, None, f"without the largest: {why_insufficient(rest, form) if rest else 'nothing is left'}")


def believed(observations: Sequence[Observation]) -> Form:
    """Return the law with an asymptote, or a broken one where that wins by more than the noise.

    It wins where it says the held-out sizes better, and where runs say that the other does not fit; without repeated
    runs, by the first alone. A law without an asymptote promises a loss of 0 at some size; it is never believed for its
    error alone, since over a narrow span it cannot be told from one whose asymptote is small.
    """
    plain, broken = held_out(observations, (ASYMPTOTE, BROKEN))
    if plain.error is None or broken.error is None:
        return ASYMPTOTE
    likely = fit_untested(observations).lack_of_fit
    if likely is not None and likely >= DOUBTED:
        return ASYMPTOTE
    runs = {one.run for one in observations if one.size == max(other.size for other in observations)}
    law = fit_untested(observations, BROKEN)
    noise = hypot(law.scatter, law.noise / sqrt(len(runs)))
    return BROKEN if broken.error + 2 * noise < plain.error else ASYMPTOTE
