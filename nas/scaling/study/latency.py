"""How long the networks of a study take on this machine: each is measured once, and kept in the study's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path

from nas.cost import cost_of
from nas.errors import ConfigError, DeviceError
from nas.latency.deployment import Deployment
from nas.latency.device_profile import known_profile
from nas.latency.measure import Latency, Meter
from nas.network.architecture import Architecture
from nas.network.identity import earlier_id
from nas.run_folder import write_whole

LATENCIES = "latency.json"


class Latencies:
    """Measured latencies by network."""

    def __init__(self, deployment: Deployment, records: Path, say: Callable[[str], None]) -> None:
        """Take how networks are run, the folder whose device profile tells when this machine is quiet, and who is told
        of each measurement."""
        self._say = say
        profile = known_profile(records, deployment)
        self._meter = Meter(deployment, usual_ms=profile.reference_ms if profile else inf)
        self._known: dict[str, Latency] = {}
        self._path: Path | None = None

    def read(self, folder: Path) -> None:
        """Take over what an earlier session measured, so that it goes on with the same networks.

        Raises:
            ConfigError: the file is damaged.
        """
        path = folder / LATENCIES
        if not path.exists():
            return
        try:
            values = json.loads(path.read_text())
            self._known = {str(network): Latency.from_dict(one) for network, one in values.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"{path} is damaged ({type(error).__name__}: {error}); delete it to measure anew"
            ) from None

    def keep(self, folder: Path) -> None:
        """Write what is known, and from now on what is measured, to the study's folder."""
        self._path = folder / LATENCIES
        self._write()

    def ms(self, arch: Architecture) -> float:
        """Return milliseconds for one batch; raises `DeviceError` where this machine cannot run the network."""
        earlier = earlier_id(arch)
        if arch.arch_id not in self._known and earlier in self._known:  # measured when ids were of another scheme
            self._known[arch.arch_id] = self._known.pop(earlier)
        if arch.arch_id not in self._known:
            found = self._known[arch.arch_id] = self._meter.measure(arch)
            self._write()
            self._say(f"  {found.ms:.4g} ms: {cost_of(arch).macs:,} MACs")
        return self._known[arch.arch_id].ms

    def of(self, networks: Iterable[Architecture]) -> Mapping[str, float]:
        """Return the milliseconds of those networks that this machine can run, by `arch_id`."""
        found: dict[str, float] = {}
        every = {arch.arch_id: arch for arch in networks}
        if missing := len(every.keys() - self._known.keys()):
            self._say(f"  measuring the latency of {missing} networks, with nothing else at work")
        for arch in every.values():
            try:
                found[arch.arch_id] = self.ms(arch)
            except DeviceError:  # the others are worth their figures
                continue
        return found

    def disturbed(self) -> frozenset[str]:
        """Return the networks whose measurement other work disturbed, by `arch_id`."""
        return frozenset(network for network, one in self._known.items() if not one.quiet_visits)

    def known(self) -> Mapping[str, float]:
        """Return the milliseconds of all that was measured."""
        return {network: one.ms for network, one in self._known.items()}

    def how(self) -> str:
        """Say how the figures came to be."""
        busy = len(self.disturbed())
        text = f"latency: {self._meter.deployment}, on {self._meter.device.hardware}"
        if not busy:
            return text
        return (
            f"{text}; other work disturbed {busy} of {len(self._known)} measurements (* in tables), which may be far "
            f"too high: when the machine is quiet, delete {self._path or LATENCIES} and go on with this study once more"
        )

    def _write(self) -> None:
        if self._path is not None:
            values = {network: one.to_dict() for network, one in self._known.items()}
            write_whole(self._path, json.dumps(values, indent=1) + "\n")
