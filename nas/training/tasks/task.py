"""What every task states. Loads neither torch nor NumPy before something is learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nas.errors import ConfigError

Pixels = tuple[int, ...]
"""Height and width, or whatever dimensions an input has."""

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Targets = NDArray[Any]
    """Of images: what each is to be told as; the class of a task says how."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A number that says how well a network does on a split."""

    name: str
    """Without the split: `accuracy` is `val_accuracy` on the validation split and `test_accuracy` on the test split."""
    words: str
    """What it is called where people read it."""
    larger_is_better: bool = True
    share: bool = False
    """Whether it lies from 0 to 1, and is shown in per cent."""
    of_images: bool = False
    """Whether it is the share of the images that are told right, each of which counts the same."""

    @property
    def on_val(self) -> str:
        """Its name on the validation split."""
        return f"val_{self.name}"

    @property
    def on_test(self) -> str:
        """Its name on the test split."""
        return f"test_{self.name}"

    @property
    def sign(self) -> int:
        """1 where larger is better, -1 where smaller is."""
        return 1 if self.larger_is_better else -1

    def text(self, value: float) -> str:
        """Return a value of it for people."""
        return f"{value:.2%}" if self.share else f"{value:.4g}"


LOSS = Score(name="loss", words="loss", larger_is_better=False)
"""Of every task: the mean of what training makes small, without what training does to images and labels."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Of targets that are numbers: a network gives `(number - mean) / std`, an output each."""

    mean: tuple[float, ...]
    """Over the training split."""
    std: tuple[float, ...]
    """Over it, too; above 0."""


class Loss(Protocol):
    """What training makes small."""

    def __call__(self, outputs: Tensor, targets: Tensor, reduction: str, /) -> Tensor:
        """Return the losses of outputs `(batch, outputs)`: `none` is one an image, `mean` and `sum` are of these."""


class Processes(Protocol):
    """Adds up over the processes that train together."""

    def total(self, numbers: Tensor) -> Tensor:
        """Return the sums of float64 numbers over all processes, on the CPU."""

    def rows(self, values: Tensor) -> Tensor:
        """Return the rows of all processes one after another, on the CPU."""


class Alone:
    """One process: what it has is all there is."""

    def total(self, numbers: Tensor) -> Tensor:
        """Return the numbers."""
        return numbers.cpu()

    def rows(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values.cpu()


class Tally(Protocol):
    """What of outputs and targets is kept batch by batch, until the scores of an epoch are asked for."""

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch: outputs `(batch, outputs)`, their targets, and its mean loss."""

    def scores(self, processes: Processes) -> dict[str, float]:
        """Return `loss` and other scores by their names, over all processes; 0 of each where nothing was added."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A task. Each has a file of its own, listed in `nas.training.tasks.registry`."""

    name: str
    model: str
    """What a network for it is called."""
    outputs: str
    """What its outputs are called together."""
    scores: tuple[Score, ...]
    """All that a validation gives, in the order of records."""
    default: str
    """The score that a search is for where nothing is said; one of `scores`, by name."""
    eight_bits: str
    """The score by which a network in 8 bits is held against fp32; larger is better, and 1 the best."""
    activation: str
    """What is behind a network in an exported model: softmax, sigmoid, or scale, which takes numbers to their units."""
    raw: str
    """Name of what an exported network itself gives, `(batch, outputs)`."""
    answer: str
    """Name of what the activation makes of it, likewise."""
    balances: tuple[str, ...]
    """Which of `nas.training.data.config.BALANCES` has a meaning."""
    mixes_areas: bool
    """Whether a target may follow from the share of the area that an image has (CutMix)."""
    limits: tuple[str, ...]
    """What its networks are not good for, a sentence each."""
    network: Literal["classification", "segmentation"] = "classification"
    """What its networks are to `nas.space.task`: one output a class, or a map a class."""
    dense: bool = False
    """Whether each pixel has a target, `(n, height, width)`: these move with the pixels of an image."""

    @property
    def objective(self) -> str:
        """The score on the validation split that a search is for where nothing is said."""
        return self.score(self.default).on_val

    @property
    def val_scores(self) -> tuple[str, ...]:
        """Names of the scores on the validation split."""
        return tuple(score.on_val for score in self.scores)

    def score(self, name: str) -> Score:
        """Return a score by its name, with that of a split before it or without; raises `KeyError` for another."""
        bare = name.removeprefix("val_").removeprefix("test_")
        return {score.name: score for score in self.scores}[bare]

    def out_shapes(self, outputs: int, size: Pixels) -> tuple[tuple[int, ...], ...]:
        """Return what a network must give for an image: the shapes of its outputs, without the batch.

        Args:
            outputs: classes, or numbers.
            size: of the network's input, without channels.
        """
        return ((outputs,),)

    def check_training(self, *, cutmix: float, balance: str) -> None:
        """Raise `ConfigError` where training is to do something that has no meaning for such targets."""
        if cutmix and not self.mixes_areas:
            raise ConfigError(
                f"train.cutmix: an area of an image has no part in {self.outputs}; 0 must hold, but got {cutmix:g}"
            )
        if balance not in self.balances:
            raise ConfigError(
                f"data.balance must be {' or '.join(self.balances)} where the task is {self.name}, but got {balance}"
            )

    @abstractmethod
    def check(self, targets: Targets, names: Sequence[str], what: str) -> None:
        """Raise `DataError` where the targets of a training split cannot be learned.

        Args:
            targets: of its images.
            names: of the outputs.
            what: the data are, for the message.
        """

    @abstractmethod
    def counts(self, targets: Targets, outputs: int) -> tuple[int, ...]:
        """Return the number of images of each output."""

    @abstractmethod
    def told(self, target: Any, names: Sequence[str]) -> str:
        """Return the target of an image in words, by the names of the outputs."""

    @abstractmethod
    def strata(self, targets: Targets) -> Ints:
        """Return the group of each image that splits and parts of them are to hold in proportion, `(n,)`."""

    def scale(self, targets: Targets) -> Scale | None:
        """Return how targets become what a network gives; None where they are no numbers."""
        return None

    @abstractmethod
    def loss(self, scale: Scale | None = None, label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
        """Return the loss.

        Args:
            scale: of the targets, where they have one.
            label_smoothing: Szegedy et al. 2016, section 7.
            weights: what `weights` gave; None weighs all alike.
        """

    def weights(self, targets: Tensor, outputs: int) -> Tensor | None:
        """Return what evens out outputs with few images, by what is trained on; None where nothing does."""
        return None

    @abstractmethod
    def train_tally(self) -> Tally:
        """Return what is kept of training steps."""

    @abstractmethod
    def tally(self, scale: Scale | None = None) -> Tally:
        """Return what is kept of a validation; it gives all `scores`."""

    @abstractmethod
    def answers(self, outputs: Floats, scale: Scale | None = None) -> Targets:
        """Return what outputs `(n, outputs)` say: probabilities, numbers in their own units, or classes of pixels."""

    def of_outputs(self, scale: Scale | None, outputs: Floats, targets: Targets) -> Mapping[str, float]:
        """Return scores of outputs `(n, outputs)` of a network, by name; see `measured`."""
        return self.measured(self.answers(outputs, scale), targets)

    @abstractmethod
    def measured(self, answers: Targets, targets: Targets) -> Mapping[str, float]:
        """Return scores of answers, by name; those that need outputs themselves, such as the loss, may lack."""


def without_images(names: Sequence[str]) -> str:
    """Return what is said of classes that cannot be learned, as a part of a sentence."""
    some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names):,} class{'es have' if len(names) > 1 else ' has'} no training images: {some}"
