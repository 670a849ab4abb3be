"""All settings of `nas finish`. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import ConfigError
from nas.finishing.settings import FinishSettings
from nas.machine import check_accelerator, check_workers
from nas.names import name_problem
from nas.settings import check_settings, setting
from nas.training.devices import DEVICES, DEVICES_DOC, check_devices
from nas.training.recipe import Recipe
from nas.training.transfer.settings import Transfer


@dataclass(frozen=True, kw_only=True)
class FinishConfig:
    """All settings of one finish. `conf/finish.yaml` says what each means."""

    run: str | None = setting(
        None, "the run folder of a search, given as the first word", may_change=True, typed="text"
    )
    finish: FinishSettings = setting(FinishSettings, "what is trained anew, and what it is compared with")
    root: str | None = setting(
        None, "folder with the files of the data, where they were moved since", may_change=True, typed="text"
    )
    workers: int | str = setting(
        "auto", "trainings at a time; auto is one a core, or one a GPU, or for each devices of them", may_change=True
    )
    accelerator: str = setting("auto", "auto, cpu or gpu", may_change=True)
    devices: int = setting(1, DEVICES_DOC, DEVICES, may_change=True)
    mlflow: bool = setting(True, "record in MLflow too", may_change=True)
    register: str | None = setting(
        None,
        "name in MLflow's model registry under which what is recommended becomes a version; null: none",
        may_change=True,
        typed="text",
    )
    train: Recipe = setting(Recipe, "the full recipe, by which finalists and baselines are trained anew")
    transfer: Transfer = setting(
        Transfer,
        "weights that finalists and baselines begin with, and what of them learns when; their own network is then the "
        "first of the published ones",
    )

    def __post_init__(self) -> None:
        if self.run is None:
            raise ConfigError("which search? Give its run folder: nas finish runs/NAME")
        check_settings(self, "")
        check_workers(self.workers)
        check_accelerator(self.accelerator)
        check_devices(self.devices, self.train, accelerator=self.accelerator, transfer=self.transfer)
        check_register(self.register)
        if self.register is not None and not self.mlflow:
            raise ConfigError("register is of MLflow, which mlflow=false leaves out")


def check_register(name: object) -> None:
    """Raise `ConfigError` where something is no name of a registered model of MLflow, or None for none."""
    if name is None:
        return
    if not isinstance(name, str):
        raise ConfigError(f"register must be a name, but got {name!r:.80}")
    problem = name_problem(name) or ("MLflow takes no ':' in it, but got " + ascii(name) if ":" in name else "")
    if problem:
        raise ConfigError(f"register: {problem}")
