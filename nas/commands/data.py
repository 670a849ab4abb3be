"""`nas data ROOT`: what a data set holds, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.console import run
from nas.errors import ConfigError, in_a_line
from nas.json_output import add_facts
from nas.run_folder import shown, user_path, write_whole
from nas.settings import Range, check_settings, setting, settings_from
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files

_SHOWN = 20
"""Classes that are printed at most, and folds."""


@dataclass(frozen=True, kw_only=True)
class DataCommandConfig:
    """Settings of `nas data`."""

    page: str | None = setting(None, "also write what was found to this page, with images of each class", typed="text")
    samples: int = setting(6, "images of each class on the page", Range(0, 100, whole=True))
    data: DataConfig = setting(
        DataConfig, "which data set; ROOT given as the first word is a folder of images, or of series (.ts, .tsv, .csv)"
    )

    def __post_init__(self) -> None:
        check_settings(self, "")


def data_command(values: Mapping[str, Any]) -> int:
    """Say what a data set holds.

    Args:
        values: settings as plain values.

    Returns:
        The exit code.
    """
    return run("nas.data", lambda: _data(settings_from(DataCommandConfig, values)))


def _data(config: DataCommandConfig) -> None:
    check_files(config.data)
    print("Loading torch and the data ...", flush=True)
    from nas.reports.data_page import data_page, lines_of
    from nas.training.data.overview import overview, samples

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
