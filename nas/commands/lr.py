"""`nas lr ARCH`: which learning rate a network takes, by a range test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.network_argument import WAYS, read_for_data, with_recorded_data
from nas.console import run
from nas.errors import ConfigError
from nas.json_output import add_facts, plain_values
from nas.machine import check_accelerator
from nas.names import check_name
from nas.resume import study_folder
from nas.run_folder import shown, user_path, write_whole
from nas.settings import SEED, Range, check_settings, setting, settings_from
from nas.to_type import to_type
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files, check_recipe
from nas.training.recipe import Recipe
from nas.training.transfer.settings import Transfer

if TYPE_CHECKING:
    from nas.training.lr_range import RangeTest

_SETTINGS, _RESULTS, _PICTURE = "settings.json", "lr_range.json", "lr_range.png"
_RATE = Range(0, 1000, above=True)
_SAID = 10
"""Lines of a test."""


@dataclass(frozen=True, kw_only=True)
class LrConfig:
    """All settings of a learning-rate range test."""

    network: str | None = setting(
        None, "given as the first word: an architecture file, a run folder, or a space such as reference/resnet18",
        typed="text",
    )  # fmt: skip
    genotype: str | None = setting(None, "the decisions of a space with choices: JSON, or a .json file", typed="text")
    resolution: int | None = setting(
        None,
        "size of the images that a network of a space takes, which those of the data are resized to; null: theirs",
        Range(1, 10_000, whole=True),
    )
    low: float = setting(1e-6, "learning rate of the first step", _RATE)
    high: float = setting(10.0, "learning rate of the last step, where the loss does not diverge before", _RATE)
    steps: int = setting(
        140, "steps from low to high, each with a rate that is a factor higher", Range(27, 100_000, whole=True)
    )
    seed: int = setting(0, "of weights, order and augmentation", SEED)
    accelerator: str = setting("auto", "auto, cpu or gpu")
    name: str | None = setting(None, "of the folder in dir; null makes one from the time", typed="text")
    dir: str = setting("runs", "holds a folder a test", typed="path")
    data: DataConfig = setting(DataConfig, "which data set, and how it is split and augmented")
    train: Recipe = setting(Recipe, "how the network is trained; lr and the schedule do not count")
    transfer: Transfer = setting(Transfer, "weights to begin with")

    def __post_init__(self) -> None:
        check_settings(self, "")
        if self.network is None:
            raise ConfigError(f"which network? nas lr ARCH ...: {WAYS}")
        if not self.low < self.high:
            raise ConfigError(f"`low < high` must hold, but got low={self.low:g}, high={self.high:g}")
        check_accelerator(self.accelerator)
        check_name(self.name)


def lr_command(values: Mapping[str, Any], typed: Iterable[str]) -> int:
    """Test learning rates as some settings say.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave.

    Returns:
        The exit code.
    """
    return run("nas.lr", lambda: _test(values, list(typed)))


def _test(values: Mapping[str, Any], typed: list[str]) -> None:
    network = values.get("network")
    brought = with_recorded_data(values, typed, network if isinstance(network, str) else None)
    config = settings_from(LrConfig, brought)
    check_files(config.data)
    print("Loading torch and the data ...", flush=True)
    from nas.training.data.load import load_data
    from nas.training.lr_range import lr_range_test

    data = load_data(config.data)
    architecture = read_for_data(config.network or "", config.genotype, config.resolution, data)
    check_recipe(config.data, config.train)
    every = -(-config.steps // _SAID)

    def say(step: int, rate: float, loss: float) -> None:
        if step % every == 0 or step == config.steps:
            print(
                f"  step {step:{len(str(config.steps))}}/{config.steps}  rate {rate:.2g}  loss {loss:.4g}", flush=True
            )

    root = user_path(config.dir)
    with study_folder(root, config.name, resume=False, settings=_SETTINGS, stem="lr", what="range test") as held:
        found = lr_range_test(
            architecture,
            data,
            config.train,
            low=config.low,
            high=config.high,
            steps=config.steps,
            seed=config.seed,
            augment=config.data.augment,
            balance=config.data.balance,
            accelerator=config.accelerator,
            transfer=config.transfer,
            say=say,
        )
        _write(found, config, held.path)


def _write(found: RangeTest, config: LrConfig, folder: Path) -> None:
    from nas.training.curves import draw_range_test

    write_whole(folder / _SETTINGS, json.dumps({**asdict(config), "name": folder.name}, indent=1) + "\n")
    write_whole(folder / _RESULTS, json.dumps(plain_values(found.to_dict()), indent=1, allow_nan=False) + "\n")
    draw_range_test(folder / _PICTURE, found)
    add_facts({**found.to_dict(), "folder": folder, "picture": folder / _PICTURE})
    print(f"\n{_sentence(found)}\nLoss over the learning rate: {shown(folder / _PICTURE)}")
    if found.suggested is not None:
        print(
            f"Next:\n  {to_type('train', str(config.network), f'train.lr={found.suggested:.2g}')}"
            "   and the other settings of this test"
        )


def _sentence(found: RangeTest) -> str:
    """Say what was found, and what it is worth."""
    end = f"it diverged at {found.diverged_at:.2g}" if found.diverged_at is not None else "it did not diverge"
    if found.suggested is None:
        return f"No learning rate is suggested: {found.problem}; {end}."
    return (
        f"The loss falls fastest at a learning rate of {found.suggested:.2g} and is lowest at {found.lowest_at:.2g}; "
        f"{end}.\n"
        "That is a place to begin from: of one short training, by its training loss alone, for this batch size and "
        "optimiser. A whole training tells which rate is best."
    )
