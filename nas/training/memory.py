"""How much memory a training takes by prediction, and what holds a limit of it. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nas.cost import Cost, Workload, cost_of, training_memory_bytes
from nas.cost.checkpointing import checkpoint_plan, least_memory, room_for_example
from nas.cost.memory import MIB
from nas.errors import ConfigError
from nas.network.architecture import Architecture
from nas.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """What a training takes by prediction, in fp32."""

    mib: float
    """Parameters with gradients, optimiser and average, running statistics, and what the backward pass needs."""
    blocks: tuple[str, ...] = ()
    """Those that are computed again in the backward pass, by name, so that `train.memory_mib` holds."""
    recomputed_share: float = 0.0
    """Multiply-adds of that, over those of a step without it: three times the network's."""


def training_memory(architecture: Architecture, recipe: Recipe) -> TrainingMemory:
    """Return what the training of a network takes, with the blocks to compute again where a recipe has a limit.

    A teacher, what a library uses inside an operation, and the images of the data set are not counted.

    Args:
        architecture: as it is trained, drop path included.
        recipe: batch size, optimiser, limit.

    Raises:
        ConfigError: the limit cannot be held; names the smallest one that can. ShapeError: it is not a network.
    """
    cost = cost_of(architecture)
    limit = recipe.memory_mib
    if limit is None or _mib(cost, recipe) <= limit:
        return TrainingMemory(_mib(cost, recipe))
    room = room_for_example(cost, _workload(recipe))
    plan = checkpoint_plan(architecture, room) if room >= 0 else None
    if plan is None:
        least = _mib(replace(cost, training_memory_bytes=least_memory(architecture)), recipe)
        raise ConfigError(
            f"train.memory_mib={limit:g} cannot be held: with train.batch_size={recipe.batch_size} the training of "
            f"this network takes {_mib(cost, recipe):,.1f} MiB by prediction, and at least {_up(least):,.1f} MiB with "
            "blocks computed again; a smaller train.batch_size with a larger train.accumulate takes less"
        )
    predicted = _mib(replace(cost, training_memory_bytes=plan.training_memory_bytes), recipe)
    return TrainingMemory(predicted, plan.blocks, plan.recomputed_macs / max(1, 3 * cost.macs))


def _mib(cost: Cost, recipe: Recipe) -> float:
    return training_memory_bytes(cost, _workload(recipe)) / MIB


def _workload(recipe: Recipe) -> Workload:
    copies = recipe.training_copies + (1 if recipe.ema else 0)
    return Workload(training_batch=recipe.batch_size, training_copies=copies, training_limit_mib=recipe.memory_mib)


def _up(mib: float) -> float:
    """Round up to what is shown, so that the value is one that holds."""
    return -(-mib * 10 // 1) / 10
