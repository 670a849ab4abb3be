"""Which data set, and how it is split and augmented. Never loads torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nas.errors import ConfigError, nearest
from nas.exporting.series_words import MISSING, REFUSE
from nas.own_code import referred
from nas.settings import Range, check_settings, setting
from nas.training.data.registry import DATA_SETS
from nas.training.tasks.task import Task

AUGMENTATIONS = ("none", "shift", "shift_flip")
BALANCES = ("none", "weights", "sampler")
FITS = ("crop", "pad", "squash")
BACKGROUNDS = {"white": "#ffffff", "black": "#000000", "grey": "#808080"}
"""Colours by name."""
DROP = "drop"
"""A background that is none: transparency is dropped, so that the colours below it show."""
OWN = "own"
"""The data set that `data.module` names."""
AUTO, NONE = "auto", "none"
"""Words of `data.cache`."""
MASKS = (AUTO, "yes", "no")
MOST_FOLDS = 100
_COLOUR = re.compile("#[0-9a-f]{6}", re.IGNORECASE)
_DEPTH = Range(8, 16, whole=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Settings of a data set. What a data set does not use is ignored by it."""

    name: str = setting("digits", ", ".join(DATA_SETS))
    root: str | None = setting(
        None,
        "folder with the files, or the file; cells, digits, mnist1d and synthetic have none; own is given it where it "
        "takes root",
        may_change=True,
        typed="path",
    )
    module: str | None = setting(
        None,
        "of own: FILE.py:NAME, a class of yours, or a function that makes an object, with `classes` and `train()`, and "
        "`val()` and `test()` where it has such splits",
        typed="code",
    )
    labels: str | None = setting(
        None,
        "of image_folder: a CSV or TSV file under data.root with a column of files and one of their classes (and one "
        "of splits, where it is called split); null: the folders are the classes",
        typed="text",
    )
    target: str | None = setting(
        None,
        "of data.labels: a column of numbers that is learned in place of classes (regression), or several, as "
        "'width|height', whose scores are means over them: with other units each search.objective=val_r2",
        typed="text",
    )
    ignore: int | None = setting(
        255,
        "of mask_folder: the level of pixels of which a mask says nothing, which are not counted; null: none",
        Range(0, 255, whole=True),
        before=255,
    )
    file_column: str | None = setting(None, "of data.labels: the column that names the files; null: found")
    label_column: str | None = setting(
        None, "of data.labels: the column that has the classes, several of a file as a|b; null: found"
    )
    length: int | None = setting(
        None,
        "of series: steps that a series is brought to, longer ones being cut at their end and steps behind shorter "
        "ones being absent; null: the longest of the training split",
        Range(2, 2**24, whole=True),
    )
    mask: str = setting(
        AUTO,
        "of series: whether networks are given one channel more, 1 at steps with a value and else 0; auto: where a "
        "series of the training split has absent steps",
        MASKS,
    )
    missing: str = setting(
        REFUSE,
        "of series: what is done where values are missing; mean reads them as the mean of the channel over the "
        "training split",
        MISSING,
    )
    bad: str = setting(
        "refuse",
        "what is done where files of image_folder or mask_folder cannot be used: refuse names all of them, skip leaves "
        "them out",
        ("refuse", "skip"),
        may_change=True,
    )
    split_seed: int = setting(
        0,
        "of the split; apart from the search's seed, so that studies share their test split",
        Range(0, 2**32 - 2, whole=True),  # scheme 1 draws the validation split with the next seed
    )
    split_scheme: int = setting(
        3,
        "3: an image's split follows from its content, so that no other image moves it; 2: the same, without "
        "transparency and with 8 bits a level, of the files that image_folder read before there was 3; 1: from its "
        "place among the others, as before there was 2",
        Range(1, 3, whole=True),
        before=1,
    )
    val_fraction: float = setting(
        0.2,
        "share of the training images held out for validation, where the data have no such split; of schemes 2 and "
        "3 the probability of each",
        Range(0, 1, above=True, below=True),
    )
    test_fraction: float = setting(
        0.2,
        "share of all images held out for the test, where the data have no such split; of schemes 2 and 3 the "
        "probability of each",
        Range(0, 1, above=True, below=True),
    )
    train_fraction: float = setting(
        1.0,
        "share of the training split that is trained on, always the same; classes in their proportions, with at least "
        "an image of each",
        Range(0, 1, above=True),
    )
    folds: int = setting(
        0,
        "k-fold validation: training and validation images are divided into so many folds by content, each network is "
        "trained once a fold, on the others, and its scores are the means over the folds; 0: one training, scored on "
        "the validation split",
        Range(0, MOST_FOLDS, whole=True),
        before=0,
    )
    augment: str = setting(
        "none", f"{', '.join(AUGMENTATIONS)}: shifts by up to an eighth of the size, and mirror images", AUGMENTATIONS
    )
    balance: str = setting(
        "none",
        f"{', '.join(BALANCES)}, for classes of uneven size: weights has each class weigh the same in the training "
        "loss, sampler draws each equally often, with replacement, in as many steps as before",
        BALANCES,
        before="none",
    )
    resolution: int | None = setting(
        None,
        "size that folders and hf bring their images to, and that of synthetic ones and of cells",
        Range(1, 16_384, whole=True),
    )
    channels: int = setting(3, "1 for grey or 3 for colour, of folders, hf, cells and synthetic")
    fit: str = setting(
        "crop",
        f"{', '.join(FITS)}: whether images of folders with other proportions are scaled to cover the size, and "
        "cut; to fit into it, on the background; or to have its sides, which distorts them",
        FITS,
    )
    background: str = setting(
        "white",
        f"colour that transparency in files is laid on: {', '.join(BACKGROUNDS)} or #rrggbb; {DROP}: transparency is "
        "dropped, as in studies from before there was a background",
        typed="text",
        before=DROP,
    )
    depth: int | str = setting(
        "auto",
        "bits of the levels of files with 16 bits a level, 8 to 16; larger levels are white; auto: what the training "
        "images need together, or say that they have",
        before=16,
    )
    max_pixels: int = setting(
        100_000_000,
        "a file with more is refused by its header, before it is decoded",
        Range(1, 2**40, whole=True),
        may_change=True,
        before=178_956_970,  # more was an error of pillow's
    )
    num_classes: int = setting(10, "of synthetic", Range(2, 2**20, whole=True))
    samples: int = setting(1000, "number of images of synthetic and of cells", Range(10, 10_000_000, whole=True))
    memory_mib: int = setting(
        4096,
        "images up to this size are kept in memory; larger ones are read batch by batch from folders, hf and .npy "
        "files, and refused from .npz and IDX files",
        Range(0, 2**24, whole=True),
    )
    cache: str = setting(
        AUTO,
        "of image_folder: the folder where its pixels are kept, decoded once for all processes; auto: in the user's "
        "folder for caches, where there are 5,000 files or 64 MiB of them; none: nowhere",
        may_change=True,
        typed="path",
        words=(AUTO, NONE),
    )

    @property
    def task(self) -> Task:
        """What is to be learned; a table of labels is looked at for it.

        Raises:
            DataError: the table cannot be read.
        """
        return DATA_SETS[self.name].task(self)

    def known_shape(self) -> tuple[tuple[int, ...], int] | None:
        """Return shape and number of classes where they are known without reading the data, else None."""
        return DATA_SETS[self.name].shape(self)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in DATA_SETS:
            raise ConfigError(f"data.name: unknown data set {self.name!r}. {nearest(self.name, DATA_SETS)}")
        check_settings(self, "data")
        if not DATA_SETS[self.name].has_test_split and self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                f"data: `val_fraction + test_fraction < 1` must hold, so that something is left to train on, but got "
                f"{self.val_fraction:g} + {self.test_fraction:g}"
            )
        self._check_folds()
        self._check_module()
        self._check_pictures()
        self._check_series()
        if self.target is not None and (self.name != "image_folder" or self.labels is None):
            raise ConfigError(f"data.target is of data=image_folder with data.labels=FILE, but got {self.target!r:.80}")
        if self.target is not None and self.label_column is not None:
            raise ConfigError("data.target and data.label_column: numbers are learned, or classes; give one of the two")
        if self.channels not in (1, 3):
            raise ConfigError(f"data.channels must be 1 or 3, but got {self.channels}")
        if self.resolution is not None and not DATA_SETS[self.name].resizes:
            resized = " and ".join(name for name, data_set in DATA_SETS.items() if data_set.resizes)
            raise ConfigError(f"data.resolution is of {resized}; {self.name} keeps its size, but got {self.resolution}")

    def _check_folds(self) -> None:
        """Check what is said of k-fold validation."""
        if not self.folds:
            return
        if self.folds == 1:
            raise ConfigError(
                "data.folds must be 2 or more, such as 5, or 0 for one training of each network, but got 1"
            )
        if self.split_scheme == 1:
            raise ConfigError(
                f"data.folds={self.folds} divides images by content, which data.split_scheme=1 does not; set it to 3"
            )
        if self.train_fraction < 1:
            raise ConfigError(
                f"data.folds={self.folds} is for all images of training and validation, but data.train_fraction is "
                f"{self.train_fraction:g}; set it to 1, or data.folds to 0"
            )

    def _check_module(self) -> None:
        """Check what is said of a data set of the user's own."""
        if self.name != OWN and self.module is not None:
            raise ConfigError(f"data.module is of data=own, but data is {self.name}, got {self.module!r:.80}")
        for where, text in self.own_code:
            referred(text, where)

    @property
    def own_code(self) -> tuple[tuple[str, str], ...]:
        """What it takes from files of the user's: the path of the setting, and what that holds (`nas.own_code`)."""
        return () if self.module is None else (("data.module", self.module),)

    def _check_series(self) -> None:
        """Check what is said of series, and of what series have not."""
        if DATA_SETS[self.name].series:
            if self.augment == "shift_flip":
                raise ConfigError("data.augment=shift_flip mirrors images; for series it must be none or shift")
            if self.split_scheme == 1:
                raise ConfigError(f"data.split_scheme=1 is of images; {self.name} must have 3, or 2, which is the same")
            return
        for name in ("length", "mask", "missing"):
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default:
                raise ConfigError(f"data.{name} is of series; {self.name} has images, but got {value}")

    def _check_pictures(self) -> None:
        """Check what is said of how files of images are read."""
        if self.background not in (*BACKGROUNDS, DROP) and not _COLOUR.fullmatch(self.background):
            raise ConfigError(
                f"data.background must be #rrggbb or a name, but got {self.background!r:.80}. "
                f"{nearest(self.background, (*BACKGROUNDS, DROP))}"
            )
        if self.depth != "auto":
            if isinstance(self.depth, str):
                raise ConfigError(f"data.depth must be auto or a whole number from 8 to 16, but got {self.depth!r:.80}")
            object.__setattr__(self, "depth", _DEPTH.checked("data.depth", self.depth))
        if not self.cache:
            raise ConfigError(f"data.cache must be a folder, {AUTO} or {NONE}, but got {self.cache!r}")
        if self.fit != "crop" and not DATA_SETS[self.name].files:
            fitted = " and ".join(name for name, data_set in DATA_SETS.items() if data_set.files)
            raise ConfigError(f"data.fit is of {fitted}; {self.name} has images of one size, but got {self.fit}")
        if (self.fit, self.background) == ("pad", DROP):
            raise ConfigError(f"data.fit=pad needs a colour as data.background, but got {DROP}")
