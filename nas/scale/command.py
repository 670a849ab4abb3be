"""`python -m nas.scale`: families of networks from one base, counted, trained and compared."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nas.console import run
from nas.cost import cost_of
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.runs import earlier_settings, new_folder
from nas.scale.base import read_base
from nas.scale.config import FREE, ScaleConfig
from nas.scale.family import family, table, write_family
from nas.scale.solve import Member, counted
from nas.settings import settings_from
from nas.training.data.config import DataConfig

if TYPE_CHECKING:
    from nas.scale.records import Records
    from nas.scale.report import Findings
    from nas.scale.study import Study

_SETTINGS, _REPORT = "settings.json", "report.md"
_LINE = partial(print, flush=True)

Families = dict[str, list[Member]]


def scale_command(values: Mapping[str, Any]) -> int:
    """Do what some settings say; returns the exit code."""
    return run("nas.scale", lambda: _scale(settings_from(ScaleConfig, values)))


def _scale(config: ScaleConfig) -> None:
    base = read_base(config.space, config.base, config.resolution, _shape(config.data) if config.training else None)
    families = {} if config.mode == "coefficients" else _families(config, base)
    folder, study_id = _folder(config)
    if families:
        members = [one for every in families.values() for one in every]
        write_family(members, cost_of(base), folder)
        for rule in config.scaled_by():
            print(f"{rule.name}: {rule.formula}")
        _LINE("\n".join(table(members, cost_of(base))))
    if config.training or config.mode == "plan":
        _train(config, base, families, folder, study_id)
    print(f"\nArchitectures, table{' and report' if config.training else ''}: {folder}")


def _families(config: ScaleConfig, base: Architecture) -> Families:
    phis, times = config.sizes
    return {
        rule.name: family(
            base,
            rule,
            phis=phis,
            times=times,
            metric=config.budget,
            measure=counted(config.budget),
            rounding=config.rounding,
            tolerance=config.tolerance,
        )
        for rule in config.scaled_by()
    }


def _shape(data: DataConfig) -> tuple[tuple[int, ...], int]:
    """What the data are, asked of a worker where that is not known without reading them."""
    known = data.known_shape()
    if known is not None:
        return known
    from nas.search.workers import WorkerPool
    from nas.training.evaluator import TrainingEvaluator
    from nas.training.recipe import Recipe

    pool = WorkerPool(TrainingEvaluator(data, Recipe()), 1)
    try:
        found = pool.describe()
        return tuple(found["input_shape"]), int(found["num_classes"])
    finally:
        pool.close()


def _folder(config: ScaleConfig) -> tuple[Path, str]:
    """Make the folder of the results, or make sure that an earlier study is gone on with as it was.

    Returns:
        The folder, and what the study is known by.
    """
    name = config.name or f"scale-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder, study_id = Path(config.records.dir).expanduser() / name, uuid4().hex
    settings = json.loads(json.dumps(asdict(config)))
    if config.resume:
        earlier = earlier_settings(folder / _SETTINGS, settings, FREE, "scaling study")
        study_id = str(earlier.get("study_id", study_id))
    else:
        new_folder(folder, "give another name, or resume=true to go on")
    (folder / _SETTINGS).write_text(json.dumps({"study_id": study_id, **settings}, indent=1) + "\n")
    return folder, study_id


def _train(config: ScaleConfig, base: Architecture, families: Families, folder: Path, study_id: str) -> None:
    # Loaded here, so that a family that is only counted does not wait for what training needs.
    from nas.scale.records import Records
    from nas.scale.study import Study

    _LINE(f"\nTraining; name={folder.name} resume=true goes on with it")
    records = None
    if config.records.mlflow and config.training:
        records = Records(folder.parent, study_id, folder.name, asdict(config))
    modes: dict[str, Callable[[Study, Families], list[str]]] = {
        "coefficients": _coefficients,
        "isoflop": _isoflop,
        "plan": _plan,
    }
    with Study(config, base, folder, lambda text: _LINE(f"  {text}"), records) as study:
        lines = modes.get(config.mode, _sizes)(study, families)
    (folder / _REPORT).write_text("\n".join(lines).strip() + "\n")
    if records is not None:
        records.end({}, [path for path in sorted(folder.iterdir()) if path.suffix in (".md", ".svg", ".csv")])
        _LINE(_browse(records))


def _browse(records: Records) -> str:
    if records.error is not None:
        return f"MLflow was not written: {type(records.error).__name__}: {records.error}; the folder has all of it"
    command = f"{shlex.quote(sys.executable)} -m mlflow ui --backend-store-uri {shlex.quote(records.uri)} --port 5000"
    return f"Browse: MLFLOW_DISABLE_TELEMETRY=true {command}\n  then open http://127.0.0.1:5000, experiment scaling"


def _sizes(study: Study, families: Families) -> list[str]:
    """Train families, fit their laws, and try a forecast."""
    from nas.scale.report import comparison_lines, draw, law_lines, size_table, write_runs
    from nas.scale.study import trained

    config, folder = study.config, study.folder
    found = trained(study, families)
    lines = ["", *size_table(found, config.loss), "", *(line for one in found for line in law_lines(one))]
    if len(found) > 1:
        lines += ["", *comparison_lines(found, config.loss)]
    _LINE("\n".join(lines))
    write_runs(found, config.loss, folder / "runs.csv")
    draw(found, config.loss, folder / "scaling.svg")
    if config.forecast is not None:
        verdict = _forecast(study, found[0])
        lines += ["", verdict]
        _LINE(verdict)
    return lines


def _forecast(study: Study, found: Findings) -> str:
    """Try a forecast; where there is none, what was trained is worth its report all the same."""
    from nas.scale.study import forecast

    try:
        tried = forecast(study, found, _LINE)
    except NasError as error:
        return str(error)
    return f"Forecast (sha256 {tried.frozen.digest}): {tried.frozen.verdict(tried.shown.losses)}"


def _isoflop(study: Study, families: Families) -> list[str]:
    from nas.scale.isoflop import draw_isoflop, isoflop_lines, profiles

    (members,) = families.values()
    found = profiles(study, study.sized(members))
    lines = isoflop_lines(found, study.config.loss, study.config.seed)
    _LINE("\n" + "\n".join(lines))
    draw_isoflop(found, study.config.loss, study.folder / "isoflop.svg")
    return lines


def _plan(study: Study, families: Families) -> list[str]:
    from nas.scale.progressive import outlay_lines, progressive

    (members,) = families.values()
    assert study.config.forecast is not None
    target = study.config.forecast * study.cost.macs
    lines = outlay_lines(study, progressive(study, study.sized(members), target, _LINE), target)
    _LINE("\n".join(lines))
    return lines


def _coefficients(study: Study, _: Families) -> list[str]:
    from nas.scale.coefficients import coefficient_lines, draw_surface, search

    tried, best = search(study, study.say)
    lines = coefficient_lines(tried, best, study.config.loss)
    _LINE("\n" + "\n".join(lines))
    draw_surface(tried, best, study.config.loss, study.folder / "surface.svg")
    return lines
