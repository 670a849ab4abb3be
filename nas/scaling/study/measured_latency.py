"""Latencies of the networks of a study on this machine: each is measured once, and kept in the study's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from nas.cost import cost_of
from nas.errors import DeviceError
from nas.latency.deployment import Deployment
from nas.latency.device_profile import known_profile
from nas.latency.measure import Latency, Meter
from nas.network.architecture import Architecture
from nas.network.identity import earlier_id
from nas.run_folder import read_json, write_whole

LATENCIES = "latency.json"
"""The file of the latencies in the folder of a study."""


class Latencies:
    """Measured latencies by network."""

    def __init__(self, deployment: Deployment, records: Path, say: Callable[[str], None]) -> None:
        """Make a meter that has measured nothing.

        Args:
            deployment: how networks are run.
            records: the folder whose device profile says how fast this machine is when it is quiet.
            say: takes a line for each measurement.
        """
        self._say = say
        profile = known_profile(records, deployment)
        self._meter = Meter(deployment, usual_ms=profile.reference_ms if profile else inf)
        self._measured: dict[str, Latency] = {}
        self._path: Path | None = None

    def read(self, folder: Path) -> None:
        """Read the latencies that an earlier session of the study measured.

        Raises:
            ConfigError: the file is damaged.
        """
        path = folder / LATENCIES
        if path.exists():
            self._measured = read_json(path, "latencies", _latencies, way_out="; delete it to measure anew")

    def write_to(self, folder: Path) -> None:
        """Write the latencies to the study's folder, now and after each further measurement."""
        self._path = folder / LATENCIES
        self._write()

    def ms(self, arch: Architecture) -> float:
        """Return milliseconds for a batch; raises `DeviceError` where this machine cannot run the network."""
        earlier = earlier_id(arch)
        if arch.arch_id not in self._measured and earlier in self._measured:  # measured when ids were of another scheme
            self._measured[arch.arch_id] = self._measured.pop(earlier)
        if arch.arch_id not in self._measured:
            latency = self._measured[arch.arch_id] = self._meter.measure(arch)
            self._write()
            self._say(f"  {latency.ms:.4g} ms: {cost_of(arch).macs:,} MACs")
        return self._measured[arch.arch_id].ms

    def measure(self, networks: Iterable[Architecture]) -> Mapping[str, float]:
        """Measure networks; return the milliseconds of those that this machine can run, by `arch_id`."""
        ms: dict[str, float] = {}
        unique = {arch.arch_id: arch for arch in networks}
        if missing := len(unique.keys() - self._measured.keys()):
            self._say(f"  measuring the latency of {missing} networks, with nothing else at work")
        for arch in unique.values():
            try:
                ms[arch.arch_id] = self.ms(arch)
            except DeviceError:  # the figures of the others are still of use
                continue
        return ms

    def disturbed(self) -> frozenset[str]:
        """Return the networks whose measurement other work disturbed, by `arch_id`."""
        return frozenset(network for network, latency in self._measured.items() if not latency.quiet_visits)

    def measured(self) -> Mapping[str, float]:
        """Return the milliseconds of all networks that were measured, by `arch_id`."""
        return {network: latency.ms for network, latency in self._measured.items()}

    def describe(self) -> str:
        """Return how the latencies were measured, and how many were disturbed, in words."""
        busy = len(self.disturbed())
        text = f"latency: {self._meter.deployment}, on {self._meter.device.hardware}"
        if not busy:
            return text
        return (
            f"{text}; other work disturbed {busy} of {len(self._measured)} measurements (* in tables), which may be "
            f"far too high: when the machine is quiet, delete {self._path or LATENCIES} and go on with this study once "
            "more"
        )

    def _write(self) -> None:
        if self._path is not None:
            values = {network: latency.to_dict() for network, latency in self._measured.items()}
            write_whole(self._path, json.dumps(values, indent=1) + "\n")


def _latencies(values: Any) -> dict[str, Latency]:
    return {str(network): Latency.from_dict(saved) for network, saved in values.items()}
