"""Series in splits: by content, brought to one length, with mean and deviation of what is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from nas.errors import DataError
from nas.exporting.series_files import SeriesReading, brought, mask_of
from nas.exporting.series_words import MEAN
from nas.training.data.config import AUTO, DataConfig
from nas.training.data.content import SPLITS, TEST, TRAIN, VAL, digest_of
from nas.training.data.division import Contents, Division, divide
from nas.training.data.series_source import Series, Sources
from nas.training.data.splits import Images, MemoryImages, Splits, Statistics, splits_of

_MOST_NAMED = 5
_SOME = 1024
"""Series that are added up together."""
_IMAGES = re.compile(r"(?<= )images?(?=[ ,])")


def content_of(series: Series) -> bytes:
    """Return the digest of the content of a series as it was measured: not of what it is brought to.

    So its split is the same at any `data.length`, and in any kind of file. NaN of any kind is one.
    """
    values = np.where(np.isnan(series), np.float32(np.nan), series + np.float32(0)).astype("<f4")
    return digest_of(np.ascontiguousarray(values).view(np.uint8))


def split_series(config: DataConfig, sources: Sources) -> Splits:
    """Split series as `divide` does images, and bring them to one length, which follows from the training split.

    Raises:
        DataError: values are missing and are not to be, an empty split, one of which more than half is in another, a
            class or a channel without training series, or series that take too much memory.
    """
    everything = _Everything.of(sources)
    missing = everything.check_missing(config)
    contents = {
        split: Contents(given.labels.tolist(), [content_of(one) for one in given.series], given.name)
        for split, given in sources.given.items()
    }
    division = divide(config, sources.classes, contents, notes=sources.notes)
    reading = everything.settled(config, division.places[TRAIN])
    everything.check_memory(config, reading)
    places = division.with_part(config.train_fraction)
    shape = (reading.channels + reading.mask, reading.length)
    return splits_of(
        config,
        sources.classes,
        shape,
        train=everything.take(division, places[TRAIN], reading),
        val=everything.take(division, places[VAL], reading),
        test_labels=torch.from_numpy(division.targets_of(places[TEST])),
        test=partial(everything.take, division, places[TEST], reading),
        fingerprint=division.fingerprint(config.train_fraction, shape),
        notes=(*map(_of_series, division.notes), *missing, *everything.notes(division, reading)),
        reading=reading,
        statistics=partial(statistics_of_series, reading=reading, name=config.name),
        divide=partial(division.folds, seed=config.split_seed),
    )


def _of_series(note: str) -> str:
    """Return what is said of images as it is said of series."""
    return _IMAGES.sub("series", note)


@dataclass(frozen=True, eq=False)
class _Everything:
    """All series of a data set, those of its own splits one after another."""

    series: Sequence[Series]
    names: Sequence[str]

    @classmethod
    def of(cls, sources: Sources) -> _Everything:
        series = [one for given in sources.given.values() for one in given.series]
        names = [given.name(place) for given in sources.given.values() for place in range(len(given.series))]
        return cls(series, names)

    def check_missing(self, config: DataConfig) -> list[str]:
        """Return a sentence that says what is missing; raises `DataError` where nothing may be."""
        counts = [int(np.isnan(one).sum()) for one in self.series]
        places = [place for place, count in enumerate(counts) if count]
        if not places:
            return []
        some = (
            f"{', '.join(self.names[place] for place in places[:_MOST_NAMED])}{', ...' * (len(places) > _MOST_NAMED)}"
        )
        what = f"{len(places):,} series have {sum(counts):,} missing values: {some}"
        if config.missing != MEAN:
            raise DataError(
                f"data {config.name}: {what}. data.missing=mean reads them as the mean of their channel over the "
                "training split"
            )
        return [f"{what}, which are read as the mean of the training split"]

    def settled(self, config: DataConfig, trained_on: Sequence[int]) -> SeriesReading:
        """Return how series are read, by the training split where the config leaves it to that."""
        if not trained_on:
            raise DataError(f"data {config.name}: the training split has no series")
        train = [self.series[place] for place in trained_on]
        length = config.length or max(one.shape[1] for one in train)
        if length < 2:
            raise DataError(f"data {config.name}: series must have two steps at least, but the longest has {length}")
        absent = any(one.shape[1] < length or np.isnan(one[:, :length]).all(axis=0).any() for one in train)
        mask = absent if config.mask == AUTO else config.mask == "yes"
        return SeriesReading(len(train[0]), length, mask, config.missing)

    def check_memory(self, config: DataConfig, reading: SeriesReading) -> None:
        """Raise `DataError` where series of one length take more than may be kept: one may be far the longest."""
        size = len(self.series) * (reading.channels + reading.mask) * reading.length * 4 / 2**20
        if size > config.memory_mib:
            raise DataError(
                f"data {config.name}: {len(self.series):,} series of {reading.channels} x {reading.length:,} values "
                f"take {size:,.0f} MiB, more than data.memory_mib={config.memory_mib}: raise that, or cut them by "
                "data.length"
            )

    def take(self, division: Division, places: Sequence[int], reading: SeriesReading) -> Images:
        """Return some series, with their mask as the last channel where there is one."""
        values = brought([self.series[place] for place in places], reading)
        if reading.mask:
            values = np.concatenate([values, mask_of(values)], axis=1)
        return MemoryImages(torch.from_numpy(values), torch.from_numpy(division.targets_of(places)))

    def notes(self, division: Division, reading: SeriesReading) -> list[str]:
        """Return what a user should know of how series are brought to one length, in sentences."""
        lengths = [one.shape[1] for one in self.series]
        found = [f"series of {reading.channels} channel{'s' * (reading.channels > 1)} and {_range(lengths)} steps"]
        shorter = sum(length < reading.length for length in lengths)
        longer = sum(length > reading.length for length in lengths)
        if shorter:
            how = "which the mask tells" if reading.mask else "which are read as the mean, and nothing tells it"
            found.append(f"{shorter:,} are shorter than {reading.length:,}: steps behind them are absent, {how}")
        if longer:
            by_split = {
                split: sum(lengths[place] > reading.length for place in division.places[split]) for split in SPLITS
            }
            said = ", ".join(f"{count:,} of {split}" for split, count in by_split.items() if count)
            found.append(f"{longer:,} are longer than {reading.length:,} steps and are cut at their end: {said}")
        if reading.mask and not shorter:
            found.append("the mask tells the steps that are absent")
        return found


def _range(lengths: Sequence[int]) -> str:
    low, high = min(lengths), max(lengths)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def statistics_of_series(train: Images, *, reading: SeriesReading, name: str) -> Statistics:
    """Return mean and standard deviation of each channel over the values that are there; of the mask 0 and 1.

    Raises:
        DataError: a channel has no value at all.
    """
    count = np.zeros(reading.channels)
    total, squares = np.zeros(reading.channels), np.zeros(reading.channels)
    parts = torch.split(torch.arange(len(train.labels)), _SOME)
    for part in parts:
        values = train.read(part).numpy()[:, : reading.channels].astype(np.float64)
        count += (~np.isnan(values)).sum(axis=(0, 2))
        total += np.nansum(values, axis=(0, 2))
    if not count.all():
        raise DataError(f"data {name}: channel {int(np.argmin(count)) + 1} has no value in the training split")
    mean = total / count
    for part in parts:  # apart from the mean: squares of large numbers that differ little would cancel
        values = train.read(part).numpy()[:, : reading.channels].astype(np.float64) - mean[:, None]
        squares += np.nansum(values**2, axis=(0, 2))
    std = np.sqrt(squares / count)
    # A channel that never changes would divide by zero; its own unit is then the unit.
    std = np.where(std > 1e-6 * np.maximum(1e-6, np.abs(mean)), std, 1.0)
    of_mask = 1 if reading.mask else 0
    return (*mean.tolist(), *[0.0] * of_mask), (*std.tolist(), *[1.0] * of_mask)
