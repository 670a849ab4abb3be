"""The request for advice: task, device, limits and data of the user."""

from __future__ import annotations

from dataclasses import dataclass

from nas.advise.rules_of_thumb import (
    DEVICES,
    FEW_IMAGES,
    MANY_IMAGES,
    PHONE_MS,
    PRIORITIES,
    SMALLEST_SIDE,
    TASKS,
    TRAINED,
    VERY_MANY_IMAGES,
)
from nas.cost import LATENCY, Constraint, constraints_from
from nas.errors import ConfigError, nearest
from nas.network.ops import Shape

_MAX_CLASSES = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request for advice; None where the user says nothing."""

    task: str = "classification"
    device: str | None = None
    priority: str | None = None
    latency_ms: float | None = None
    size_mib: float | None = None
    params: float | None = None
    macs: float | None = None
    images: int | None = None
    """Number of labelled examples for training."""
    shape: Shape | None = None
    """`(channels, height, width)` of the input; `(channels, length)` for series."""
    classes: int | None = None
    data_set: str | None = None
    """A data set that comes with nas, which says its shape and classes itself."""
    pretrained: bool = False
    """Whether weights that were trained on other images may be used."""

    def __post_init__(self) -> None:
        for name, choices in (("task", TASKS), ("device", DEVICES), ("priority", PRIORITIES)):
            word = getattr(self, name)
            if word is not None and word not in choices:
                raise ConfigError(f"{name}: unknown {word!r}. {nearest(word, choices)}")
        for name, low in (
            ("images", 1),
            ("classes", 2),
            ("latency_ms", 0),
            ("size_mib", 0),
            ("params", 0),
            ("macs", 0),
        ):
            value = getattr(self, name)
            if name == "classes" and value is not None and value > _MAX_CLASSES:
                raise ConfigError(f"classes must be at most {_MAX_CLASSES:,}, but got {value:,}")
            if value is not None and not low <= value < float("inf"):
                raise ConfigError(f"{name.replace('_', '-')} must be >= {low} and finite, but got {value}")
        dims, form = (1, "CxL such as 1x128") if self.task == "series" else (2, "CxHxW such as 3x224x224")
        if self.shape is not None and len(self.shape) != dims + 1:
            raise ConfigError(f"data: {self.task} takes {form}, but got {'x'.join(map(str, self.shape))}")

    @property
    def counted_limits(self) -> tuple[Constraint, ...]:
        """The requested limits that can be counted, without measuring."""
        return constraints_from({"params": self.params, "size_mib": self.size_mib, "macs": self.macs})

    @property
    def requested_limits(self) -> tuple[Constraint, ...]:
        """All requested limits."""
        return (*self.counted_limits, *constraints_from({LATENCY: self.latency_ms}))

    @property
    def trainable(self) -> bool:
        """Whether nas trains networks for the task and the number of channels."""
        any_channels = self.task == "series" or self.shape is None
        return self.task in TRAINED and (any_channels or (self.shape is not None and self.shape[0] in (1, 3)))

    @property
    def unspecific(self) -> bool:
        """Whether the request says nothing of device, priority, images and limits."""
        details = (self.device, self.priority, self.images, *self.requested_limits)
        return all(value is None for value in details)

    @property
    def on_battery(self) -> bool:
        """Whether the device runs on a battery."""
        return self.device in ("mobile", "edge")

    @property
    def few_images(self) -> bool:
        """Whether there are fewer than `FEW_IMAGES` images."""
        return self.images is not None and self.images < FEW_IMAGES

    @property
    def many_images(self) -> bool:
        """Whether there are more than `MANY_IMAGES` images."""
        return self.images is not None and self.images > MANY_IMAGES

    @property
    def enough_for_transformers(self) -> bool:
        """Whether there are enough images for transformers, which have to learn the locality of convolutions."""
        return self.images is not None and (
            self.images >= VERY_MANY_IMAGES or (self.pretrained and self.images > MANY_IMAGES)
        )

    @property
    def small_images(self) -> bool:
        """Whether the images are smaller than the input of any network that was published for ImageNet."""
        return self.shape is not None and min(self.shape[1:]) < SMALLEST_SIDE

    @property
    def effective_priority(self) -> str:
        """The priority; where none is given, by the latency on a phone, else `balanced`."""
        if self.priority is not None:
            return self.priority
        if self.device == "mobile" and self.latency_ms is not None:
            return "speed" if self.latency_ms < PHONE_MS else "quality"
        return "balanced"
