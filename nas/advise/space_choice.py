"""Which search spaces to search, and the limits to set there."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import ceil, floor, log10

from nas.advise import rules_of_thumb as rules
from nas.advise.networks import Network, Start
from nas.advise.published import SPACES
from nas.advise.request import Wanted
from nas.cost import Constraint, check
from nas.errors import NasError
from nas.network.ops import Shape
from nas.space import SearchSpace, load_space
from nas.space.describe import Spread, spread
from nas.space.feasible import feasible

_SAMPLES = 150
_GUIDED = 3000
_MOST = 3
_SOME = 0.01
_LOOKED = 5


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit to set, and why."""

    constraint: Constraint
    reason: str
    asked: bool

    def __str__(self) -> str:
        return _bound(self.constraint)


@dataclass(frozen=True, slots=True)
class Choice:
    """A space to search, and why."""

    space: SearchSpace
    share: float
    """Of random genotypes that hold the limits, estimated from a hundred and fifty."""
    params: tuple[float, float]
    """Parameters of random networks, the 5th and the 95th percentile."""
    reason: str


@dataclass(frozen=True, slots=True)
class Region:
    """Where to search: spaces, limits, and what nothing can hold."""

    choices: tuple[Choice, ...]
    limits: tuple[Limit, ...]
    impossible: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Looked:
    """A space for the user's input, and the costs of some random genotypes."""

    space: SearchSpace
    spread: Spread

    def share(self, limits: Sequence[Constraint]) -> float:
        return self.spread.holding(limits) / self.spread.genotypes


def region(wanted: Wanted, found: Sequence[Start], shape: Shape, classes: int) -> Region:
    """Choose spaces and limits around the networks to start from; there may be none."""
    families = [one.network.published.family for one in found]
    looked, impossible = _look(wanted, families, shape, classes)
    if not any(family in SPACES for family in families):
        looked.sort(key=lambda one: one.share(wanted.limits) < _SOME)  # those first in which something is left
    limits = [Limit(one, _why_asked(one), asked=True) for one in wanted.asked]
    if looked:
        limits += _proposed(wanted, found, looked[0])
    constraints = [limit.constraint for limit in limits if not limit.constraint.measured]
    choices: list[Choice] = []
    for one in looked:
        share = one.share(constraints)
        nearest = None if share else feasible(one.space, constraints, random.Random(0), most=_GUIDED)[0]
        if nearest is not None and not nearest.accepted:
            problem = f"nothing found that holds the limits; the nearest: {nearest.problem}"
            impossible.append(f"space {one.space.name}: {problem}")
        elif len(choices) < _MOST:
            quantiles = one.spread.quantiles("params")
            params = quantiles[1], quantiles[5]
            choices.append(Choice(one.space, share, params, _why_space(one.space.name, found, share, params)))
    return Region(tuple(choices), tuple(limits), tuple(impossible))


def _look(wanted: Wanted, families: Sequence[str], shape: Shape, classes: int) -> tuple[list[_Looked], list[str]]:
    looked: list[_Looked] = []
    refused = []
    for name in islice(_names(wanted, families), _LOOKED):
        if sum(one.share(wanted.limits) >= _SOME for one in looked) == _MOST:
            break
        try:
            looked.append(_looked_at(name, shape, classes))
        except NasError as error:
            refused.append(f"space {name}: {error}")
    return looked, refused


@lru_cache(maxsize=64)
def _looked_at(name: str, shape: Shape, classes: int) -> _Looked:
    """Look at a space of nas for an input; once, since who compares wishes asks for the same again and again."""
    space = load_space(name).for_data(shape, classes)
    return _Looked(space, spread(space, _SAMPLES, 0))


def _names(wanted: Wanted, families: Sequence[str]) -> Iterable[str]:
    """The spaces around the families to start from, and others that reach far down."""
    if wanted.task == "series":
        return ["conv1d"]
    names = [SPACES[family] for family in families if family in SPACES]
    if wanted.size_mib is not None or wanted.params is not None:
        names += ["mbconv", "densenet", "squeezenet"]
    names += ["mbconv", "resnet", "densenet"] + ["vit"] * wanted.transformers + ["five_stage"]
    return dict.fromkeys(names)


def _why_space(name: str, found: Sequence[Start], share: float, params: tuple[float, float]) -> str:
    around = next((one.network.name for one in found if SPACES.get(one.network.published.family) == name), None)
    held = f"{share:.0%} of random ones hold the limits" if share else "only guided sampling finds some in the limits"
    return (
        f"{f'The family of {around}' if around else 'Reaches far down'}: networks of mostly {params[0] / 1e6:.2g} to "
        f"{params[1] / 1e6:.2g} M parameters; {held}."
    )


def _why_asked(limit: Constraint) -> str:
    if limit.measured:
        return "Asked for; has to be measured on the device or on one like it."
    return "Asked for; checked before anything is built."


def _proposed(wanted: Wanted, found: Sequence[Start], looked: _Looked) -> list[Limit]:
    """The limits that nobody asked for."""
    sized = wanted.size_mib is not None or wanted.params is not None
    timed = wanted.on_battery or wanted.latency_ms is not None
    if wanted.macs is not None or (sized and not timed and not wanted.small):
        return []
    if wanted.small or wanted.task == "series":
        return _quantile(wanted, looked)
    if wanted.aim == "highest" or not found:
        why = "What is called the mobile setting (rule of thumb; Zoph et al. 2018)."
        return [Limit(Constraint("macs", high=rules.MOBILE_MACS), why, asked=False)] if wanted.on_battery else []
    first = found[0].network
    why = f"What {first.name} takes at this input: the search is to find better networks that cost no more."
    limits = [_upper("macs", first.cost.macs, why)]
    if wanted.on_battery and not sized:
        limits.append(_upper("size_mib", first.cost.size_mib, f"What {first.name} takes in the memory of the device."))
    return limits


def _quantile(wanted: Wanted, looked: _Looked) -> list[Limit]:
    share = rules.QUANTILES[wanted.aim]
    held = [cost for cost in looked.spread.costs if not any(one.rejects for one in check(cost, wanted.limits))]
    macs = sorted(cost.macs for cost in held or looked.spread.costs)
    if share is None or not macs:
        return []
    why = f"Lets {share:.0%} of random networks of {looked.space.name} through (rule of thumb, priority {wanted.aim})."
    return [_upper("macs", macs[floor(share * (len(macs) - 1))], why)]


def _upper(metric: str, value: float, reason: str) -> Limit:
    """A bound of two digits that lets the value through."""
    step = 10.0 ** (floor(log10(value)) - 1)
    return Limit(Constraint(metric, high=float(f"{ceil(value / step) * step:.2g}")), reason, asked=False)


def impossible_networks(
    wanted: Wanted, networks: Sequence[Network], least: dict[str, tuple[Network, float]]
) -> list[str]:
    """Say which of the limits asked for no published network holds, and what the smallest needs."""
    said = []
    for limit in wanted.limits:
        network, value = least[limit.metric]
        if value > limit.high:
            said.append(
                f"{_bound(limit)}: no published network holds it; the smallest, {network.name}, needs {_enough(value)}"
            )
    if networks and wanted.limits and not said:
        every = " and ".join(map(_bound, wanted.limits))
        said.append(f"no published network holds {every} together, though each by itself")
    return said


def _bound(limit: Constraint) -> str:
    return f"{limit.metric} <= {limit.high:,.12g}"


def _enough(value: float) -> str:
    """Write a value so that, taken as a bound, it lets the value through."""
    return f"{ceil(value):,}" if value >= 1000 else f"{ceil(value * 100) / 100:g}"
