"""`nas data ROOT`: what a data set holds, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.console import run
from nas.errors import ConfigError, in_a_line
from nas.json_output import add_facts
from nas.run_folder import shown, user_path, write_whole
from nas.settings import Range, check_settings, setting, settings_from
from nas.to_type import to_type
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files

if TYPE_CHECKING:
    from nas.training.data.overview import Overview

_SHOWN = 20
"""Classes that are printed at most, and folds."""
_SMALL = 64
"""Pixels along the longer side of images for which the space `small_images` is made, at most."""


@dataclass(frozen=True, kw_only=True)
class DataCommandConfig:
    """Settings of `nas data`."""

    page: str | None = setting(None, "also write what was found to this page, with images of each class", typed="text")
    samples: int = setting(6, "images of each class on the page", Range(0, 100, whole=True))
    data: DataConfig = setting(
        DataConfig,
        "which data set; of ROOT given as the first word it shows: a folder of images, of images and masks, or of "
        "series, a table of images with their labels, a file of series (.ts, .tsv, .csv), or an .npz file",
    )

    def __post_init__(self) -> None:
        check_settings(self, "")


def data_command(values: Mapping[str, Any], typed: Sequence[str] = ()) -> int:
    """Say what a data set holds, and how to search on it.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave.

    Returns:
        The exit code.
    """
    return run("nas.data", lambda: _data(settings_from(DataCommandConfig, values), _as_typed(values, typed)))


def _as_typed(values: Mapping[str, Any], typed: Sequence[str]) -> list[str]:
    """Return the settings of the data, as they are typed for another command."""
    found = [f"data={values['data']['name']}"]
    for path in dict.fromkeys(typed):
        group, _, name = path.partition(".")
        value = values["data"].get(name) if group == "data" else None
        if value is not None:
            found.append(f"{path}={str(value).lower() if isinstance(value, bool) else value}")
    return found


def _data(config: DataCommandConfig, as_typed: Sequence[str]) -> None:
    check_files(config.data)
    print("Loading torch and the data ...", flush=True)
    from nas.reports.data_page import data_page, lines_of
    from nas.training.data.load import notes_elsewhere
    from nas.training.data.overview import overview, samples

    with notes_elsewhere():  # among the lines below
        found = overview(config.data)
    add_facts(found.to_dict())
    print("\n".join(lines_of(found)))
    names = [*map(in_a_line, found.classes[:_SHOWN])]
    width = max(5, *map(len, names))
    columns = {**found.images_by_class, **{f"fold {n}": one for n, one in enumerate(found.folds[:_SHOWN], start=1)}}
    print(f"\n{'class':{width}}" + "".join(f"{column:>9}" for column in columns))
    for label, name in enumerate(names):
        print(f"{name:{width}}" + "".join(f"{counts[label]:9,}" for counts in columns.values()))
    if len(found.classes) > _SHOWN:
        print(f"... and {len(found.classes) - _SHOWN:,} more")
    if config.page is not None:
        page = user_path(config.page)
        try:
            write_whole(page, data_page(found, samples(config.data, config.samples)))
        except OSError as error:
            raise ConfigError(f"page: {page} cannot be written: {error.strerror}") from None
        add_facts({"page": page})
        print(f"\nPage: {shown(page.absolute())}")
    _say_next(found, as_typed)


def _say_next(found: Overview, as_typed: Sequence[str]) -> None:
    space = f"+space={_space_for(found)}"
    search = to_type("search", space, *as_typed, "constraints.params=2e5", "search.minutes=30")
    add_facts({"next": search})
    print(f"\nNext: {search}\n  limit and minutes are examples: nas advise --help helps to choose a space and limits")


def _space_for(found: Overview) -> str:
    """Return a space that may be searched on such data."""
    if found.segments:
        return "unet"
    if len(found.input_shape) == 2:
        return "conv1d"
    return "small_images" if max(found.input_shape[1:]) <= _SMALL else "mbconv"
