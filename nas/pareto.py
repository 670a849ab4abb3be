"""Several objectives: the Pareto front, its hypervolume, its knee. Larger is better in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Strips(NamedTuple):
    """The region that no point dominates, above a reference, cut into columns that are open upwards.

    Each stands on a box of all objectives but the last.
    """

    low: Array
    """`(strips, objectives - 1)`"""
    high: Array
    """`(strips, objectives - 1)`; inf at the end of an axis."""
    floor: Array
    """`(strips,)`: the last objective must exceed it."""


def front(values: Array) -> NDArray[np.int64]:
    """Return the indices of the points that no other dominates, rising; of equal points the first.

    Args:
        values: `(points, objectives)`; larger is better.
    """
    best: list[int] = []
    # Whatever dominates a point comes before it in this order.
    for index in np.lexsort((np.arange(len(values)), *(-values.T[::-1]))):
        if not np.any(np.all(values[best] >= values[index], axis=1)):
            best.append(int(index))
    return np.array(sorted(best), dtype=np.int64)


def domination_counts(values: Array) -> NDArray[np.int64]:
    """Return how many others dominate each point, `(points,)`; with one objective that is its rank, from 0.

    Args:
        values: `(points, objectives)`; larger is better.
    """
    return np.asarray(_dominated(values).sum(axis=1))


def non_dominated_sort(values: Array) -> list[NDArray[np.int64]]:
    """Return the indices of the points by fronts: those that none dominates, those that only these do, and so on.

    Non-dominated sorting (Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II"). Equal
    points are on the same front.

    Args:
        values: `(points, objectives)`; larger is better.
    """
    dominated = _dominated(values)
    left, fronts = np.arange(len(values)), []
    while len(left):
        best = ~dominated[np.ix_(left, left)].any(axis=1)
        fronts.append(left[best])
        left = left[~best]
    return fronts


def _dominated(values: Array) -> NDArray[np.bool_]:
    """Return whether point i is dominated by point j, `(points, points)`."""
    return np.asarray(np.all(values[None] >= values[:, None], axis=2) & np.any(values[None] > values[:, None], axis=2))


def farthest_first_order(values: Array, taken: Sequence[int] = ()) -> list[int]:
    """Return the indices of points in an order in which each is the farthest from all before it.

    An epsilon net as in Salinas et al. 2021, "A multi-objective perspective on jointly tuning hardware and
    hyperparameters". Distances are of ranks, so that units do not matter.

    Args:
        values: `(points, objectives)`.
        taken: indices that come first; without any the first is that of the largest value of the first objective.
    """
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in values.T], axis=1).astype(float)
    order = list(taken) or [int(np.argmax(values[:, 0]))]
    distance = np.min([np.linalg.norm(ranks - ranks[index], axis=1) for index in order], axis=0)
    left = [index for index in range(len(values)) if index not in order]
    while left:
        farthest = max(left, key=lambda index: distance[index])
        order.append(farthest)
        left.remove(farthest)
        distance = np.minimum(distance, np.linalg.norm(ranks - ranks[farthest], axis=1))
    return order


def strips(points: Array, reference: Array) -> Strips:
    """Cut the region that no point dominates, above a reference, into columns.

    Args:
        points: `(points, objectives)`; those that do not exceed the reference in every objective add nothing.
        reference: `(objectives,)`, worse than every point that counts.
    """
    points = points[np.all(points > reference, axis=1)]
    edges = [np.unique(np.append(axis, ref)) for axis, ref in zip(points.T[:-1], reference[:-1], strict=True)]
    low = np.stack([grid.ravel() for grid in np.meshgrid(*edges, indexing="ij")], axis=1)
    ends = [np.append(edge[1:], np.inf) for edge in edges]
    high = np.stack([grid.ravel() for grid in np.meshgrid(*ends, indexing="ij")], axis=1)
    # A point covers a box where it reaches over it in every other objective.
    covers = np.all(points[None, :, :-1] >= high[:, None], axis=2)
    floor = np.where(covers, points[None, :, -1], reference[-1]).max(axis=1, initial=reference[-1])
    return Strips(low, high, floor)


def hypervolume(points: Array, reference: Array) -> float:
    """Return the volume that points dominate, above a reference.

    Zitzler & Thiele 1998, "Multiobjective optimization using evolutionary algorithms", the size of the space covered.

    Takes time and memory that grow with the number of points to the power of the objectives.

    Args:
        points: `(points, objectives)`; larger is better.
        reference: `(objectives,)`.
    """
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return max(0.0, float((points - reference).max()))
    columns = strips(points[front(points)], reference)
    closed = np.isfinite(columns.high).all(axis=1)
    bases = (columns.high[closed] - columns.low[closed]).prod(axis=1)
    return float(bases @ (columns.floor[closed] - reference[-1]))


def growing_hypervolume(seen: Array, reference: Array, worth: Array | None = None) -> list[float]:
    """Return the hypervolume of the front of the first point, of the first two, and so on.

    Args:
        seen: `(points, objectives)`; larger is better. They decide which points are on the front.
        reference: `(objectives,)`.
        worth: `(points, objectives)`, the true values of the points, where those seen have noise.
    """
    worth = seen if worth is None else worth
    volumes: list[float] = []
    best: list[int] = []
    for index, point in enumerate(seen):
        if best and np.any(np.all(seen[best] >= point, axis=1)):
            volumes.append(volumes[-1])
            continue
        best = [other for other in best if not np.all(point >= seen[other])] + [index]
        volumes.append(hypervolume(worth[best], reference))
    return volumes


def knee(values: Array) -> int:
    """Return the index of the point of a front where giving up one objective gains little of another.

    It is the point farthest from the plane on which one objective pays for another, each measured from its worst to its
    best on the front (Das 1999, "On characterizing the 'knee' of the Pareto curve").

    Args:
        values: `(points, objectives)`, a front; larger is better.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    shares = (values - low) / np.where(high > low, high - low, 1.0)
    return int(np.argmax(shares.sum(axis=1)))
