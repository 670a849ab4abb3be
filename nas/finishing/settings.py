"""The settings of `nas finish` that decide what it trains. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.settings import Range, check_settings, setting

PUBLISHED, RANDOM, NONE = "published", "random", "none"
BASELINES = (PUBLISHED, RANDOM, NONE)
"""What the winner is compared with."""

_COUNT = Range(1, 1000, whole=True)


@dataclass(frozen=True, kw_only=True)
class FinishSettings:
    """How the best networks of a search are trained anew, and what they are compared with.

    The defaults are those that `benchmarks/honest_finish.py` shows to be needed: with noise of half a point between
    seeds, 8 final seeds recommend the better one of two networks half a point apart in 98 of 100 cases, 3 in 89.
    """

    top_k: int = setting(5, "best networks of the search, trained anew to choose the winner", _COUNT)
    seeds: int = setting(
        3, "fresh seeds to choose it with; networks that can no longer win are dropped after the second", _COUNT
    )
    final_seeds: int = setting(
        8, "other seeds, with which the winner and the baseline alone are trained, and which alone are reported", _COUNT
    )
    baseline: str = setting(
        PUBLISHED,
        "published: published networks get the seconds of the search and of choosing its winner; random: these, and "
        "random networks of the space with as many; none: no comparison",
        BASELINES,
    )
    searched_recipe: bool = setting(
        True,
        "train by what the search has decided of the recipe (search.recipe) for each of its networks, in place of what "
        "train says, and baselines by that of the winner; false: by train alone",
        before=True,
    )
    minutes: float | None = setting(
        None,
        "the most that choosing and reporting may take; null: 4 times what the search took, at least 10, and what a "
        "few seeds are expected to need; each baseline has the time of the search and of choosing its winner beside it",
        Range(0, 1e6, above=True),
        may_change=True,
    )

    def __post_init__(self) -> None:
        check_settings(self, "finish")
