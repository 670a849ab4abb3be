"""The choice of search spaces, and of the limits to set in them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import ceil, floor, log10

from nas.advise import rules_of_thumb as rules
from nas.advise.networks import CountedNetwork, Start
from nas.advise.published import SPACES
from nas.advise.request import Request
from nas.cost import Constraint, check
from nas.errors import NasError
from nas.network.ops import Shape
from nas.space import SearchSpace, load_space
from nas.space.describe import Spread, spread
from nas.space.feasible import feasible

_SAMPLES = 150
_GUIDED_DRAWS = 3000
_MAX_SPACES = 3
_MIN_SHARE = 0.01
_MAX_SAMPLED = 5
_FOR_SMALL_INPUTS = "small_images"
SEGMENT = ("unet", "fpn", "deeplab")
"""Spaces whose networks give a class for each pixel."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit to set, with the reason."""

    constraint: Constraint
    reason: str
    requested: bool
    """Whether the user asked for it."""

    def __str__(self) -> str:
        return _bound(self.constraint)


@dataclass(frozen=True, slots=True)
class Choice:
    """A space to search, with the reason."""

    space: SearchSpace
    share: float
    """Share of random genotypes that hold the limits, estimated from 150."""
    params: tuple[float, float]
    """The 5th and the 95th percentile of the parameters of random networks."""
    reason: str


@dataclass(frozen=True, slots=True)
class Region:
    """Spaces to search, and limits to set in them."""

    choices: tuple[Choice, ...]
    limits: tuple[Limit, ...]
    impossible: tuple[str, ...]
    """A line for each space in which no network holds the limits, or which does not take the input."""


@dataclass(frozen=True, slots=True)
class _SampledSpace:
    """A space for the user's input, and the costs of some random genotypes."""

    space: SearchSpace
    sample: Spread

    def share(self, limits: Sequence[Constraint]) -> float:
        return self.sample.holding(limits) / self.sample.genotypes


def choose_region(request: Request, starts: Sequence[Start], shape: Shape, classes: int) -> Region:
    """Choose spaces and limits around the networks to start from; there may be none."""
    families = [start.network.published.family for start in starts]
    spaces, impossible = _sample_spaces(request, families, shape, classes)
    if not any(family in SPACES for family in families):  # then those come first in which limits leave something
        spaces.sort(key=lambda space: space.share(request.counted_limits) < _MIN_SHARE)
    limits = [Limit(limit, _why_asked(limit), requested=True) for limit in request.requested_limits]
    if spaces:
        limits += _proposed_limits(request, starts, spaces[0])
    constraints = [limit.constraint for limit in limits if not limit.constraint.measured]
    choices: list[Choice] = []
    for space in spaces:
        share = space.share(constraints)
        nearest = None if share else feasible(space.space, constraints, random.Random(0), most=_GUIDED_DRAWS)[0]
        if nearest is not None and not nearest.accepted:
            problem = f"nothing found that holds the limits; the nearest: {nearest.problem}"
            impossible.append(f"space {space.space.name}: {problem}")
        elif len(choices) < _MAX_SPACES:
            quantiles = space.sample.quantiles("params")
            params = quantiles[1], quantiles[5]
            choices.append(Choice(space.space, share, params, _why_space(space.space.name, starts, share, params)))
    return Region(tuple(choices), tuple(limits), tuple(impossible))


def _sample_spaces(
    request: Request, families: Sequence[str], shape: Shape, classes: int
) -> tuple[list[_SampledSpace], list[str]]:
    spaces: list[_SampledSpace] = []
    refused = []
    for name in islice(_space_names(request, families), _MAX_SAMPLED):
        if sum(space.share(request.counted_limits) >= _MIN_SHARE for space in spaces) == _MAX_SPACES:
            break
        try:
            spaces.append(_sampled(name, shape, classes))
        except NasError as error:
            refused.append(f"space {name}: {error}")
    return spaces, refused


@lru_cache(maxsize=64)
def _sampled(name: str, shape: Shape, classes: int) -> _SampledSpace:
    """Sample a space of nas for an input; cached, since a program that compares requests samples the same spaces."""
    space = load_space(name).for_data(shape, classes)
    return _SampledSpace(space, spread(space, _SAMPLES, 0))


def suited_spaces(request: Request, starts: Sequence[Start], shape: Shape, classes: int) -> list[SearchSpace]:
    """Return the spaces that suit the data of a request, the first one first, whatever of them holds its limits.

    Args:
        request: of the user.
        starts: networks to start from, whose families come first.
        shape: of the input.
        classes: of the data.
    """
    found: list[SearchSpace] = []
    for name in _space_names(request, [start.network.published.family for start in starts]):
        if len(found) < _MAX_SPACES:
            with suppress(NasError):  # it does not take such an input
                found.append(load_space(name).for_data(shape, classes))
    return found


