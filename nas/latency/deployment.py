"""How a network is run on a device: which runtime, how many examples at a time, how many threads. Never loads one."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, nearest
from nas.machine import cores
from nas.settings import Range, check_settings, setting

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "cuda": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
    "torch": ("torch",),
}
"""What each runtime needs installed."""
RUNTIMES: tuple[str, ...] = tuple(PACKAGES)
"""What can run a network, in order of preference for `auto`."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """How a network is run."""

    runtime: str
    """One of `RUNTIMES`. `torch` is eager mode on the CPU, `cuda` on the first GPU, both channels last and fp32."""
    batch: int = 1
    """Examples at a time."""
    threads: int = 1
    """Of the CPU; without meaning for `cuda`."""

    def __str__(self) -> str:
        threads = "" if self.runtime == "cuda" else f", {self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.runtime}, batch {self.batch}{threads}"


def deployment(runtime: str = "auto", batch: int = 1, threads: int = 1) -> Deployment:
    """Return a deployment that works on this machine; `auto` takes the first of `RUNTIMES` that is installed.

    Raises:
        ConfigError: an unknown runtime, or one that is not installed; a number that is not positive.
    """
    for name, value in (("batch", batch), ("threads", threads)):
        if value < 1:
            raise ConfigError(f"inference.{name} must be >= 1, but got {value}")
    if threads > cores():
        raise ConfigError(f"inference.threads={threads}, but this machine lends {cores()} cores to this process")
    if runtime == "auto":
        return Deployment(next(name for name in RUNTIMES if _installed(name)), batch, threads)
    if runtime not in RUNTIMES:
        raise ConfigError(f"inference.runtime: unknown {runtime!r}. {nearest(runtime, ['auto', *RUNTIMES])}")
    if not _installed(runtime):
        how = f"pip install {' '.join(PACKAGES[runtime])}"
        if runtime == "cuda":
            how = "no NVIDIA GPU is found, or torch is built without CUDA"
        raise ConfigError(f"inference.runtime={runtime} is not there: {how}")
    return Deployment(runtime, batch, threads)


_MOST = 100_000_000


@dataclass(frozen=True, kw_only=True)
class DeploymentSettings:
    """Settings of how networks are run, checked; `deployment` is what they give on this machine."""

    batch: int = setting(1, "examples at a time", Range(1, _MOST, whole=True))
    threads: int = setting(1, "of the CPU", Range(1, _MOST, whole=True))
    runtime: str = setting(
        "auto", f"auto, {', '.join(RUNTIMES)}; auto is the first of these that is there", ("auto", *RUNTIMES)
    )

    def __post_init__(self) -> None:
        check_settings(self, "inference")

    @property
    def deployment(self) -> Deployment:
        """How networks are run with these settings; raises `ConfigError` where this machine cannot."""
        return deployment(self.runtime, self.batch, self.threads)


def _installed(runtime: str) -> bool:
    if any(find_spec(package) is None for package in PACKAGES[runtime]):
        return False
    return runtime != "cuda" or (_gpu() is not None and not _version("torch").endswith("+cpu"))


@dataclass(frozen=True, slots=True)
class Device:
    """What a latency depends on beside the network: it holds for no other hardware and no other versions."""

    hardware: str
    """Model of the processor, or of the GPU."""
    cores: int
    """That this process may use."""
    system: str
    """Operating system and architecture, e.g. `Linux x86_64`."""
    versions: Mapping[str, str]
    """Of the runtime's packages."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "versions": dict(self.versions)}


def this_device(runtime: str) -> Device:
    """Describe this machine as the device of a runtime."""
    versions = {package: _version(package) for package in PACKAGES[runtime]}
    hardware = (_gpu() if runtime == "cuda" else None) or processor()
    return Device(hardware, cores(), f"{platform.system()} {platform.machine()}", versions)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # such as onnxruntime-gpu, which gives the same module
        return "unknown"


def processor() -> str:
    """The model of the processor with its family and stepping, since one name may stand for several."""
    facts = {}
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().split("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            facts[name.strip()] = value.strip()
    if "model name" in facts:
        return " ".join([facts["model name"], *(facts.get(k, "?") for k in ("cpu family", "model", "stepping"))])
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    """The name of the first NVIDIA GPU that this process may use."""
    command = shutil.which("nvidia-smi")
    if command is None or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return None
    query = [command, "--query-gpu=name", "--format=csv,noheader"]
    names = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    return names[0].strip() if names else None
