"""Loss, callbacks and logger that a recipe takes from Python files of the user's own (`nas.own_code`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from nas.errors import ConfigError, TrainingError
from nas.own_code import load_own, referred, telling_place
from nas.training.data.splits import ImageData
from nas.training.recipe import Recipe
from nas.training.tasks.tally import reduced
from nas.training.tasks.task import Scale

_SMOOTHING, _WEIGHTS = "label_smoothing", "class_weights"
"""Arguments that a loss may have behind outputs and targets."""
_TRIED = 4
"""Images whose targets a loss is tried with."""


@dataclass(frozen=True)
class OwnLoss:
    """A function of the user's as the loss of a training (`nas.training.tasks.task.Loss`)."""

    name: str
    function: Callable[..., Any]
    """Takes outputs `(batch, ...)` and targets; returns the loss of each image, `(batch,)`, or their mean."""
    takes: frozenset[str]
    """Which of the further arguments."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Of these."""
    scale: Scale | None = None
    """Of targets that are numbers, which it is given standardised, as a network gives them."""

    def weighing(self, class_weights: Tensor | None) -> OwnLoss:
        """Return it with weights of the classes, where it takes them."""
        if _WEIGHTS not in self.takes:
            return self
        return replace(self, given={**self.given, _WEIGHTS: class_weights})

    def __call__(self, outputs: Tensor, targets: Tensor, reduction: str, /) -> Tensor:
        """Return the losses of outputs: `none` is one an image, `mean` and `sum` are of these.

        Raises:
            TrainingError: the function fails, with its line; or what it returns is no loss.
        """
        if self.scale is not None:
            mean, std = (torch.tensor(ends, device=outputs.device) for ends in (self.scale.mean, self.scale.std))
            targets = (targets - mean) / std
        with telling_place(TrainingError, self.name):
            found = self.function(outputs, targets, **self.given)
        must = f"{self.name} must return the loss of each image, ({len(targets)},), or their mean, a scalar"
        if not isinstance(found, Tensor):
            raise TrainingError(f"{must}, as a tensor of torch, but got {type(found).__name__}")
        if tuple(found.shape) not in ((), (len(targets),)):
            raise TrainingError(f"{must}, but got a tensor of shape {tuple(found.shape)}")
        if torch.is_grad_enabled() and outputs.requires_grad and not found.requires_grad:
            raise TrainingError(
                f"{self.name} has no gradient: a loss must be made of the outputs by operations of torch, without "
                "detach(), item(), argmax() or NumPy"
            )
        if found.ndim:
            return reduced(found, reduction)
        if reduction == "none":
            raise TrainingError(
                f"{self.name} returns one number, but train.mixup and train.cutmix need the loss of each image, of "
                f"shape ({len(targets)},)"
            )
        return found if reduction == "mean" else found * len(targets)


def own_loss(recipe: Recipe, scale: Scale | None = None) -> OwnLoss | None:
    """Return the loss of the user's own that a recipe names, if it names one.

    Args:
        recipe: of the training.
        scale: of the targets, where they have one.

    Raises:
        ConfigError: it is no function of outputs and targets, or takes no label smoothing, which the recipe has.
    """
    if recipe.loss is None:
        return None
    name, found = _loaded(recipe.loss, "train.loss")
    if isinstance(found, type):
        raise ConfigError(f"train.loss: {name} is a class; name a function, or an object of it: loss = {name}()")
    function = found.forward if isinstance(found, nn.Module) else found
    takes = _arguments(function, "train.loss", name, (_SMOOTHING, _WEIGHTS), before=2)
    if recipe.label_smoothing and _SMOOTHING not in takes:
        raise ConfigError(
            f"train.label_smoothing={recipe.label_smoothing:g} does nothing with {name}, which has no argument "
            f"{_SMOOTHING}: give it one, or set train.label_smoothing=0"
        )
    given = {_SMOOTHING: recipe.label_smoothing} if _SMOOTHING in takes else {}
    return OwnLoss(name, found, takes, given, scale)


def own_callbacks(recipe: Recipe) -> list[pl.Callback]:
    """Return the callbacks of the user's own that a recipe names, made anew.

    Raises:
        ConfigError: one is no class or function that makes a callback without arguments, or fails, with its line.
    """
    made = []
    for text in recipe.callbacks or ():
        name, found = _loaded(text, "train.callbacks")
        _arguments(found, "train.callbacks", name, ())
        with telling_place(ConfigError, name):
            callback = found()
        made.append(_checked(callback, pl.Callback, "train.callbacks", name))
    return made


