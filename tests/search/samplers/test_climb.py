"""The search for the highest acquisition, against going through all that there is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import nas
from nas.cost import constraints_from
from nas.search.samplers import predictor
from nas.search.samplers.domain import Proposal
from nas.search.samplers.encoding import Array
from nas.search.samplers.space_domain import SpaceDomain
from nas.seeds import derived_seed
from nas.space.feasible import examine


def _space(options: int) -> nas.SearchSpace:
    """Three stages of a width of their own: 4, 5, 6, ..."""
    widths = {"choose": list(range(4, 4 + options))}
    stage = {"block": "conv", "depth": 1, "out_channels": widths}
    return nas.SearchSpace.from_dict(
        {
            "name": "widths",
            "assume": {"channels": 1, "resolution": 8, "num_classes": 4},
            "stages": [stage, stage, stage],
            "head": {"block": "classifier"},
        }
    )


class _Known:
    """An acquisition that is a function of the decisions, and counts how often it is asked."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights, self.asked = weights, [0]

    def __call__(self, proposals: Sequence[Proposal]) -> Array:
        self.asked.append(len(proposals))
        return np.array([self.one(proposal.params) for proposal in proposals])

    def one(self, params: Any) -> float:
        """The sum of the widths, by weights, and a little by chance."""
        widths = [params[name] for name in sorted(params)]
        chance = derived_seed(0, *widths) / 2**32
        return float(np.dot(self._weights, widths) + 0.5 * chance)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.2), (0.2, 1.0, 3.0)])
def test_the_best_within_a_limit_is_found_from_the_worst(weights: tuple[float, ...]) -> None:
    """Of 512 networks the limit leaves a tenth; the best ones are at it, where one width gives for another."""
    space, acquisition = _space(8), _Known(weights)
    params = sorted(nas.cost_of(space.decode(genotype)).params for genotype in space.enumerate())
    limits = constraints_from({"params": params[len(params) // 10]})
    domain = SpaceDomain(space, lambda genotype: examine(space, genotype, limits))
    feasible = [one for one in map(domain.proposal, space.enumerate()) if one.feasible]
    assert len(feasible) < 70
    gains = sorted((acquisition.one(one.params) for one in feasible), reverse=True)
    worst = min(feasible, key=lambda one: acquisition.one(one.params))
    judged, found = predictor._climb(domain, acquisition, [worst], random.Random(0))  # type: ignore[arg-type]
    assert found.max() == gains[0]
    assert all(one.feasible for one in judged)
    assert len({one.key for one in judged}) == len(judged) == len(found)


class _Sums:
    """Pairs of numbers whose sum is 10: one can grow by 1 only where the other one shrinks by 1."""

    def mutate(self, proposal: Proposal, rng: random.Random, num_changes: int) -> Proposal | None:
        """Return None for a change of one number, which breaks the limit."""
        a = proposal.params["a"] + rng.choice((-1, 1))
        return _pair(a) if num_changes == 2 and 0 <= a <= 10 else None

    def is_new(self, proposal: Proposal) -> bool:
        """Nothing was tried."""
        return True


def _pair(a: int) -> Proposal:
    return Proposal({"a": a, "b": 10 - a}, a)


def test_it_goes_step_by_step_along_a_limit_and_over_a_dip() -> None:
    """From 0 to 10, where 5 is a little worse than 4, so that 4 has no better neighbour."""
    gain = {a: a - 1.5 * (a == 5) for a in range(11)}

    def acquisition(proposals: Sequence[Proposal]) -> Array:
        return np.array([gain[one.params["a"]] for one in proposals])

    judged, gains = predictor._climb(_Sums(), acquisition, [_pair(0)], random.Random(0))  # type: ignore[arg-type]
    assert [one.params["a"] for one in judged] == list(range(11))
    np.testing.assert_array_equal(gains, list(gain.values()))


def test_it_ends_after_so_many_judged_and_so_many_rounds() -> None:
    space, acquisition = _space(30), _Known((1.0, 1.0, 1.0))
    domain, rng = SpaceDomain(space), random.Random(0)
    start = domain.proposal(space.sample(0))
    judged, gains = predictor._climb(domain, acquisition, [start, start], rng)  # type: ignore[arg-type]
    np.testing.assert_array_equal(gains, [acquisition.one(one.params) for one in judged])
    assert sum(acquisition.asked) == len(judged) < predictor._MAX_JUDGED + predictor._NUM_NEIGHBOURS
    assert len(acquisition.asked) - 1 <= predictor._MAX_ROUNDS + 1
    assert max(acquisition.asked[1:]) <= predictor._NUM_NEIGHBOURS
    many = [domain.proposal(space.unrank(rank)) for rank in range(predictor._MAX_JUDGED)]
    assert len(predictor._climb(domain, acquisition, many, rng)[0]) == len(many)  # type: ignore[arg-type]
