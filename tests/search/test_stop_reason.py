"""Why a search ended: one value a reason, and the text that records hold."""

from __future__ import annotations

from typing import Any

import pytest

from nas.search.stop_reason import StopReason

TEXTS: dict[StopReason, tuple[dict[str, Any], str]] = {
    StopReason.TRIALS_DONE: ({"trained": 30}, "30 trials done"),
    StopReason.SPACE_EXHAUSTED: ({"size": 27}, "every genotype of the space (27) has been tried"),
    StopReason.PROPOSALS_REJECTED: (
        {"fruitless": 12, "causes": "params 12"},
        "12 proposals in a row were over a limit or known already (rejected so far, by limit: params 12)",
    ),
    StopReason.NO_GAIN_EXPECTED: (
        {"count": 7, "share": 3.0},
        "no further gain is expected: 7 proposals in a row promised less than 3 % of the noise of a score "
        "(search.patience)",
    ),
    StopReason.INFEASIBLE: (
        {"examined": 20_000, "problem": "params 2 is over 1"},
        "no candidate holds the limits: 20,000 looked at by guided sampling, the nearest: params 2 is over 1",
    ),
    StopReason.SAMPLER_EXHAUSTED: ({}, "the sampler has nothing more to propose that was not tried"),
    StopReason.TIME_OVER: ({"minutes": 0.05}, "0.05 minutes are over"),
    StopReason.FAILED_ALIKE: (
        {"why": "the last 5 evaluations failed alike, the last one with: {x}"},
        "the last 5 evaluations failed alike, the last one with: {x} (search.max_equal_failures says how many may)",
    ),
    StopReason.INTERRUPTED: ({}, "interrupted"),
    StopReason.ERROR: ({"error": "OSError: {}"}, "ended by OSError: {}"),
}
"""As earlier versions wrote them to MLflow and to trials that were interrupted."""


@pytest.mark.parametrize("reason", StopReason, ids=lambda reason: reason.name)
def test_each_reason_has_the_text_of_earlier_records(reason: StopReason) -> None:
    details, text = TEXTS[reason]
    stop = reason.stop(**details)
    assert (stop.reason, stop.text, str(stop)) == (reason, text, text)
    for name in details:
        with pytest.raises(KeyError, match=name):
            reason.stop(**{other: value for other, value in details.items() if other != name})
