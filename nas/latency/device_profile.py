"""A device profile: what a calibration learned of a device, kept as JSON; it holds for that device only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial
from math import inf
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from nas.cost import Interval
from nas.errors import ConfigError
from nas.latency.deployment import Deployment, Device, this_device
from nas.latency.features import network_features
from nas.latency.predictor import Prediction, Predictor
from nas.network.architecture import Architecture
from nas.run_folder import read_json

PROFILE_FORMAT = "nas.device/1"
"""Counts up whenever features change (`nas.latency.features`), so that an old profile is not misread."""


@dataclass(frozen=True)
class Accuracy:
    """How well networks are predicted that were not learned from."""

    networks: int
    """Number of networks that were predicted."""
    within_5: float
    """Share of the networks that are predicted within 5 % of the measured figure."""
    within_10: float
    """Share that is predicted within 10 %."""
    mean_error: float
    """Mean of |predicted / measured - 1|."""
    rank_correlation: float
    """Spearman's, over all networks."""
    interval: float
    """The interval of a prediction is it times and divided by 1 + this; it holds nine networks in ten."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Accuracy:
        """Read plain values; raises `TypeError` or `ValueError` where they are no numbers."""
        numbers = {field.name: float(values[field.name]) for field in fields(cls) if field.name != "networks"}
        return cls(networks=int(values["networks"]), **numbers)


@dataclass(frozen=True)
class DeviceProfile:
    """Predicts latencies on one device in one deployment."""

    deployment: Deployment
    """How the networks were run."""
    device: Device
    """Where they were run."""
    spaces: Mapping[str, tuple[int, ...]]
    """The spaces whose networks were measured, with the shape of their input."""
    accuracy: Accuracy
    """By leaving each network out."""
    macs_only: Accuracy
    """The same for a power law in multiply-adds, to compare."""
    quiet: float
    """Share of the networks that were measured while the machine was quiet."""
    reference_ms: float
    """What the reference network of `nas.latency.measure` takes when the machine is quiet."""
    seconds: float
    """That the calibration took."""
    date: str
    """UTC, ISO 8601."""
    measured: Mapping[str, float]
    """What it was learned from: milliseconds by `arch_id`."""
    predictor: Predictor
    """What was learned."""

    def predict(self, architecture: Architecture) -> Prediction:
        """Predict a latency; raises `ShapeError` where the architecture is not a network."""
        return _predict(self.predictor, architecture)

    def interval(self, architecture: Architecture) -> Interval:
        """Predict a latency with its interval: 0 to inf where the network is unlike those that were measured."""
        prediction = self.predict(architecture)
        if prediction.unknown:
            return Interval(prediction.ms, low=0.0, high=inf)
        return Interval(prediction.ms, low=prediction.low_ms, high=prediction.high_ms)

    def why_not(self, deployment: Deployment) -> str:
        """Say why it does not hold for a deployment on this machine; empty where it does."""
        if deployment != self.deployment:
            return f"it is for {self.deployment}, not {deployment}"
        device = this_device(deployment.runtime)
        for name in ("hardware", "cores", "system", "versions"):
            was, here = getattr(self.device, name), getattr(device, name)
            if was != here:
                return f"its {name} was {_text(was)}, but here it is {_text(here)}"
        return ""

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        parts = {name: asdict(getattr(self, name)) for name in ("deployment", "device", "accuracy", "macs_only")}
        plain = {name: getattr(self, name) for name in ("quiet", "reference_ms", "seconds", "date", "measured")}
        spaces = {name: list(shape) for name, shape in self.spaces.items()}
        values = {"format": PROFILE_FORMAT, **plain, **parts, "spaces": spaces, "predictor": self.predictor.to_dict()}
        _write(path, json.dumps(values))

    @classmethod
    def load(cls, path: Path) -> DeviceProfile:
        """Read what `save` wrote.

        Raises:
            ConfigError: the file cannot be read, or is no device profile.
        """
        return read_json(path, "device profile", partial(cls._from_values, path), inside=False)

    @classmethod
    def _from_values(cls, path: Path, values: Any) -> DeviceProfile:
        if not isinstance(values, dict) or values.get("format") != PROFILE_FORMAT:
            raise ConfigError(f"{path} is no device profile; python -m nas.calibrate makes one")
        return cls(
            deployment=Deployment(**values["deployment"]),
            device=Device(**values["device"]),
            spaces={str(name): tuple(shape) for name, shape in values["spaces"].items()},
            accuracy=Accuracy.read(values["accuracy"]),
            macs_only=Accuracy.read(values["macs_only"]),
            quiet=float(values["quiet"]),
            reference_ms=float(values["reference_ms"]),
            seconds=float(values["seconds"]),
            date=str(values["date"]),
            measured={str(network): float(ms) for network, ms in values["measured"].items()},
            predictor=Predictor(values["predictor"]),
        )


def check_writable(path: Path) -> None:
    """Check before a long calibration that its file can be written; raises `ConfigError` where it cannot."""
    _write(path.with_name(f".{path.name}.test"), "")
    path.with_name(f".{path.name}.test").unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as partial:
            partial.write(text)
        Path(partial.name).replace(path)
    except OSError as error:
        raise ConfigError(f"device profile {path} cannot be written: {error}") from None


def devices_folder(records: Path) -> Path:
    """Return the folder of what is known of devices, in a folder of records."""
    return records / "devices"


def profile_path(records: Path, deployment: Deployment) -> Path:
    """Return the file that the profile of a deployment is kept in, under a folder of records."""
    threads = "" if deployment.runtime == "cuda" else f"-threads{deployment.threads}"
    return devices_folder(records) / f"{deployment.runtime}-batch{deployment.batch}{threads}.json"


def known_profile(records: Path, deployment: Deployment) -> DeviceProfile | None:
    """Return the profile of a deployment, where there is one that holds on this machine."""
    path = profile_path(records, deployment)
    profile = DeviceProfile.load(path) if path.exists() else None
    return None if profile is None or profile.why_not(deployment) else profile


@lru_cache(maxsize=65536)
def _predict(predictor: Predictor, architecture: Architecture) -> Prediction:
    return predictor.predict(network_features(architecture))


def _text(value: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