def own_logger(recipe: Recipe, *, arch_id: str, seed: int) -> Logger | None:
    """Return the logger of the user's own that a recipe names, if it does, made for a training.

    Raises:
        ConfigError: it is no class or function that makes one of `arch_id` and `seed`, or fails, with its line.
    """
    if recipe.logger is None:
        return None
    name, found = _loaded(recipe.logger, "train.logger")
    known = {"arch_id": arch_id, "seed": seed}
    takes = _arguments(found, "train.logger", name, tuple(known))
    with telling_place(ConfigError, name):
        logger: Logger = _checked(found(**{key: known[key] for key in takes}), Logger, "train.logger", name)
        logger.log_hyperparams({**asdict(recipe), **known})
    return logger


def check_own_training(recipe: Recipe, data: ImageData, balance: str) -> None:
    """Make sure of what a recipe takes from files of the user's, before anything is trained.

    The loss is tried with random outputs and the targets of some images; a logger is not made, which may write files.

    Args:
        recipe: of the training.
        data: that is trained on.
        balance: `data.balance`.

    Raises:
        ConfigError: something is not what it must be. TrainingError: the loss fails, or is none.
    """
    loss = own_loss(recipe, data.scale)
    if loss is not None:
        if balance == "weights" and _WEIGHTS not in loss.takes:
            raise ConfigError(
                f"data.balance=weights does nothing with {loss.name}, which has no argument {_WEIGHTS}: give it one, "
                "or take another data.balance"
            )
        _try(loss, recipe, data, balance)
    own_callbacks(recipe)
    if recipe.logger is not None:
        name, found = _loaded(recipe.logger, "train.logger")
        _arguments(found, "train.logger", name, ("arch_id", "seed"))


def _try(loss: OwnLoss, recipe: Recipe, data: ImageData, balance: str) -> None:
    targets = data.train.labels[:_TRIED]
    weights = data.task.weights(data.train.labels, data.num_classes) if balance == "weights" else None
    (shape,) = data.task.out_shapes(data.num_classes, data.input_shape[1:])
    numbers = torch.randn(len(targets) * prod(shape), generator=torch.Generator().manual_seed(0))
    outputs = numbers.reshape(len(targets), *shape).requires_grad_()
    found = loss.weighing(weights)(outputs, targets, "none" if recipe.mixup or recipe.cutmix else "mean").mean()
    tried = f"of random outputs {tuple(outputs.shape)} and targets of the training split"
    if not torch.isfinite(found):
        raise TrainingError(f"{loss.name} is {float(found.detach())} {tried}; it must be a number")
    with telling_place(TrainingError, loss.name):
        (gradient,) = torch.autograd.grad(found, outputs, allow_unused=True)
    if gradient is None:
        raise TrainingError(f"{loss.name} has no gradient by the outputs: it does not look at them")
    if not torch.isfinite(gradient).all():
        raise TrainingError(f"{loss.name} has a gradient that is no number {tried}")


def _loaded(text: str, where: str) -> tuple[str, Any]:
    """Return what a setting names, with its name for messages; raises `ConfigError` where that cannot be called."""
    name, found = referred(text, where).short, load_own(text, where)
    if not callable(found):
        raise ConfigError(
            f"{where}: {name} must be a function or a class, but is {type(found).__name__}: {found!r:.60}"
        )
    return name, found


def _arguments(
    function: Callable[..., Any], where: str, name: str, known: tuple[str, ...], before: int = 0
) -> frozenset[str]:
    """Return which of some arguments a function of the user's takes.

    Args:
        function: or class.
        where: path of the setting, for messages.
        name: of the function, likewise.
        known: what it may take by name.
        before: number of arguments that it is given before these.

    Raises:
        ConfigError: it takes fewer than these, or needs something else.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some that are written in C
        return frozenset()
    names = [*signature.parameters]
    takes = frozenset(one for one in known if one in names[before:])
    try:
        signature.bind(*range(before), **dict.fromkeys(takes))
    except TypeError as error:
        given = ", ".join([*("outputs", "targets")[:before], *known]) or "nothing"
        raise ConfigError(f"{where}: {name}{signature} does not fit: {error}. It is given {given}") from None
    return takes


def _checked(made: Any, kind: type[Any], where: str, name: str) -> Any:
    if isinstance(made, kind):
        return made
    other = any(one.__module__.startswith("lightning.") for one in type(made).__mro__)
    hint = "; that is of the package lightning: import pytorch_lightning as pl" if other else ""
    raise ConfigError(f"{where}: {name} must make a pytorch_lightning {kind.__name__}, but got {made!r:.80}{hint}")
