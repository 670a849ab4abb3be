"""The sizes of a family in training: their recipes, their training runs, and the losses of those."""

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
from nas.training.tasks.classification import ACCURACY

LAW_AXES = ("macs", "params")
"""The costs that a law can be a function of."""
_LR_REPLICATE = -1
"""The replicate of runs that choose a learning rate. They are used for nothing else: a loss that was chosen for being
small is biased."""

LOSSES: Mapping[str, Callable[[Mapping[str, float]], float]] = {
    "error": lambda scores: 1 - scores[ACCURACY.on_val],
    "val_loss": lambda scores: scores["val_loss"],
}
"""The losses that a law can be fitted to, as functions of the scores of a run."""
MAX_LOSS: Mapping[str, float] = {"error": 1.0}
"""The largest value that a loss can have, where there is one."""


@dataclass(frozen=True)
class TrainingSetup:
    """A network of a family with the recipe of its size."""

    member: Member
    times: float
    """Its multiply-adds as a multiple of the base's."""
    recipe: Recipe

    @property
    def arch(self) -> Architecture:
        """The network."""
        return self.member.arch

    def jobs(self, replicates: int, lr: float = 1.0) -> list[Job]:
        """Return its runs at `lr` times the learning rate, a replicate each."""
        recipe = replace(self.recipe, lr=self.recipe.lr * lr)
        return [Job(self.arch, recipe, replicate) for replicate in range(replicates)]

    def lr_jobs(self, lrs: Iterable[float]) -> list[Job]:
        """Return the runs that choose among learning rates, which are multiples of the recipe's."""
        return [Job(self.arch, replace(self.recipe, lr=self.recipe.lr * lr), _LR_REPLICATE) for lr in lrs]


def training_setups(members: Sequence[Member], base: Cost, recipe: Recipe, by_size: BySize) -> list[TrainingSetup]:
    """Return each member with the recipe of its size."""
    times = [member.cost.macs / base.macs for member in members]
    pairs = zip(members, times, strict=True)
    return [TrainingSetup(member, factor, by_size.recipe(recipe, factor)) for member, factor in pairs]


def regularised(member: Member, base: Cost, by_size: BySize) -> Member:
    """Return a member with the dropout and drop-path of its size."""
    times = member.cost.macs / base.macs
    dropout = by_size.rate(DROPOUT, _rate(member.arch.head.blocks, DROPOUT), times)
    in_stages = [block for stage in member.arch.stages for block in stage.blocks]
    drop_path = by_size.rate(DROP_PATH, _rate(in_stages, DROP_PATH), times)
    if dropout is None and drop_path is None:
        return member
    arch = scale(member.arch, dropout=dropout, drop_path=drop_path)
    return replace(member, arch=arch, cost=cost_of(arch))


def _rate(blocks: Iterable[Block], name: str) -> float:
    rates = [dict(block.settings).get(name) for block in blocks]
    return max((float(rate) for rate in rates if isinstance(rate, float)), default=0.0)


def best_lr(setup: TrainingSetup, runs: Mapping[str, Run], lrs: Sequence[float], loss: str) -> float:
    """Return the learning rate, as a multiple of the recipe's, whose run had the least loss; 1 where all failed."""
    loss_of = LOSSES[loss]
    scores = {lr: runs[job.key].scores for lr, job in zip(lrs, setup.lr_jobs(lrs), strict=True)}
    losses = {lr: loss_of(own) for lr, own in scores.items() if own}
    return min(losses, key=lambda lr: losses[lr], default=1.0)


@dataclass(frozen=True)
class SizeResult:
    """The training runs of a size, with their losses."""

    setup: TrainingSetup
    runs: tuple[Run, ...]
    losses: tuple[float, ...]
    """Losses of the runs that did not fail; a loss of 0 counts as half an image in error."""

    @property
    def mean(self) -> float:
        """Mean of the losses; nan where every run failed."""
        return fmean(self.losses) if self.losses else nan

    @property
    def reason(self) -> str:
        """The reason of the first run that failed, or nothing."""
        return next((run.reason for run in self.runs if run.reason), "")

    def observations(self, axis: str) -> list[Observation]:
        """Return the losses as observations for a law in `macs` or `params`."""
        size = (self.size(axis),)
        return [Observation(size, loss, run.key) for run, loss in zip(self.completed_runs, self.losses, strict=True)]

    def size(self, axis: str) -> float:
        """Return the size in `macs` or `params`."""
        return float(getattr(self.setup.member.cost, axis))

    @property
    def completed_runs(self) -> list[Run]:
        """The runs that did not fail."""
        return [run for run in self.runs if run.scores]
