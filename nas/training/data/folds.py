"""Which fold of k-fold validation an image is in, by its content. Never loads torch.

The images of training and validation are divided into folds; test images are in none. Images of equal content are in
one fold, and the folds hold each class in equal number, but for one image of each content at most.

Each content has a fold that its hash names, and stays there while there is room: a fold takes its equal part of a
class. What finds no room goes to the next fold that has some. So adding or removing an image moves a few others of its
class at most, not all of those behind it in some order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError
from nas.training.data.content import chance, in_proportion
from nas.training.tasks.task import Task

IN_NONE = 0
"""The fold of an image that is trained on with each fold, since no other shows its class."""


@dataclass(frozen=True, eq=False)
class Fold:
    """The images of one training of k-fold validation, by their places among those that are divided.

    Both are in the order of `content.in_proportion`.
    """

    train: NDArray[np.int64]
    """Trained on: those of the other folds."""
    val: NDArray[np.int64]
    """Scored on: those of this fold."""


def folds_of(digests: Sequence[bytes], strata: Sequence[int], count: int, seed: int) -> tuple[Fold, ...]:
    """Divide images into folds.

    Args:
        digests: of the content of each.
        strata: the class of each, or what else folds are to hold in proportion (`Task.strata`).
        count: of folds, 2 or more.
        seed: of the split.
    """
    numbers = fold_numbers(digests, strata, count, seed)

    def ordered(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.array(in_proportion(np.flatnonzero(chosen).tolist(), digests, strata), dtype=np.int64)

    return tuple(Fold(ordered(numbers != number), ordered(numbers == number)) for number in range(1, count + 1))


def fold_numbers(digests: Sequence[bytes], strata: Sequence[int], count: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each image, from 1, or `IN_NONE`; see `folds_of`."""
    groups: dict[bytes, int] = {}
    for digest, stratum in zip(digests, strata, strict=True):
        groups[digest] = min(stratum, groups.get(digest, stratum))  # of an image that has several
    members: dict[int, list[bytes]] = defaultdict(list)
    for digest, stratum in groups.items():
        members[stratum].append(digest)
    found: dict[bytes, int] = {}
    for stratum, contents in members.items():
        found |= _divided(contents, stratum, count, seed)
    return np.array([found[digest] for digest in digests], dtype=np.int64)


def _divided(contents: Sequence[bytes], stratum: int, count: int, seed: int) -> dict[bytes, int]:
    """Return the folds of the contents of one class."""
    if len(contents) == 1:
        return {contents[0]: IN_NONE}
    each, more = divmod(len(contents), count)
    room = [each] * count
    for place in range(more):  # begun with another fold by each class, so that folds are of about one size
        room[(stratum + place) % count] += 1
    found, late = dict[bytes, int](), list[tuple[bytes, int]]()
    for digest in sorted(contents, key=lambda digest: (chance(digest, "turn", seed), digest)):
        wanted = int(chance(digest, "fold", seed) * count)
        if room[wanted]:
            room[wanted] -= 1
            found[digest] = wanted + 1
        else:
            late.append((digest, wanted))
    for digest, wanted in late:
        free = next(fold for fold in range(wanted, wanted + count) if room[fold % count]) % count
        room[free] -= 1
        found[digest] = free + 1
    return found


def check_folds(
    folds: Sequence[Fold], targets: NDArray[Any], classes: tuple[str, ...], what: str, task: Task, *, kind: str
) -> str:
    """Return what a user should know of folds, in a sentence.

    Args:
        folds: of some images.
        targets: of these, `(n, ...)`.
        classes: their names.
        what: the data are, for messages.
        task: what is to be learned.
        kind: images or series.

    Raises:
        DataError: a fold is empty, or something cannot be learned without it.
    """
    count = len(folds)
    for number, fold in enumerate(folds, start=1):
        if not len(fold.val):
            raise DataError(
                f"{what}: fold {number} of {count} has no {kind}, since training and validation have {len(targets):,} "
                "together: data.folds must be smaller"
            )
        task.check(targets[fold.train], classes, f"{what}, without fold {number} of {count}")
    sizes = [len(fold.val) for fold in folds]
    few, many = min(sizes), max(sizes)
    each = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    alone = len(targets) - sum(sizes)
    kept = f", but for {alone:,} of which no other shows the class, which are always trained on" if alone else ""
    return (
        f"the {len(targets):,} {kind} of training and validation are in {count} folds of {each}{kept}: each network is "
        f"trained {count} times, on all folds but one, and scored on that one"
    )
