"""Families that are trained: which runs they need, and what the runs showed of each size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from statistics import fmean

from nas.cost import Cost, cost_of
from nas.network.architecture import Architecture
from nas.network.registry import Block
from nas.scaling.laws.observations import Observation
from nas.scaling.scale import DROP_PATH, DROPOUT, scale
from nas.scaling.solve import Member
from nas.scaling.study.recipes import BySize
from nas.scaling.study.training_runs import Job, Run
from nas.training.recipe import Recipe

LAW_AXES = ("macs", "params")
"""What a law can be in."""
_PICKING = -1
"""The replicate that picks a learning rate; it is of no other use, so that what is shown was not picked by itself."""

LOSSES: Mapping[str, Callable[[Mapping[str, float]], float]] = {
    "error": lambda scores: 1 - scores["val_accuracy"],
    "val_loss": lambda scores: scores["val_loss"],
}
"""What a law is of, from the scores of a run."""
MAX_LOSS: Mapping[str, float] = {"error": 1.0}
"""What such a loss cannot be above."""


@dataclass(frozen=True)
class Sized:
    """One size of a family, as it is trained."""

    member: Member
    times: float
    """Its multiply-adds as a multiple of the base's."""
    recipe: Recipe

    @property
    def arch(self) -> Architecture:
        return self.member.arch

    def jobs(self, replicates: int, lr: float = 1.0) -> list[Job]:
        """The runs of it, at `lr` times the learning rate."""
        recipe = replace(self.recipe, lr=self.recipe.lr * lr)
        return [Job(self.arch, recipe, number) for number in range(replicates)]

    def picking(self, lrs: Iterable[float]) -> list[Job]:
        """The runs that pick a learning rate."""
        return [Job(self.arch, replace(self.recipe, lr=self.recipe.lr * lr), _PICKING) for lr in lrs]


def sized(members: Sequence[Member], base: Cost, recipe: Recipe, by_size: BySize) -> list[Sized]:
    """Return the members as they are trained: each with the recipe of its size."""
    times = [one.cost.macs / base.macs for one in members]
    return [Sized(one, size, by_size.recipe(recipe, size)) for one, size in zip(members, times, strict=True)]


def regularised(one: Member, base: Cost, by_size: BySize) -> Member:
    """Return a member with the dropout and drop-path of its size."""
    times = one.cost.macs / base.macs
    dropout = by_size.rate(DROPOUT, _rate(one.arch.head.blocks, DROPOUT), times)
    in_stages = [block for stage in one.arch.stages for block in stage.blocks]
    drop_path = by_size.rate(DROP_PATH, _rate(in_stages, DROP_PATH), times)
    if dropout is None and drop_path is None:
        return one
    arch = scale(one.arch, dropout=dropout, drop_path=drop_path)
    return replace(one, arch=arch, cost=cost_of(arch))


def _rate(blocks: Iterable[Block], name: str) -> float:
    rates = [dict(block.settings).get(name) for block in blocks]
    return max((float(rate) for rate in rates if isinstance(rate, float)), default=0.0)


def picked(one: Sized, runs: Mapping[str, Run], lrs: Sequence[float], loss: str) -> float:
    """Return the learning rate, as a multiple of the recipe's, whose run had the least loss; 1 where all failed."""
    worth = LOSSES[loss]
    found = {
        lr: worth(runs[job.key].scores) for lr, job in zip(lrs, one.picking(lrs), strict=True) if runs[job.key].scores
    }
    return min(found, key=lambda lr: found[lr], default=1.0)


@dataclass(frozen=True)
class Shown:
    """What the runs of one size showed."""

    sized: Sized
    runs: tuple[Run, ...]
    losses: tuple[float, ...]
    """Of the runs that did not fail; a loss of 0 counts as the least that could have been seen."""

    @property
    def mean(self) -> float:
        """Of the losses; nan where every run failed."""
        return fmean(self.losses) if self.losses else nan

    @property
    def reason(self) -> str:
        """Why a run failed, or nothing."""
        return next((run.reason for run in self.runs if run.reason), "")

    def observations(self, axis: str) -> list[Observation]:
        """For a law in `macs` or `params`."""
        size = (self.size(axis),)
        return [Observation(size, loss, run.key) for run, loss in zip(self.good, self.losses, strict=True)]

    def size(self, axis: str) -> float:
        """How large it is in `macs` or `params`."""
        return float(getattr(self.sized.member.cost, axis))

    @property
    def good(self) -> list[Run]:
        """The runs that did not fail."""
        return [run for run in self.runs if run.scores]
