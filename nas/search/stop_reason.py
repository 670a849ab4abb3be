"""Why a search ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class StopReason(Enum):
    """All reasons for which a search ends; a value is the text that is shown, with its details left open."""

    TRIALS_DONE = "{trained} trials done"
    SPACE_EXHAUSTED = "every genotype of the space ({size}) has been tried"
    PROPOSALS_REJECTED = (
        "{fruitless} proposals in a row were over a limit or known already (rejected so far, by limit: {causes})"
    )
    NO_GAIN_EXPECTED = (
        "no further gain is expected: {count} proposals in a row promised less than {share:g} % of the noise of a "
        "score (search.patience)"
    )
    INFEASIBLE = "no candidate holds the limits: {examined:,} looked at by guided sampling, the nearest: {problem}"
    SAMPLER_EXHAUSTED = "the sampler has nothing more to propose that was not tried"
    TIME_OVER = "{minutes:g} minutes are over"
    FAILED_ALIKE = "{why} (search.max_equal_failures says how many may)"
    INTERRUPTED = "interrupted"
    ERROR = "ended by {error}"

    def stop(self, **details: object) -> Stop:
        """Return the end of a search for this reason; `details` are the values that its text leaves open.

        Raises:
            KeyError: one of them is missing.
        """
        return Stop(self, self.value.format(**details))


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of one search."""

    reason: StopReason
    text: str
    """What is shown, and written to the records."""

    def __str__(self) -> str:
        return self.text
