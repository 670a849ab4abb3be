"""A space brought to the limits of a search: as wide as lets its networks use them, and enough of them hold them.

Limits of a few hundred thousand parameters leave next to nothing of a space that was made for millions, and what is
left is its edge: the narrowest, shallowest networks with the earliest strides. Limits far above a space are not used at
all. Widths are what both follow from most directly (costs grow with their square), and what a space can be multiplied
by without a loss of choices.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, log
from statistics import median
from typing import Any

from nas.cost import BATCH_OF_ONE, Constraint, Cost, Workload, check, held_cost, value_of
from nas.errors import NasError, SpaceError
from nas.settings import setting
from nas.space.space import SearchSpace
from nas.space.widths import with_widths

LEAST_SHARE, MOST_SHARE = 0.1, 0.5
"""Shares of random genotypes that hold the limits between which a space fits them."""
_WANTED_SHARE = 0.25
_NEAR = 0.05
"""Two standard deviations of the share in 300 genotypes of which a quarter holds."""
LEAST_USE = 0.5
"""Of the tightest limit, what the median network that holds them uses at least in a space that fits."""
_SAMPLES = 300
_STEP = 2**0.25
_MOST_STEPS = 16
"""Times `_STEP` that widths are multiplied or divided by at most: 16 times."""


@dataclass(frozen=True, slots=True)
class Held:
    """What limits leave of a space, from random genotypes."""

    share: float
    """Of the genotypes, which hold them."""
    use: float
    """Of the tightest limit, by the median of those that hold them; 0 where none does, inf without an upper limit."""
    wanted_use: float = inf
    """Of the tightest limit, by the largest of the share of the genotypes that is wanted; inf where these are no
    networks."""

    @property
    def fits(self) -> bool:
        """Whether neither more nor less of the space holds the limits than is to be, and they are used."""
        return LEAST_SHARE <= self.share <= MOST_SHARE and self.use >= LEAST_USE

    @property
    def too_wide(self) -> bool:
        """Whether a narrower space is to be tried: less holds the limits than is wanted, or is to be where that does
        not use them."""
        return self.share < (_WANTED_SHARE if self.use >= LEAST_USE else LEAST_SHARE)

    @property
    def near(self) -> bool:
        """Whether it fits, with a share that is wanted but for what chance makes of it."""
        return self.fits and abs(self.share - _WANTED_SHARE) <= _NEAR


_ALL = Held(1.0, inf)
"""Of a space without limits."""


@dataclass(frozen=True)
class Fit:
    """A space beside limits, and what it took to bring it there."""

    space: SearchSpace
    multiplier: float
    """Of all numbers of channels; 1 leaves the space as it is."""
    before: Held
    """What the limits leave of the space as it was."""
    after: Held
    """What they leave of it now."""

    def line(self) -> str:
        """Return what was done in a sentence, and what could not be; empty where there is nothing to say."""
        hold = f"{self.after.share:.0%} of random networks hold the limits"
        unused = 0 < self.after.use < LEAST_USE
        uses = f"the median of these uses {'only ' * unused}{self.after.use:.0%} of the tightest"
        better = ", and no width that was tried does better" * unused
        if self.multiplier == 1:
            return f"Widths of the space stay as they are: {hold}, {uses}{better}" if unused else ""
        return (
            f"Widths of the space are multiplied by {self.multiplier:.3g}, so that {hold} ({self.before.share:.1%} "
            f"did) and {uses}{better}; fit=none leaves it as it is"
        )


def fit_setting(more: str = "") -> Any:
    """Declare the setting of every command that takes limits: whether a space is brought to them.

    Args:
        more: what else is to be said of it.
    """
    return setting(
        "auto",
        "auto multiplies the widths of the space until about a quarter of it holds the limits and uses them; none "
        f"leaves it as it is{more}",
        ("auto", "none"),
        before="none",
    )


def left_as_it_is(space: SearchSpace) -> Fit:
    """Return a space as it is, where limits are not to change it."""
    return Fit(space, 1.0, _ALL, _ALL)


def widened(space: SearchSpace, multiplier: float) -> SearchSpace:
    """Return a space with every number of channels times a number, rounded to a multiple of 4.

    Options that become equal are one. What is decided by name, under `let`, keeps its options: formulas over it are
    multiplied.

    Raises:
        SpaceError: a space that no longer states a network, such as one whose groups do not divide its channels.
    """
    scaled = SearchSpace.from_source(with_widths(space.source, multiplier), space.name)
    return scaled.for_data(space.input_shape, space.num_classes, task=space.task)


def fit_as_set(space: SearchSpace, fit: str, limits: Sequence[Constraint], *, workload: Workload = BATCH_OF_ONE) -> Fit:
    """Return a space as the setting `fit` says: brought to some limits, or as it is; see `fit_to_limits`."""
    return left_as_it_is(space) if fit == "none" else fit_to_limits(space, limits, workload=workload)


def fit_to_limits(
    space: SearchSpace, limits: Sequence[Constraint], *, workload: Workload = BATCH_OF_ONE, seed: int = 0
) -> Fit:
    """Return a space as wide as fits some limits: about a quarter of its genotypes hold them, and use them.

    Widths are multiplied by a power of 2^(1/4), from 1/16 to 16. Where nothing fits, what comes nearest to it is taken;
    but beside limits that are still far above a space 16 times as wide, which nobody means, it stays as it is. So does
    a space that fits, any without upper limits that can be counted, and one with nothing to choose. None is made wider
    beside a limit that has to be measured, since wide networks are slow.

    Args:
        space: made for its data.
        limits: of the search; soft and measured ones do not count.
        workload: batch sizes that limits may depend on.
        seed: of the genotypes that are drawn.
    """
    counted = [limit for limit in limits if limit.counted and not limit.soft]
    if not any(limit.high < inf for limit in counted) or space.size() == 1:
        return left_as_it_is(space)
    before = _held(space, counted, workload, seed)
    best = Fit(space, 1.0, before, before)
    if before.fits:
        return best

    def at(steps: int) -> Fit | None:
        """Return the space with its widths times so many steps; None where that is no space."""
        nonlocal best
        multiplier = _STEP**steps
        try:
            other = widened(space, multiplier)
        except SpaceError:  # its groups no longer divide its channels, say
            return None
        found = Fit(other, multiplier, before, _held(other, counted, workload, seed))
        best = min(best, found, key=lambda fit: _miss(fit.after))
        return found

    most = 0 if any(limit.measured and not limit.soft for limit in limits) else _MOST_STEPS
    if any(limit.low > -inf for limit in counted):
        _scan(at, most)
    elif before.share < LEAST_SHARE:
        _approach(at, before, -_MOST_STEPS, 0)
    else:
        _approach(at, before, 0, most)
    return best if best.after.share <= MOST_SHARE else Fit(space, 1.0, before, before)


def _approach(at: Callable[[int], Fit | None], before: Held, low: int, high: int) -> None:
    """Try numbers of steps between two, without these, until about the wanted share is left.

    The wider a space, the less of it holds. Where that share does not use the limits wider ones are tried, as long as
    enough of them holds.

    The next one follows from costs that grow with the square of widths; where that is beyond what is known to be too
    narrow or too wide it is the one next to that, and where nothing is known of it the one in the middle.
    """
    place, held = 0, before
    while high - low > 1:
        steps = (low + high) / 2
        if 0 < held.wanted_use < inf:
            steps = place - log(held.wanted_use) / (2 * log(_STEP))
        middle = min(max(round(steps), low + 1), high - 1)
        found = at(middle)
        if found is not None and found.after.near:
            return
        too_wide = found.after.too_wide if found is not None else middle > 0
        low, high = (low, middle) if too_wide else (middle, high)
        place, held = (middle, found.after) if found is not None else (middle, _ALL)


def _scan(at: Callable[[int], Fit | None], most: int) -> None:
    """Try more and more steps in both directions until one fits: networks may be too small for a limit, too."""
    for steps in range(1, _MOST_STEPS + 1):
        for one in (-steps, steps) if steps <= most else (-steps,):
            found = at(one)
            if found is not None and found.after.fits:
                return


def _miss(held: Held) -> tuple[bool, float]:
    """Return what is smaller the better a space fits: whether it does not, and how far the share is from the wanted."""
    return not held.fits, abs(log(held.share / _WANTED_SHARE)) if held.share else inf


def _held(space: SearchSpace, limits: Sequence[Constraint], workload: Workload, seed: int) -> Held:
    rng, used, every = random.Random(seed), list[float](), list[float]()
    for _ in range(_SAMPLES):
        try:
            cost = held_cost(space.decode(space.sample(rng)), workload)
        except NasError:  # no network
            continue
        every.append(use_of(cost, limits, workload))
        if not any(violation.rejects for violation in check(cost, limits, workload)):
            used.append(every[-1])
    wanted = ceil(_WANTED_SHARE * _SAMPLES)
    wanted_use = sorted(every)[wanted - 1] if len(every) >= wanted else inf
    return Held(len(used) / _SAMPLES, median(used) if used else 0.0, wanted_use)


def use_of(cost: Cost, limits: Sequence[Constraint], workload: Workload) -> float:
    """Return the largest share of an upper limit that a network has; inf without such a limit."""
    return max((value_of(cost, one.metric, workload) / one.high for one in limits if one.high < inf), default=inf)
