"""The kernel of the Gaussian processes that predict latencies, and what their prior mean is linear in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.latency.features import OpNumbers

Array = NDArray[np.float64]
"""Matrix or vector of numbers."""

LENGTHSCALES = np.array(
    OpNumbers(
        log_macs=30,
        log_read=8,
        log_written=8,
        log_params=20,
        log_in_channels=3.5,
        log_out_channels=2.5,
        log_out_positions=7,
        log_in_positions=4,
        kernel=2,
        dims=0.5,
        inputs=0.5,
        strided=10,
        log_groups=15,
        in_channels_by_8=1.5,
        in_channels_by_16=1.5,
        out_channels_by_8=5,
        out_channels_by_16=3,
        counts_padding=0.5,
        after_conv=0.5,
        after_batch_norm=2,
        after_sum=0.5,
    )
)
"""Of the kernel of operations: the difference of a number over which their time changes."""


class Terms(NamedTuple):
    """What the prior mean of a time is linear in: of an operation, or summed over a network."""

    macs: float
    """Multiply-adds."""
    moved: float
    """Numbers read and written."""
    params: float
    """Learned numbers."""
    calls: float
    """Operations."""


class NetworkSize(NamedTuple):
    """A network as a whole; logarithms are natural ones."""

    log_params: float
    """Of 1 + its learned numbers."""
    log_macs: float
    """Of 1 + its multiply-adds."""
    log_moved: float
    """Of the numbers that its operations read and write."""
    log_calls: float
    """Of its number of operations."""

    @classmethod
    def of(cls, terms: Terms) -> NetworkSize:
        """Return the size of a network by the sums of its terms."""
        return cls(log(1 + terms.params), log(1 + terms.macs), log(terms.moved), log(terms.calls))


SIZE_LENGTHSCALES = np.array(NetworkSize(log_params=1.3, log_macs=4.7, log_moved=2.0, log_calls=7.4))
"""Of the kernel of networks as a whole."""


@dataclass(frozen=True)
class Kernel:
    """Standard deviations of the Gaussian processes, as shares of the prior mean, and the lengthscales."""

    op: float = 0.5
    """Of operations of a kind, one from another."""
    kind: float = 0.1
    """Of a kind as a whole."""
    network: float = 0.3
    """Of networks as a whole, by their size: caches, and what the sum over operations misses."""
    noise: float = 0.05
    """Of the measurement."""
    lengthscale: float = 1.0
    """Factor of all lengthscales."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Kernel:
        """Read what `to_dict` wrote; raises `TypeError` or `ValueError` where it is no kernel."""
        numbers = {name: float(read_numbers(value, low=1e-6)) for name, value in values.items()}
        return cls(**{_KERNEL_NAMES.get(name, name): number for name, number in numbers.items()})

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by their names in a device profile."""
        file_names = {name: file_name for file_name, name in _KERNEL_NAMES.items()}
        return {file_names.get(name, name): number for name, number in asdict(self).items()}


_KERNEL_NAMES = {"stretch": "lengthscale"}
"""Names in a device profile that are others here."""


def read_numbers(value: object, low: float = -1e9) -> Array:
    """Read numbers of a file; raises `ValueError` where they are none, or no reasonable ones."""
    numbers = np.array(value, dtype=np.float64)
    if not ((numbers >= low) & (numbers <= 1e9)).all():
        raise ValueError(f"a number is not between {low:g} and 1e9")
    return numbers


def terms_of(numbers: Array) -> Array:
    """Return the `Terms` of operations, a row each, from their `OpNumbers`, a row each."""
    macs, read, written, params = (
        np.exp(numbers[:, OpNumbers._fields.index(name)])
        for name in ("log_macs", "log_read", "log_written", "log_params")
    )
    return np.stack([macs - 1, read + written, params - 1, np.ones(len(numbers))], axis=1)


def correlations(points: Array) -> Array:
    """Return the squared exponential kernel of lengthscale and variance 1 between all pairs of points."""
    squares = (points**2).sum(1)
    return np.asarray(np.exp(-0.5 * np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0)))
