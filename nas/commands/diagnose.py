"""`nas diagnose ARCH...`: what happens inside networks, side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nas.commands.network_argument import WAYS, read_network, types_data, with_recorded_data
from nas.console import run
from nas.errors import ConfigError
from nas.json_output import add_facts, plain_values
from nas.names import check_name
from nas.records.server import server_of
from nas.resources import space_names
from nas.resume import RecordSettings, study_folder
from nas.run_folder import Held, shown, user_path, write_whole
from nas.settings import SEED, Range, check_settings, setting, settings_from
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files
from nas.training.diagnostics.names import MEASUREMENTS, check_measurements

if TYPE_CHECKING:
    from nas.training.diagnostics.results import Diagnosis, NetworkDiagnosis

_SETTINGS, _RESULTS, _PAGE = "settings.json", "diagnosis.json", "diagnosis.html"


@dataclass(frozen=True, kw_only=True)
class DiagnoseConfig:
    """All settings of a diagnosis."""

    networks: list[str] = setting(
        [],
        "given as words: architecture files, run folders, or spaces such as reference/resnet20_cifar",
        example="[reference/resnet20_cifar, runs/NAME]",
    )
    measure: list[str] = setting(list(MEASUREMENTS), "what is measured")
    images: int = setting(
        64, "training images in the one batch that is measured on, and validation images that are moved",
        Range(2, 100_000, whole=True),
    )  # fmt: skip
    seed: int = setting(0, "of the first fresh weights", SEED)
    seeds: int = setting(
        1, "fresh weights of each network that has no trained ones, with seed and those behind it; numbers are medians",
        Range(1, 1000, whole=True),
    )  # fmt: skip
    name: str | None = setting(None, "of the folder in records.dir; null makes one from the time", typed="text")
    data: DataConfig = setting(DataConfig, "which data set; that of the first training or search where nothing is said")
    records: RecordSettings = setting(RecordSettings, "where records go")

    def __post_init__(self) -> None:
        check_settings(self, "")
        check_measurements(self.measure, "measure")
        check_name(self.name)
        if not self.networks:
            raise ConfigError(f"which networks? nas diagnose ARCH ...: {WAYS}")
        twice = next((name for name in self.networks if self.networks.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"networks: {twice} is there twice")


def diagnose_command(values: Mapping[str, Any], typed: Iterable[str]) -> int:
    """Diagnose as some settings say.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave.

    Returns:
        The exit code.
    """
    return run("nas.diagnose", lambda: _diagnose(values, list(typed)))


def _diagnose(values: Mapping[str, Any], typed: list[str]) -> None:
    given = values.get("networks")
    folder = next((str(one) for one in given if _is_folder(str(one))), None) if isinstance(given, list) else None
    config = settings_from(DiagnoseConfig, with_recorded_data(values, typed, folder))
    check_files(config.data)
    print("Loading torch and the data ...", flush=True)
    from nas.training.data.load import load_data
    from nas.training.diagnostics.diagnose import diagnose

    data = load_data(config.data)
    networks = {
        one: one if _is_folder(one) else read_network(one, None, data.input_shape, data.num_classes)
        for one in config.networks
    }
    with _held(config) as held:
        found = diagnose(
            networks,
            config.data if folder is None or types_data(typed) else None,
            measure=config.measure,
            images=config.images,
            seed=config.seed,
            seeds=config.seeds,
            say=lambda line: print(line, flush=True),
        )
        _write(found, config, held.path)


def _is_folder(name: str) -> bool:
    return name not in space_names() and user_path(name).is_dir()


def _held(config: DiagnoseConfig) -> Held:
    root = user_path(config.records.dir)
    return study_folder(root, config.name, resume=False, settings=_SETTINGS, stem="diagnosis", what="diagnosis")


def _write(found: Diagnosis, config: DiagnoseConfig, folder: Path) -> None:
    """Write what was measured: files, MLflow, facts for programs, and a table for people."""
    from nas.reports.diagnosis_page import diagnosis_page

    run_id = uuid4().hex
    facts = {**found.to_dict(), "folder": folder}
    settings = {"run_id": run_id, **asdict(config), "name": folder.name}
    write_whole(folder / _SETTINGS, json.dumps(settings, indent=1) + "\n")
    write_whole(folder / _RESULTS, json.dumps(plain_values(found.to_dict()), indent=1, allow_nan=False) + "\n")
    write_whole(folder / _PAGE, diagnosis_page(found))
    print("\n".join(_lines(found)))
    print(f"\nPage: {shown(folder / _PAGE)}; every layer: {shown(folder / _RESULTS)}")
    if config.records.mlflow:
        facts["mlflow"] = _record(found, config, folder, run_id)
    add_facts(facts)


def _record(found: Diagnosis, config: DiagnoseConfig, folder: Path, run_id: str) -> dict[str, Any]:
    """Write a run a network to MLflow; returns where that is."""
    from nas.records.diagnosis_records import DiagnosisRecords

    server = server_of(config.records.uri)
    records = DiagnosisRecords(folder.parent, folder, run_id, folder.name, asdict(config), server=server)
    for one in found.networks:
        params = {"arch_id": one.architecture.arch_id, "weights": "trained" if one.weights else "fresh"}
        cost = {"depth": one.depth, "params": one.cost.params, "macs": one.cost.macs}
        if one.cost.receptive_field is not None:
            cost["theoretical_field"] = one.cost.receptive_field
        records.write(one.name, params, {**cost, **one.numbers()})
    records.end({}, [folder / _RESULTS, folder / _PAGE])
    print(records.browse)
    return records.facts


_ROWS: Mapping[str, tuple[str, str]] = {
    "loss": ("loss on the batch, nats", ".3f"),
    "gradient_first": ("gradient norm, first layer", ".3g"),
    "gradient_last": ("gradient norm, last layer", ".3g"),
    "gradient_ratio": ("  first / last", ".3g"),
    "signal_ratio": ("signal back, first / last but one", ".3g"),
    "output_growth": ("output std, last but one / first", ".3g"),
    "dead_share": ("dead units", ".1%"),
    "reached_field": ("receptive field reached", ",.0f"),
    "effective_field": ("receptive field, effective", ".1f"),
    "shift_variation": ("shift variation", ".3f"),
    "shift_variation_anti_aliased": ("  anti-aliased, same weights", ".3f"),
    "shift_consistency": ("same class after a shift", ".1%"),
    "shift_consistency_anti_aliased": ("  anti-aliased, same weights", ".1%"),
    "largest_eigenvalue": ("largest Hessian eigenvalue", ".3g"),
    "loss_rise": ("loss rise nearby, nats", ".3g"),
}
"""Of the table: numbers by name, what they are, and their format."""


def _lines(found: Diagnosis) -> list[str]:
    """Return the table for people: a column a network, each with a number that stands over it."""
    numbers = [one.numbers() for one in found.networks]
    rows = [("", [f"({place})" for place in range(1, len(numbers) + 1)])]
    rows += [(what, [text(one) for one in found.networks]) for what, text in _HEAD]
    for name, (what, form) in _ROWS.items():
        values = [one.get(name, nan) for one in numbers]
        if any(map(isfinite, values)):
            rows.append((what, [format(value, form) if isfinite(value) else "-" for value in values]))
    widths = [max(len(cells[place]) for _, cells in rows) for place in range(len(numbers))]
    table = [
        f"{what:34}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for what, cells in rows
    ]
    names = [f"({place}) {one.name}" for place, one in enumerate(found.networks, start=1)]
    return [f"\n{found.images:,} images of {found.data}; the test split was not read", *names, *table]


def _field(one: NetworkDiagnosis) -> str:
    field = one.cost.receptive_field
    return "all" if field is None else f"{field:,}"


_HEAD: tuple[tuple[str, Callable[[NetworkDiagnosis], str]], ...] = (
    ("weights", lambda one: "trained" if one.weights else f"{len(one.runs)} fresh"),
    ("depth", lambda one: f"{one.depth:,}"),
    ("params", lambda one: f"{one.cost.params:,}"),
    ("receptive field, theoretical", _field),
)
