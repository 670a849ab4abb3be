"""Latency predicted: a sum over the operations of a network, each learned as a Gaussian process from whole networks.

The time of an operation is a prior mean (a roofline by kind: multiply-adds, numbers moved, parameters, and one call)
times a smooth function of its features (`nas.latency.features`). The sum of Gaussian processes is one again, so the
posterior follows in closed form from the measured networks, and so do the leave-one-out errors (Rasmussen & Williams
2006, sections 2.2 and 5.4.2); those give the interval (Barber et al. 2021, "Predictive inference with the jackknife+").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any, NamedTuple

import numpy as np

from nas.latency.features import OpFeatures, OpNumbers
from nas.latency.kernel import (
    LENGTHSCALES,
    SIZE_LENGTHSCALES,
    Array,
    Kernel,
    NetworkSize,
    Terms,
    read_numbers,
    terms_of,
)

_BOUNDED = [
    OpNumbers._fields.index(name)
    for name in (
        *("log_macs", "log_read", "log_written", "log_params", "log_in_channels", "log_out_channels"),
        *("log_out_positions", "log_in_positions", "kernel"),
    )
]
"""The numbers of an operation that have to lie within what was measured, for the interval to hold."""
_WIDENED = log(1.5)
"""How far outside of what was measured, in logarithms, such a number may lie."""


class Prediction(NamedTuple):
    """A latency that was not measured."""

    ms: float
    """The most likely latency, in milliseconds."""
    low_ms: float
    """Lower end of the interval that holds the measured latency of nine networks in ten."""
    high_ms: float
    """Upper end of that interval."""
    unknown: str
    """What of the network the calibration has not seen; empty where the interval can be relied on."""


class _OpTimes(NamedTuple):
    """What an operation adds to the prediction of a network."""

    prior_ms: float
    """Prior mean of its time."""
    ms: float
    """Posterior mean of its time."""
    macs: float
    """As in `Terms`."""
    moved: float
    """As in `Terms`."""
    params: float
    """As in `Terms`."""
    calls: float
    """As in `Terms`."""

    @property
    def terms(self) -> Terms:
        """What the prior mean is linear in."""
        return Terms(self.macs, self.moved, self.params, self.calls)


class _OpPrediction(NamedTuple):
    """An operation predicted."""

    times: _OpTimes
    """What it adds."""
    unknown: str
    """Whether it is unlike all that was measured, in words; empty where it is not."""


class Predictor:
    """Predicts the latency of the networks that it was fitted to, and of others like them."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        """Take what `fit` made, or `to_dict` gave.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: it is something else.
        """
        self._parts = parts
        self.error = float(read_numbers(parts["error"], low=0))
        """Bound of |log(measured / predicted)| for nine networks in ten."""
        self._kernel = Kernel.from_dict(parts["kernel"])
        self._kinds = {name: _Kind(values, self._kernel) for name, values in parts["kinds"].items()}
        self._sizes = read_numbers(parts["networks"]) / (self._kernel.lengthscale * SIZE_LENGTHSCALES)
        self._size_weights = read_numbers(parts["network_weights"])
        if self._sizes.shape != (len(self._size_weights), len(SIZE_LENGTHSCALES)):
            raise ValueError(f"networks of shape {self._sizes.shape} do not fit their weights")
        self._predicted: dict[OpFeatures, _OpPrediction] = {}

    def predict(self, features: Sequence[OpFeatures]) -> Prediction:
        """Predict the time of a network from the features of its operations."""
        predicted = [self._predicted.get(op) or self._predict(op) for op in features]
        total = _OpTimes(*np.array([op.times for op in predicted]).sum(0))
        size = np.array(NetworkSize.of(total.terms)) / (self._kernel.lengthscale * SIZE_LENGTHSCALES)
        correlation = np.exp(-0.5 * ((self._sizes - size) ** 2).sum(1))
        mean = total.ms + self._kernel.network**2 * total.prior_ms * (correlation @ self._size_weights)
        ms = float(max(mean, 0.2 * total.prior_ms))
        unknown = next((op.unknown for op in predicted if op.unknown), "")
        return Prediction(ms, ms * exp(-self.error), ms * exp(self.error), unknown)

    def _predict(self, op: OpFeatures) -> _OpPrediction:
        terms = terms_of(np.array([op.numbers]))[0]
        kind = self._kinds.get(op.kind)
        if kind is None:
            prediction = _OpPrediction(_OpTimes(0.0, 0.0, *terms), f"{op.kind} operations")
        else:
            prediction = _OpPrediction(kind.times(op, terms), kind.outside(op))
        self._predicted[op] = prediction
        return prediction

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(self._parts)


class _Kind:
    """The Gaussian process of one kind of operation."""

    def __init__(self, values: Mapping[str, Any], kernel: Kernel) -> None:
        self._kernel = kernel
        self._prior, self._weights = read_numbers(values["prior"], low=0), read_numbers(values["weights"])
        points = read_numbers(values["points"])
        if points.shape != (len(self._weights), len(LENGTHSCALES)) or self._prior.shape != (len(Terms._fields),):
            raise ValueError(f"points of shape {points.shape} do not fit {len(self._weights)} weights")
        self._low, self._high = points[:, _BOUNDED].min(0), points[:, _BOUNDED].max(0)
        self._points = points / (kernel.lengthscale * LENGTHSCALES)

    def times(self, op: OpFeatures, terms: Array) -> _OpTimes:
        """Return the time of an operation by the prior mean and by the posterior mean; `terms` are those of the op."""
        prior = float(terms @ self._prior)
        point = np.array(op.numbers) / (self._kernel.lengthscale * LENGTHSCALES)
        correlation = np.exp(-0.5 * ((self._points - point) ** 2).sum(1))
        deviation = self._kernel.op**2 * correlation @ self._weights + self._kernel.kind**2 * self._weights.sum()
        return _OpTimes(prior, prior * (1 + float(deviation)), *terms)

    def outside(self, op: OpFeatures) -> str:
        """Say where an operation is beyond what was measured; empty where it is not."""
        numbers = np.array(op.numbers)[_BOUNDED]
        if ((numbers < self._low - _WIDENED) | (numbers > self._high + _WIDENED)).any():
            return f"{op.kind} operations of this size"
        return ""
