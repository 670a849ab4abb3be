"""Which model file to ship: the network in 8 bits beside that in fp32, both measured as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import DeviceError
from nas.exporting.card import FileFigures, Measured
from nas.exporting.int8 import Operators, operators, quantise, scored, side_by_side
from nas.exporting.markdown import markdown
from nas.exporting.onnx.series import as_shipped
from nas.exporting.preprocess import Floats
from nas.exporting.series_preprocess import AnyPreprocess
from nas.exporting.settings import ExportSettings
from nas.latency.deployment import this_device
from nas.statistics import median_interval
from nas.training.tasks.registry import DEFAULT, task_named
from nas.training.tasks.task import Scale, Task

FP32, INT8 = "model.onnx", "model.int8.onnx"
_BATCH = 32


@dataclass(frozen=True, eq=False, slots=True)
class CheckImages:
    """Images or series of `Preprocess.shape`, which files are calibrated and measured with."""

    calibration: NDArray[Any]
    """Of the training split, as an exported model takes them: pixels `(images, height, width, channels)`, or series
    `(n, channels, length)`; at least one."""
    validation: Callable[[], Iterable[tuple[NDArray[Any], NDArray[Any]]]]
    """Walks through the validation split: batches likewise, each with its targets `(batch, ...)`."""
    images: int
    """In the validation split."""
    task: Task = DEFAULT
    """What the targets are of."""
    scale: Scale | None = None
    """Of the targets, as the network was trained with them."""

    def inputs(self, preprocess: AnyPreprocess) -> Iterator[Floats]:
        """Yield what the network takes of the images for calibration, in batches."""
        for start in range(0, len(self.calibration), _BATCH):
            yield preprocess.network_input(self.calibration[start : start + _BATCH])

    @property
    def one(self) -> NDArray[Any]:
        """One image, to time a model with."""
        return self.calibration[:1]

    def score(self, model: bytes) -> float:
        """Return the score of a model on the validation split by which 8 bits are compared with fp32."""
        return scored(model, self.validation(), self.task, self.scale)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model in 8 bits beside the same in fp32."""

    bytes: tuple[int, int]
    """Sizes of the files: fp32, int8."""
    shares: tuple[float, float]
    """Scores on the validation images (`Task.eight_bits`)."""
    latency_ms: tuple[float, float]
    """For one picture, one thread: medians over rounds of the fastest run in each."""
    speed_up: tuple[float, float, float]
    """How many times as fast int8 is: the median over rounds in which both ran, and the ends of its 95 % interval."""
    operators: Operators
    """What int8 runs as."""

    @property
    def drop(self) -> float:
        """Points, hundredths, of the score that int8 loses."""
        return round(100 * (self.shares[0] - self.shares[1]), 9)  # .3 is no more than .3

    @property
    def faster(self) -> bool:
        """Whether int8 is faster: all of the interval says so."""
        return self.speed_up[1] > 1

    @property
    def smaller(self) -> bool:
        """Whether its file is smaller."""
        return self.bytes[1] < self.bytes[0]

    def why_not(self, settings: ExportSettings) -> str:
        """Return why int8 is not kept; empty where it is."""
        if not self.drop <= settings.max_drop:  # nor where it gives something else than numbers
            return f"it loses {self.drop:.2f} points, and export.max_drop is {settings.max_drop:g}"
        if not self.operators.integer:
            return "none of its convolutions and matrix products run in 8 bits"
        gains = {"faster": self.faster, "smaller": self.smaller, "auto": self.faster or self.smaller}
        if not gains[settings.int8]:
            wanted = {"auto": "neither faster nor smaller"}.get(settings.int8, f"not {settings.int8}")
            return f"it is {wanted} than fp32 here"
        return ""