def _space_names(request: Request, families: Sequence[str]) -> Iterable[str]:
    """Return the spaces around the families of the networks to start from, and others with small networks."""
    if request.task == "series":
        return ["conv1d"]
    if request.task == "segmentation":
        return SEGMENT
    names = [_FOR_SMALL_INPUTS] if request.small_images else []
    names += [SPACES[family] for family in families if family in SPACES]
    if request.size_mib is not None or request.params is not None:
        names += ["mbconv", "densenet", "squeezenet"]
    names += ["mbconv", "resnet", "densenet"] + ["vit"] * request.enough_for_transformers + ["five_stage"]
    return dict.fromkeys(names)


def _why_space(name: str, starts: Sequence[Start], share: float, params: tuple[float, float]) -> str:
    around = next((start.network.name for start in starts if SPACES.get(start.network.published.family) == name), None)
    acceptance = (
        f"{share:.0%} of random ones hold the limits" if share else "only guided sampling finds some in the limits"
    )
    what = f"The family of {around}" if around else "Reaches far down"
    if name == _FOR_SMALL_INPUTS:
        what = "Made for inputs of this size, with several kinds of blocks"
    return f"{what}: networks of mostly {params[0] / 1e6:.2g} to {params[1] / 1e6:.2g} M parameters; {acceptance}."


def _why_asked(limit: Constraint) -> str:
    if limit.measured:
        return "Asked for; has to be measured on the device or on one like it."
    return "Asked for; checked before anything is built."


def _proposed_limits(request: Request, starts: Sequence[Start], space: _SampledSpace) -> list[Limit]:
    """Return limits on metrics for which the request has none."""
    sized = request.size_mib is not None or request.params is not None
    timed = request.on_battery or request.latency_ms is not None
    if request.macs is not None or (sized and not timed and not request.small_images):
        return []
    if request.small_images or request.task == "series":
        return _quantile_limit(request, space)
    if request.effective_priority == "highest" or not starts:
        why = "What is called the mobile setting (rule of thumb; Zoph et al. 2018)."
        return [Limit(Constraint("macs", high=rules.MOBILE_MACS), why, requested=False)] if request.on_battery else []
    first = starts[0].network
    why = f"What {first.name} takes at this input: the search is to find better networks that cost no more."
    limits = [_upper_limit("macs", first.cost.macs, why)]
    if request.on_battery and not sized:
        limits.append(
            _upper_limit("size_mib", first.cost.size_mib, f"What {first.name} takes in the memory of the device.")
        )
    return limits


def _quantile_limit(request: Request, space: _SampledSpace) -> list[Limit]:
    share = rules.QUANTILES[request.effective_priority]
    costs, priority = space.sample.costs, request.effective_priority
    allowed = [cost for cost in costs if not any(each.rejects for each in check(cost, request.counted_limits))]
    macs = sorted(cost.macs for cost in allowed or costs)
    if share is None or not macs:
        return []
    why = f"Lets {share:.0%} of random networks of {space.space.name} through (rule of thumb, priority {priority})."
    return [_upper_limit("macs", macs[floor(share * (len(macs) - 1))], why)]


def _upper_limit(metric: str, value: float, reason: str) -> Limit:
    """Return an upper bound of two digits that lets a value through."""
    step = 10.0 ** (floor(log10(value)) - 1)
    return Limit(Constraint(metric, high=float(f"{ceil(value / step) * step:.2g}")), reason, requested=False)


def impossible_networks(
    request: Request, networks: Sequence[CountedNetwork], least: dict[str, tuple[CountedNetwork, float]]
) -> list[str]:
    """Return the requested limits that no published network holds, as lines.

    Args:
        request: of the user.
        networks: published ones for the task.
        least: by metric, the network with the smallest value, and that value.
    """
    reasons = []
    for limit in request.counted_limits:
        network, value = least[limit.metric]
        if value > limit.high:
            needs = _rounded_up(value)
            reasons.append(
                f"{_bound(limit)}: no published network holds it; the smallest, {network.name}, needs {needs}"
            )
    if networks and request.counted_limits and not reasons:
        limits = " and ".join(map(_bound, request.counted_limits))
        reasons.append(f"no published network holds {limits} together, though each by itself")
    return reasons


def _bound(limit: Constraint) -> str:
    return f"{limit.metric} <= {limit.high:,.12g}"


def _rounded_up(value: float) -> str:
    """Return a value rounded up, so that as a bound it lets the value through."""
    return f"{ceil(value):,}" if value >= 1000 else f"{ceil(value * 100) / 100:g}"
