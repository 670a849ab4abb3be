"""Latencies that were measured once on this device, so that no later search measures the same network again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from math import isfinite
from pathlib import Path

from nas.latency.measure import Latency, Meter
from nas.network.architecture import Architecture
from nas.network.simplify import SCHEME


class KnownLatencies:
    """Measures a network, or says what was measured of it before.

    What is known holds for the same device, the same versions of the runtime and the same way of running it. Only what
    was measured while the machine was quiet is kept.
    """

    def __init__(self, meter: Meter, folder: Path) -> None:
        """Read what is known; a line that cannot be read is left out.

        Args:
            meter: measures what is not known.
            folder: holds a file for each device and way of running networks; it is made with the first.
        """
        self._meter = meter
        here = {"deployment": asdict(meter.deployment), "device": meter.device.to_dict()}
        key = hashlib.sha256(json.dumps(here, sort_keys=True).encode()).hexdigest()[:12]
        self._path = folder / f"latencies-{meter.deployment.runtime}-{key}.jsonl"
        self._known: dict[str, Latency] = {}
        with suppress(OSError):
            text = self._path.read_bytes() if self._path.is_file() and not self._path.is_symlink() else b""
            for line in text.decode(errors="replace").splitlines():
                self._read(line)

    def __len__(self) -> int:
        """The number of networks that are known."""
        return len(self._known)

    def _read(self, line: str) -> None:
        try:
            found = json.loads(line)
            latency = Latency.from_dict(found["latency"])
            same = (latency.deployment, latency.device.to_dict()) == (
                self._meter.deployment,
                self._meter.device.to_dict(),
            )
            figures = (latency.ms, latency.median_ms, latency.p95_ms, latency.cv)
            sound = all(isinstance(one, float) and isfinite(one) for one in figures) and latency.ms > 0
            if same and sound and found["id_scheme"] == SCHEME:
                self._known[found["arch_id"]] = latency
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # cut off, or of another version
            return

    def measure(self, architecture: Architecture) -> Latency:
        """Return the latency of a network; raises as `Meter.measure`."""
        known = self._known.get(architecture.arch_id)
        if known is not None:
            return known
        latency = self._meter.measure(architecture)
        if latency.quiet_visits:
            self._known[architecture.arch_id] = latency
            self._keep(architecture.arch_id, latency)
        return latency

    def _keep(self, arch_id: str, latency: Latency) -> None:
        """Add a line, in one write, so that searches side by side do not mix theirs.

        It begins with the end of the line before, which may have been cut off.
        """
        line = "\n" + json.dumps({"arch_id": arch_id, "id_scheme": SCHEME, "latency": latency.to_dict()}) + "\n"
        with suppress(OSError):  # a search goes on without
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
