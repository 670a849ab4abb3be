"""What is kept of batches: their losses, or all outputs for scores that no sums give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from nas.training.tasks.task import Processes

if TYPE_CHECKING:
    from torch import Tensor

    from nas.training.tasks.task import Floats, Targets


class Losses:
    """The sum of losses, kept on the device until it is asked for."""

    def __init__(self) -> None:
        self.count = 0
        self._loss: Tensor | float = 0.0

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch: outputs `(batch, outputs)`, their targets, and its mean loss."""
        self.count += len(targets)
        self._loss = self._loss + loss * len(targets)

    def scores(self, processes: Processes) -> dict[str, float]:
        """Return the mean loss over all processes; 0 where nothing was added."""
        import torch

        total, count = processes.total(
            torch.tensor([float(self._loss), float(self.count)], dtype=torch.float64)
        ).tolist()
        return {"loss": total / max(1.0, count)}


def reduced(each: Tensor, reduction: str) -> Tensor:
    """Return the losses of images as they are, or their mean or sum."""
    return each if reduction == "none" else each.mean() if reduction == "mean" else each.sum()


class Outputs(Losses):
    """Losses, with all outputs and targets, for scores that are of an order of images and not of sums."""

    def __init__(self, measure: Callable[[Floats, Targets], Mapping[str, float]], names: tuple[str, ...]) -> None:
        """Keep what `measure` takes: outputs and targets of all images; it gives the scores of these names."""
        super().__init__()
        self._measure, self._names = measure, names
        self._kept: list[tuple[Tensor, Tensor]] = []

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch: outputs `(batch, outputs)`, their targets, and its mean loss."""
        super().add(outputs, targets, loss)
        self._kept.append((outputs, targets))

    def scores(self, processes: Processes) -> dict[str, float]:
        """Return the mean loss and what `measure` gives, over all processes; 0 of each where nothing was added."""
        import torch

        found = super().scores(processes)
        if not self._kept:
            return found | dict.fromkeys(self._names, 0.0)
        outputs, targets = (processes.rows(torch.cat(parts)) for parts in zip(*self._kept, strict=True))
        return found | dict(self._measure(outputs.double().numpy(), targets.numpy()))
