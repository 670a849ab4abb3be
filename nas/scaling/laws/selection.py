"""Selection of a law's form by its error on held-out sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np

from nas.scaling.laws.form_fits import MAX_LEFT_OUT, errors_without_largest
from nas.scaling.laws.forms import ASYMPTOTE, BROKEN, POWER, Array, Form
from nas.scaling.laws.law import POOR_FIT, fit_untested, why_insufficient
from nas.scaling.laws.observations import Observation, size_means

FORMS = (ASYMPTOTE, POWER, BROKEN)
"""The forms that are compared. The first is selected unless a broken law wins."""


@dataclass(frozen=True)
class FormError:
    """The error of a form on the largest sizes, fitted to the smaller ones."""

    form: Form
    error: float | None
    """Mean absolute error, in logarithms; None where too few sizes are left to fit the form to."""
    reason: str = ""
    """Why there is no error, or nothing."""


def compare_forms(observations: Sequence[Observation], forms: Sequence[Form] = FORMS) -> list[FormError]:
    """Fit each form without the largest size, and without the two largest, and return its errors on those.

    Laws are used to extrapolate, so they are compared by extrapolating (Alabdulmohsin et al. 2022, "Revisiting neural
    scaling laws in language and vision", section 3). All forms that can be fitted are compared on the same sizes.
    """
    means, counts = size_means(observations), range(1, MAX_LEFT_OUT + 1)
    errors = {form.name: {count: errors_without_largest(means, form, count) for count in counts} for form in forms}
    testable = [by_count for by_count in errors.values() if by_count[1] is not None]
    common = [count for count in counts if testable and all(by_count[count] is not None for by_count in testable)]
    return [_of_common(observations, form, [errors[form.name][count] for count in common]) for form in forms]


def _of_common(observations: Sequence[Observation], form: Form, errors: Sequence[Array | None]) -> FormError:
    available = [error for error in errors if error is not None]
    if available and len(available) == len(errors):
        return FormError(form, float(np.mean(np.abs(np.concatenate(available)))))
    largest = max(observations, key=lambda observation: float(np.prod(observation.size))).size
    rest = [observation for observation in observations if observation.size != largest]
    return FormError(form, None, f"without the largest: {why_insufficient(rest, form) if rest else 'nothing is left'}")


def select_form(observations: Sequence[Observation]) -> Form:
    """Return the law with an asymptote, or a broken one where that wins by more than the noise.

    A broken law wins where its error on held-out sizes is smaller and the test of fit speaks against the other;
    without repeated runs, by the error alone. A law without an asymptote promises a loss of 0 at some size; it is never
    selected for its error, since over a narrow span it cannot be told from a law whose asymptote is small.
    """
    asymptote, broken = compare_forms(observations, (ASYMPTOTE, BROKEN))
    if asymptote.error is None or broken.error is None:
        return ASYMPTOTE
    p = fit_untested(observations).lack_of_fit
    if p is not None and p >= POOR_FIT:
        return ASYMPTOTE
    largest = max(observation.size for observation in observations)
    runs = {observation.run for observation in observations if observation.size == largest}
    law = fit_untested(observations, BROKEN)
    noise = hypot(law.scatter, law.noise / sqrt(len(runs)))
    return BROKEN if broken.error + 2 * noise < asymptote.error else ASYMPTOTE
