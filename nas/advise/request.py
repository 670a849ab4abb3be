"""What the user wants and has: task, device, limits, data."""

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

_MOST_CLASSES = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What advice is asked for; None is not said."""

    task: str = "classification"
    device: str | None = None
    priority: str | None = None
    latency_ms: float | None = None
    size_mib: float | None = None
    params: float | None = None
    macs: float | None = None
    images: int | None = None
    """Labelled examples for training."""
    shape: Shape | None = None
    """`(channels, height, width)` of the input; `(channels, length)` for series."""
    classes: int | None = None
    data_set: str | None = None
    """A data set that comes with nas, which says its shape and classes itself."""
    pretrained: bool = False
    """Whether weights that were trained on other images may be used."""

    def __post_init__(self) -> None:
        for name, known in (("task", TASKS), ("device", DEVICES), ("priority", PRIORITIES)):
            word = getattr(self, name)
            if word is not None and word not in known:
                raise ConfigError(f"{name}: unknown {word!r}. {nearest(word, known)}")
        for name, low in (
            ("images", 1),
            ("classes", 2),
            ("latency_ms", 0),
            ("size_mib", 0),
            ("params", 0),
            ("macs", 0),
        ):
            value = getattr(self, name)
            if name == "classes" and value is not None and value > _MOST_CLASSES:
                raise ConfigError(f"classes must be at most {_MOST_CLASSES:,}, but got {value:,}")
            if value is not None and not low <= value < float("inf"):
                raise ConfigError(f"{name.replace('_', '-')} must be >= {low} and finite, but got {value}")
        dims, form = (1, "CxL such as 1x128") if self.task == "series" else (2, "CxHxW such as 3x224x224")
        if self.shape is not None and len(self.shape) != dims + 1:
            raise ConfigError(f"data: {self.task} takes {form}, but got {'x'.join(map(str, self.shape))}")

    @property
    def limits(self) -> tuple[Constraint, ...]:
        """The limits asked for that are counted."""
        return constraints_from({"params": self.params, "size_mib": self.size_mib, "macs": self.macs})

    @property
    def asked(self) -> tuple[Constraint, ...]:
        """All limits asked for."""
        return (*self.limits, *constraints_from({LATENCY: self.latency_ms}))

    @property
    def trained(self) -> bool:
        """Whether this version of nas trains networks for the task."""
        return self.task in TRAINED and (self.shape is None or self.shape[0] in (1, 3))

    @property
    def general(self) -> bool:
        """Whether nothing is said that tells one purpose from another."""
        said = (self.device, self.priority, self.images, *self.asked)
        return all(one is None for one in said)

    @property
    def on_battery(self) -> bool:
        return self.device in ("mobile", "edge")

    @property
    def few(self) -> bool:
        return self.images is not None and self.images < FEW_IMAGES

    @property
    def many(self) -> bool:
        return self.images is not None and self.images > MANY_IMAGES

    @property
    def transformers(self) -> bool:
        """Whether there are images enough for a network that has to learn what a convolution knows."""
        return self.images is not None and (
            self.images >= VERY_MANY_IMAGES or (self.pretrained and self.images > MANY_IMAGES)
        )

    @property
    def small(self) -> bool:
        """Whether images are smaller than any at which a network was published for ImageNet."""
        return self.shape is not None and min(self.shape[1:]) < SMALLEST_SIDE

    @property
    def aim(self) -> str:
        """The priority, or what follows where none is given: on a phone from the latency, else balanced."""
        if self.priority is not None:
            return self.priority
        if self.device == "mobile" and self.latency_ms is not None:
            return "speed" if self.latency_ms < PHONE_MS else "quality"
        return "balanced"
