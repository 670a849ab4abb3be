"""Which image of a data set is in which split of schemes 2 and 3 (`nas.training.data.content`), and what to know of it.

It needs of the images no more than their contents and classes, and never loads torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError, in_a_line
from nas.exporting.reading import Reading
from nas.network.ops import Shape
from nas.training.data.config import DataConfig
from nas.training.data.content import SPLITS, TEST, TRAIN, VAL, assign, fingerprint, first_part, in_proportion
from nas.training.data.folds import Fold, folds_of
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.task import Task

Targets = NDArray[Any]

_MAX_NAMED = 5
_LONGEST_NAME = 200
"""Images that a note names at most."""


@dataclass(frozen=True, eq=False)
class Contents:
    """Images before they are split."""

    labels: Sequence[int]
    """The class of each."""
    digests: Sequence[bytes]
    """Of the content of each."""
    name: Callable[[int], str]
    """Names an image, by its place, for messages."""
    targets: Targets | None = field(default=None, kw_only=True)
    """What each is to be told as, `(n, ...)`, where that is not one class: `labels` then say nothing."""


@dataclass(frozen=True, eq=False)
class Division:
    """The images of a data set, those of its own splits one after another, and the split of each."""

    labels: Sequence[int]
    """The class of each, or its stratum (`Task.strata`)."""
    digests: Sequence[bytes]
    """Of the content of each."""
    places: Mapping[str, Sequence[int]]
    """By split, its images in the order of `content.in_proportion`."""
    notes: tuple[str, ...] = ()
    """What a user should know of it, in sentences."""
    reading: Reading | None = None
    """How files are read; None where images are no files."""
    targets: Targets | None = None
    """As in `Contents`."""

    def with_part(self, fraction: float) -> Mapping[str, Sequence[int]]:
        """Return the images of each split, of the training split a part (`content.first_part`)."""
        if fraction >= 1:
            return self.places
        labels = np.array([self.labels[place] for place in self.places[TRAIN]], dtype=np.int64)
        return {**self.places, TRAIN: [self.places[TRAIN][i] for i in first_part(labels, fraction)]}

    def folds(self, count: int, seed: int) -> tuple[Fold, ...]:
        """Divide the images of the training and the validation split into folds, by their places among these.

        The places are those in the training split, and behind these in the validation split.

        Args:
            count: of folds.
            seed: of the split.
        """
        places = [*self.places[TRAIN], *self.places[VAL]]
        return folds_of(
            [self.digests[place] for place in places], [self.labels[place] for place in places], count, seed
        )

    def fingerprint(self, fraction: float, shape: Shape) -> str:
        """Return the fingerprint of the splits with a part of the training split (`content.fingerprint`)."""
        marks = self.digests
        if self.targets is not None:
            marks = [digest + row.tobytes() for digest, row in zip(self.digests, self.targets, strict=True)]
        return fingerprint(marks, self.labels, self.with_part(fraction), shape)

    def targets_of(self, places: Sequence[int]) -> NDArray[Any]:
        """Return what images are to be told as, by their places: classes `(n,)`, or `(n, outputs)`."""
        return _targets_of(places, self.labels, self.targets)


def divide(
    config: DataConfig,
    classes: tuple[str, ...],
    given: Mapping[str, Contents],
    *,
    notes: Sequence[str] = (),
    settle: Callable[[Sequence[int]], tuple[Reading, Sequence[str]]] | None = None,
    task: Task = DEFAULT,
) -> Division:
    """Split the training images of a data set, as far as it has no splits of its own.

    An image that is in two splits of the data set's own is left out of the one that is nearer to training: a test on
    what was trained on, or chosen by, would say too much. A split of which that is more than half is refused: whoever
    copied it hardly meant to train without these images.

    Args:
        config: of the data set.
        classes: their names.
        given: the splits that it has: training images, and those of the others where it has them.
        notes: what else a user should know, in sentences.
        settle: told which of the training images that the data have are trained on, by their places, it returns how
            files are read, and sentences about that; None where images are no files.
        task: what is to be learned; splits hold its `strata` as they else hold classes.

    Raises:
        DataError: a split of which more than half is in another.
    """
    all_images = _Images(given, classes, task)
    places = {split: [*all_images.of(split)] for split in given}
    all_images.check_copies(places, config.name)
    said = [*notes, *all_images.leave_out(places), *all_images.copies(places), *all_images.conflicts()]
    shares = {TEST: config.test_fraction, VAL: config.val_fraction}
    shares = {split: share for split, share in shares.items() if split not in given}
    found = assign(
        [all_images.digests[place] for place in places[TRAIN]],
        [all_images.labels[place] for place in places[TRAIN]],
        shares,
        config.split_seed,
    )
    said += all_images.moves(found.moved)
    drawn = defaultdict[str, list[int]](list)
    for place, split in zip(places[TRAIN], found.splits, strict=True):
        drawn[split].append(place)
    places |= {split: drawn[split] for split in (TRAIN, *shares)}
    said += all_images.absent(places)
    places = {split: in_proportion(places[split], all_images.digests, all_images.labels) for split in SPLITS}
    reading = None
    if settle is not None:  # all of the training split, so that a part of it is read as the whole is
        reading, more = settle(places[TRAIN])
        said += more
    return Division(all_images.labels, all_images.digests, places, tuple(said), reading, all_images.targets)


def _targets_of(places: Sequence[int], labels: Sequence[int], targets: Targets | None) -> NDArray[Any]:
    if targets is None:
        return np.array([labels[place] for place in places], dtype=np.int64)
    return targets[np.array(places, dtype=np.int64)]


class _Images:
    """All images of a data set one after another, those of its own splits too."""

    def __init__(self, given: Mapping[str, Contents], classes: tuple[str, ...], task: Task) -> None:
        self._given, self._classes, self._task = given, classes, task
        self.digests = [digest for source in given.values() for digest in source.digests]
        self.labels = [label for source in given.values() for label in source.labels]
        held = [source.targets for source in given.values() if source.targets is not None]
        self.targets = np.concatenate(held) if held else None
        if self.targets is not None:
            self.labels = task.strata(self.targets).tolist()
        ends = np.cumsum([0, *(len(source.labels) for source in given.values())]).tolist()
        self._first = dict(zip(given, ends, strict=False))

    def of(self, split: str) -> range:
        """Places of the images of a split of the data set's own."""
        return range(self._first[split], self._first[split] + len(self._given[split].labels))

    def _split(self, place: int) -> str:
        return next(split for split in reversed(self._first) if place >= self._first[split])

    def name(self, place: int) -> str:
        """Name an image, with its class, or what else it is told as."""
        split = self._split(place)
        name = in_a_line(self._given[split].name(place - self._first[split]), _LONGEST_NAME)
        return f"{name} ({in_a_line(self._told(place), _LONGEST_NAME)})"

    def _told(self, place: int) -> str:
        if self.targets is None:
            return self._classes[self.labels[place]]
        return self._task.told(self.targets[place], self._classes)

    def check_copies(self, places: Mapping[str, Sequence[int]], name: str) -> None:
        """Raise `DataError` where more than half of the images of a split are in one that is nearer to training too."""
        for later, earlier in ((VAL, TRAIN), (TEST, TRAIN), (TEST, VAL)):
            own, held = places.get(later, ()), {self.digests[place] for place in places.get(earlier, ())}
            copies = [place for place in own if self.digests[place] in held]
            if 2 * len(copies) > len(own):
                raise DataError(
                    f"data {name}: {later} must be other images than {earlier}, but {len(copies):,} of its "
                    f"{len(own):,} images are in {earlier} too: {self._some(copies)}. Without {later} a share of the "
                    f"training images is held out instead (data.{later}_fraction); or take these images out of one of "
                    "the two"
                )

    def leave_out(self, places: dict[str, list[int]]) -> list[str]:
        """Take images out of a split that are in a later one too; return sentences that say so."""
        notes = []
        for later in (TEST, VAL):
            held = {self.digests[place] for place in places.get(later, ())}
            for split in SPLITS[: SPLITS.index(later)]:
                out = [place for place in places.get(split, ()) if self.digests[place] in held]
                if out:
                    places[split] = [place for place in places[split] if self.digests[place] not in held]
                    them = "it" if len(out) == 1 else "them"
                    notes.append(f"{_images(out)} left out of {split}, since {later} has {them} too: {self._some(out)}")
        return notes

    def copies(self, places: Mapping[str, Sequence[int]]) -> list[str]:
        """Return a sentence that says which images of a split are copies of others in it, where there are any."""
        groups: dict[bytes, list[int]] = defaultdict(list)
        for own in places.values():
            for place in own:
                groups[self.digests[place]].append(place)
        several = [group for group in groups.values() if len(group) > 1]
        some = "; ".join(" is ".join(map(self.name, group[:2])) for group in several[:_MAX_NAMED])
        count = f"{sum(map(len, several)):,} images are copies, in {len(several):,} group{'s' * (len(several) > 1)}"
        return [f"{count} of equal content, each in one split: {some}{_more(several)}"] if several else []

    def conflicts(self) -> list[str]:
        """Return a sentence that says which images have several classes, where there are any."""
        places: dict[bytes, dict[str, int]] = defaultdict(dict)
        for place, digest in enumerate(self.digests):
            places[digest].setdefault(self._told(place), place)
        odd = [[*by_label.values()] for by_label in places.values() if len(by_label) > 1]
        some = "; ".join(" is ".join(map(self.name, same)) for same in odd[:_MAX_NAMED])
        what = self._task.outputs
        return [f"{_images(odd)} in several {what}, at most one of which is right: {some}{_more(odd)}"] if odd else []

    def moves(self, moved: Mapping[bytes, str]) -> list[str]:
        """Return sentences that say which images are elsewhere than their content says."""
        notes = []
        for split in SPLITS:
            digests = {digest for digest, into in moved.items() if into == split}
            if digests:
                places = [place for place in self.of(TRAIN) if self.digests[place] in digests]
                notes.append(
                    f"{_images(digests)} in {split} by exception, since a class would have none there: "
                    f"{self._some(places)}. With more images of the class it may be another"
                )
        return notes

    def absent(self, places: Mapping[str, Sequence[int]]) -> list[str]:
        """Return sentences that say which classes have no image in validation or test."""
        notes = []
        for split in (VAL, TEST):
            counts = self._task.counts(_targets_of(places[split], self.labels, self.targets), len(self._classes))
            names = [name for name, count in zip(self._classes, counts, strict=True) if not count]
            if names and places[split]:
                some = ", ".join(names[:_MAX_NAMED]) + _more(names)
                count = f"{len(names):,} class{'es' * (len(names) > 1)}"
                notes.append(f"{split} has no image of {count}, of which its scores say nothing: {some}")
        return notes

    def _some(self, places: Sequence[int]) -> str:
        return ", ".join(map(self.name, places[:_MAX_NAMED])) + _more(places)


def _more(found: Sized) -> str:
    return ", ..." if len(found) > _MAX_NAMED else ""


def _images(found: Sized) -> str:
    return f"{len(found):,} image{'s are' if len(found) > 1 else ' is'}"
