"""Evaluators for worker processes, which import this file by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import nas
from nas.errors import DataError


def params(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """A score that can be checked: the number of parameters."""
    return float(nas.cost_of(arch).params)


class Moody:
    """Ends in another way for each stem width: 4 is killed, 8 leaves, 16 is fine."""

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        width = dict(arch.stem.blocks[0].settings)["out_channels"]
        if width == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        if width == 8:
            os._exit(3)
        return 1.0


class Sleepy:
    """Never ends for stem width 4."""

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        if dict(arch.stem.blocks[0].settings)["out_channels"] == 4:
            time.sleep(1000)
        return 1.0


class Talkative:
    """Reports without a pause, for far longer than anybody waits."""

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        until = time.monotonic() + 30
        step = 0
        while time.monotonic() < until:
            step += 1
            nas.report(step, {"val_accuracy": 0.5})
        return 1.0


class Environment:
    """Tells of its process."""

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> dict[str, float]:
        return {
            "val_accuracy": 1.0,
            "pid": float(os.getpid()),
            "threads": float(os.environ["OMP_NUM_THREADS"]),
            "passive": float(os.environ["OMP_WAIT_POLICY"] == "passive"),
        }


def visible_device(arch: nas.Architecture, budget: nas.Budget, seed: int) -> dict[str, float]:
    """The device that this process may use: 0, or GPU-1."""
    return {"device": float(os.environ["CUDA_VISIBLE_DEVICES"][-1])}


class Unprepared:
    """Has no data."""

    def prepare(self) -> Mapping[str, Any]:
        raise DataError("data nowhere: no files")

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        raise AssertionError


class Stillborn(Unprepared):
    """Dies before it can say anything."""

    def prepare(self) -> Mapping[str, Any]:
        os._exit(7)
