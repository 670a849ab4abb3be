"""What was measured of networks, as values and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite, nan
from pathlib import Path
from statistics import median
from typing import Any

from nas.cost import Cost, cost_of
from nas.network.architecture import Architecture
from nas.training.diagnostics.activations import LayerOutput
from nas.training.diagnostics.dead_units import Units, dead_share
from nas.training.diagnostics.gradients import Gradients
from nas.training.diagnostics.receptive_field import EffectiveField
from nas.training.diagnostics.sharpness import Sharpness
from nas.training.diagnostics.shift import ShiftVariance


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of a network with some weights; what is None was not asked for, or there is none."""

    seed: int
    """Of the initial weights; of trained ones that of the power iteration alone."""
    gradients: Gradients | None = None
    """Of the loss on training images."""
    outputs: tuple[LayerOutput, ...] = ()
    """Of the layers, on training images."""
    units: tuple[Units, ...] = ()
    """Of the activations, on training images."""
    field: EffectiveField | None = None
    """Of the last map, on training images; None also where it is none of positions, as with attention."""
    shift: ShiftVariance | None = None
    """On validation images."""
    shift_anti_aliased: ShiftVariance | None = None
    """Of the same weights with blurs before what subsamples (`anti_aliased`); None also where nothing does."""
    sharpness: Sharpness | None = None
    """Of the loss on training images."""

    def numbers(self) -> dict[str, float]:
        """Return the numbers that sum it up, by name; what was not measured, or is no number, is not among them."""
        found = {name: number(self) for name, number in NUMBERS.items()}
        return {name: value for name, value in found.items() if isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the picture of the receptive field."""
        field = self.field and {
            name: value for name, value in vars(self.field).items() if name in ("layer", "reached", "effective")
        }
        return {
            "seed": self.seed,
            **self.numbers(),
            "gradients": [asdict(one) for one in self.gradients.layers] if self.gradients else None,
            "activations": [asdict(one) for one in self.outputs] or None,
            "dead_units": [asdict(one) for one in self.units] or None,
            "receptive_field": field,
            "shift": self.shift and asdict(self.shift),
            "shift_anti_aliased": self.shift_anti_aliased and asdict(self.shift_anti_aliased),
            "sharpness": self.sharpness and asdict(self.sharpness),
        }


def _output_growth(one: Measured) -> float:
    """Standard deviation of what the last layer but the classifier gives, over that of the first."""
    if len(one.outputs) < 2 or not one.outputs[0].std:
        return nan
    return one.outputs[-2].std / one.outputs[0].std


NUMBERS: Mapping[str, Callable[[Measured], float]] = {
    "loss": lambda one: one.gradients.loss if one.gradients else nan,
    "gradient_first": lambda one: one.gradients.first.gradient_norm if one.gradients else nan,
    "gradient_last": lambda one: one.gradients.last.gradient_norm if one.gradients else nan,
    "gradient_ratio": lambda one: one.gradients.ratio if one.gradients else nan,
    "signal_ratio": lambda one: one.gradients.signal_ratio if one.gradients else nan,
    "output_growth": _output_growth,
    "dead_share": lambda one: dead_share(one.units),
    "reached_field": lambda one: one.field.reached if one.field else nan,
    "effective_field": lambda one: one.field.effective if one.field else nan,
    "shift_variation": lambda one: one.shift.variation if one.shift else nan,
    "shift_variation_anti_aliased": lambda one: one.shift_anti_aliased.variation if one.shift_anti_aliased else nan,
    "shift_consistency": lambda one: one.shift.consistency if one.shift else nan,
    "shift_consistency_anti_aliased": lambda one: one.shift_anti_aliased.consistency if one.shift_anti_aliased else nan,
    "largest_eigenvalue": lambda one: one.sharpness.largest_eigenvalue if one.sharpness else nan,
    "loss_rise": lambda one: one.sharpness.loss_rise if one.sharpness else nan,
}
"""What sums a measurement up, by the names of the fields that it is from."""


@dataclass(frozen=True, eq=False)
class NetworkDiagnosis:
    """One of the networks."""

    name: str
    """As it was given."""
    architecture: Architecture
    weights: Path | None
    """The file of its trained weights; None: fresh ones, of each seed."""
    depth: int
    """Convolutions and linear layers on the longest path."""
    runs: tuple[Measured, ...]
    """With trained weights one, else one a seed."""

    @property
    def cost(self) -> Cost:
        """Of the network; its receptive field is the theoretical one."""
        return cost_of(self.architecture)

    def numbers(self) -> dict[str, float]:
        """Return the medians over seeds of `Measured.numbers`."""
        found = [run.numbers() for run in self.runs]
        return {
            name: median(values) for name in NUMBERS if (values := [one[name] for one in found if name in one])
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        cost = self.cost
        return {
            "name": self.name,
            "arch_id": self.architecture.arch_id,
            "input_shape": list(self.architecture.input_shape),
            "weights": None if self.weights is None else str(self.weights),
            "depth": self.depth,
            "params": cost.params,
            "macs": cost.macs,
            "theoretical_field": cost.receptive_field,
            "median": self.numbers(),
            "runs": [run.to_dict() for run in self.runs],
        }


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Networks side by side, on the same images."""

    data: str
    """Name of the data set."""
    fingerprint: str
    """Of its splits."""
    images: int
    """Training images in the one batch of each measurement, and as many validation images for shifts."""
    networks: tuple[NetworkDiagnosis, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "data": self.data,
            "split_fingerprint": self.fingerprint,
            "images": self.images,
            "networks": [one.to_dict() for one in self.networks],
        }
