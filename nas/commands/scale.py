"""`python -m nas.scale`: families of networks from one base, counted, trained and compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nas.console import defer_signals, run
from nas.cost import cost_of
from nas.errors import ConfigError
from nas.held_out import without_test_split
from nas.json_output import add_facts
from nas.network.architecture import Architecture
from nas.network.identity import earlier_id
from nas.records.server import server_of
from nas.resume import RecordSettings, read_settings, settings_to_go_on, study_folder
from nas.run_folder import Held, shown, user_path, write_whole
from nas.scaling.study.base import read_base
from nas.scaling.study.config import ScaleConfig
from nas.scaling.study.networks import Networks, base_line, networks_of, write_networks
from nas.settings import settings_from
from nas.to_type import to_type
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files

if TYPE_CHECKING:
    pass

_SETTINGS, _REPORT = "settings.json", "report.md"
_IDS = ("study_id", "base_arch_id")
"""What a study is known by, in the same file as its settings."""
_LINE = partial(print, flush=True)


def scale_command(values: Mapping[str, Any], typed: Iterable[str] | None = None) -> int:
    """Do what some settings say.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave, which are all that a study that is gone on with takes of them; None:
            all of `values`.

    Returns:
        The exit code.
    """
    return run("nas.scale", lambda: _scale(_config(values, values if typed is None else typed)))


def _config(values: Mapping[str, Any], typed: Iterable[str]) -> ScaleConfig:
    going_on = settings_to_go_on(values, typed, ScaleConfig, file=_SETTINGS, what="scaling study", own=_IDS)
    return settings_from(ScaleConfig, going_on)


@without_test_split()
def _scale(config: ScaleConfig) -> None:
    trains = config.training or config.mode == "plan"  # which times an epoch even where it only says what it would do
    base = read_base(config.space, config.base, config.resolution, _shape(config.data) if trains else None)
    networks = networks_of(config, base)
    with _folder(config) as held:
        _work(config, base, networks, held.path, _begin(config, base, held.path))


def _work(config: ScaleConfig, base: Architecture, networks: Networks, folder: Path, study_id: str) -> None:
    add_facts({"mode": config.mode, "run_folder": folder})
    if networks.families:
        lines = [base_line(base, networks.latencies)]
        lines += [f"{rule.name}: {rule.formula}" for rule in config.scaled_by()]
        _LINE("\n".join([*lines, *write_networks(config, base, networks, folder)]))
    if config.training or config.mode == "plan":
        _train(config, base, networks, folder, study_id)
    known = {"arch_id": base.arch_id, "input_shape": base.input_shape, "cost": cost_of(base).to_dict()}
    add_facts({"base": known, "networks": networks.facts(), "missing": networks.missing})
    print(f"\nArchitectures, table{' and report' if config.training else ''}: {shown(folder)}")


def _shape(data: DataConfig) -> tuple[tuple[int, ...], int]:
    """What the data are, asked of a worker where that is not known without reading them."""
    known = data.known_shape()
    if known is not None:
        return known
    check_files(data)
    from nas.evaluators.training import TrainingEvaluator
    from nas.training.recipe import Recipe
    from nas.workers.processes import WorkerPool

    pool = WorkerPool(TrainingEvaluator(data, Recipe()), 1)
    try:
        described = pool.describe()
        return tuple(described["input_shape"]), int(described["num_classes"])
    finally:
        pool.close()


def _folder(config: ScaleConfig) -> Held:
    """Hold the folder of the results: that of an earlier study, or a new one."""
    root = user_path(config.records.dir)
    return study_folder(root, config.name, resume=config.resume, settings=_SETTINGS, stem="scale", what="scaling study")


def _begin(config: ScaleConfig, base: Architecture, folder: Path) -> str:
    """Write the settings of a new study, or make sure that an earlier one is gone on with as it was.

    Returns:
        What the study is known by.
    """
    study_id = uuid4().hex
    settings = json.loads(json.dumps({**asdict(config), "name": folder.name}))
    if config.resume:
        earlier = read_settings(folder / _SETTINGS, "scaling study")
        study_id = str(earlier.get("study_id", study_id))
        if earlier.get("base_arch_id", base.arch_id) not in (base.arch_id, earlier_id(base)):
            raise ConfigError(
                f"resume: the base of {shown(folder)} was another network than {config.space or config.base} is now"
            )
    known = dict(zip(_IDS, (study_id, base.arch_id), strict=True))
    write_whole(folder / _SETTINGS, json.dumps({**known, **settings}, indent=1) + "\n")
    return study_id


def _train(config: ScaleConfig, base: Architecture, networks: Networks, folder: Path, study_id: str) -> None:
    # Loaded here, so that a family that is only counted does not wait for what training needs.
    from nas.scaling.study.modes import mode_runner
    from nas.scaling.study.report import head_lines
    from nas.scaling.study.scaling_study import ScalingStudy
    from nas.scaling.study.tracking import ScalingRecords

    where = [f"records.dir={config.records.dir}"] if config.records.dir != RecordSettings().dir else []
    again = to_type("scale", f"name={folder.name}", "resume=true", *where)
    if config.training:
        _LINE(f"\nTraining. To go on with it: {again}")
    records = None
    if config.records.mlflow and config.training:
        records = ScalingRecords(
            folder.parent,
            folder,
            study_id,
            folder.name,
            asdict(config),
            server=server_of(config.records.uri),
            again=again,
        )
    try:
        with ScalingStudy(config, base, folder, lambda text: _LINE(f"  {text}"), records) as study:
            lines = mode_runner(config.mode)(study, networks)
    except BaseException:
        if records is not None:
            with defer_signals("The study is ending and writes its records"):
                records.interrupted()
        raise
    write_whole(
        folder / _REPORT,
        "\n".join([*head_lines(config, base, folder), *map("{}\n".format, networks.notes), *lines]).strip() + "\n",
    )
    from nas.reports.write import report_or_say, write_folder_report

    page = report_or_say(lambda: write_folder_report(folder), _LINE)
    add_facts({**study.facts, "report": page[0] if page else None})
    if records is not None:
        files = [path for path in sorted(folder.iterdir()) if path.suffix in (".md", ".svg", ".csv")]
        records.end(study.metrics, files)
        add_facts({"mlflow": records.facts})
        _LINE(records.browse)