def compare(fp32: bytes, int8: bytes, images: CheckImages) -> Comparison:
    """Measure two models for pictures, alternating in this process.

    Raises:
        DeviceError: onnxruntime cannot run one of them.
    """
    times = side_by_side([fp32, int8], images.one)
    median = np.median(times, axis=0)
    return Comparison(
        bytes=(len(fp32), len(int8)),
        shares=(images.score(fp32), images.score(int8)),
        latency_ms=(float(median[0]), float(median[1])),
        speed_up=median_interval(times[:, 0] / times[:, 1]),
        operators=operators(int8),
    )


def measured_models(
    network: bytes,
    model: bytes,
    preprocess: AnyPreprocess,
    images: CheckImages | None,
    settings: ExportSettings,
    *,
    about: Mapping[str, str] | None = None,
) -> tuple[Measured, bytes | None]:
    """Quantise a network, measure it beside the one in fp32, and decide.

    Args:
        network: ONNX of the network alone.
        model: that with pictures in front of it.
        preprocess: what is done to pictures.
        images: to calibrate and measure with; None: only fp32 is timed.
        settings: when int8 is kept.
        about: what the metadata of the model in 8 bits are to say, as those of `model` do.

    Returns:
        The figures of each file, and the model in 8 bits for pictures where it is kept.

    Raises:
        DeviceError: onnxruntime cannot run the network in fp32.
    """
    if images is None or settings.int8 == "never":
        return _fp32_alone(model, preprocess, images), None
    try:
        int8 = as_shipped(quantise(network, images.inputs(preprocess)), preprocess, about)
        found = compare(model, int8, images)
    except DeviceError as error:
        alone = _fp32_alone(model, preprocess, images)
        return replace(alone, notes=(f"There is no `{INT8}`: {markdown(str(error))}.",)), None
    why_not = found.why_not(settings)
    verdicts = _verdicts(found, settings, why_not)
    rows = zip((FP32, INT8), found.bytes, found.shares, found.latency_ms, verdicts, strict=True)
    figures = tuple(
        FileFigures(file=name, bytes=size, share=share, score=images.task.eight_bits, latency_ms=ms, verdict=verdict)
        for name, size, share, ms, verdict in rows
    )
    median, low, high = found.speed_up
    notes = (
        f"In 8 bits it is {median:.2f} times as fast [{low:.2f}, {high:.2f}] and {found.bytes[1] / found.bytes[0]:.2f} "
        f"times as large, and {'loses' if found.drop >= 0 else 'gains'} {abs(found.drop):.2f} points; "
        f"{found.operators}.",
    )
    measured = Measured(files=figures, images=images.images, device=_device(preprocess), notes=notes)
    return measured, None if why_not else int8


def _verdicts(found: Comparison, settings: ExportSettings, why_not: str) -> tuple[str, str]:
    """Return what is said of both files: fp32, int8."""
    if why_not:
        return "ship this", f"not kept: {why_not}"
    if found.faster:
        return "where no accuracy may be lost", "ship this: it is faster" + (" and smaller" if found.smaller else "")
    if settings.int8 == "smaller":
        return "where time counts more than size", "ship this: it is smaller"
    slower = found.speed_up[2] < 1
    return f"ship this: it is {'faster' if slower else 'as fast, and exact'}", "where size counts more than time"


def _fp32_alone(model: bytes, preprocess: AnyPreprocess, images: CheckImages | None) -> Measured:
    one = preprocess.blank() if images is None else images.one
    figures = FileFigures(
        file=FP32,
        bytes=len(model),
        share=None if images is None else images.score(model),
        score=task_named(preprocess.task).eight_bits,
        latency_ms=float(np.median(side_by_side([model], one))),
        verdict="ship this",
    )
    return Measured(files=(figures,), images=0 if images is None else images.images, device=_device(preprocess))


def _device(preprocess: AnyPreprocess) -> str:
    """Say what was measured how, for the table."""
    device = this_device("onnxruntime")
    versions = ", ".join(f"{name} {version}" for name, version in device.versions.items())
    return (
        f"{device.hardware} ({device.system}), {versions}, 1 thread, one {preprocess.one}, "
        f"median of the fastest run in each of several rounds"
    )
