"""`python -m nas.scale`: families of networks from one base, counted, trained and compared."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class _Networks:
    """What a study is about, all found before anything is trained, since a rule may not have a size."""

    families: dict[str, list[Member]]
    """By the name of their rule."""
    ahead: Member | None
    """The network of the forecast that will be tried."""

    @property
    def members(self) -> list[Member]:
        every = [one for family in self.families.values() for one in family]
        return every if self.ahead is None else [*every, self.ahead]

    @property
    def only(self) -> list[Member]:
        """The family of a study of one rule."""
        (members,) = self.families.values()
        return members


def scale_command(values: Mapping[str, Any]) -> int:
    """Do what some settings say; returns the exit code."""
    return run("nas.scale", lambda: _scale(settings_from(ScaleConfig, values)))


def _scale(config: ScaleConfig) -> None:
    base = read_base(config.space, config.base, config.resolution, _shape(config.data) if config.training else None)
    networks = _networks(config, base)
    folder, study_id = _folder(config)
    if networks.families:
        write_family(networks.members, cost_of(base), folder)
        for rule in config.scaled_by():
            print(f"{rule.name}: {rule.formula}")
        _LINE("\n".join(table(networks.members, cost_of(base))))
    if config.training or config.mode == "plan":
        _train(config, base, networks, folder, study_id)
    print(f"\nArchitectures, table{' and report' if config.training else ''}: {folder}")


def _networks(config: ScaleConfig, base: Architecture) -> _Networks:
    if config.mode == "coefficients":  # which networks are tried hangs on what those before them showed
        return _Networks({}, None)
    of = partial(
        family,
        base,
        metric=config.budget,
        measure=counted(config.budget),
        rounding=config.rounding,
        tolerance=config.tolerance,
    )
    phis, times = config.sizes
    rules = config.scaled_by()
    families = {rule.name: of(rule, phis=phis, times=times) for rule in rules}
    if config.forecast is None or config.mode == "plan":
        return _Networks(families, None)
    return _Networks(families, of(rules[0], times=[config.forecast])[0])


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


def _train(config: ScaleConfig, base: Architecture, networks: _Networks, folder: Path, study_id: str) -> None:
    # Loaded here, so that a family that is only counted does not wait for what training needs.
    from nas.scale.records import Records
    from nas.scale.study import Study

    _LINE(f"\nTraining; name={folder.name} resume=true goes on with it")
    records = None
    if config.records.mlflow and config.training:
        records = Records(folder.parent, study_id, folder.name, asdict(config))
    modes: dict[str, Callable[[Study, _Networks], list[str]]] = {
        "coefficients": _coefficients,
        "isoflop": _isoflop,
        "plan": _plan,
    }
    with Study(config, base, folder, lambda text: _LINE(f"  {text}"), records) as study:
        lines = modes.get(config.mode, _sizes)(study, networks)
    (folder / _REPORT).write_text("\n".join(lines).strip() + "\n")
    if records is not None:
        records.end({}, [path for path in sorted(folder.iterdir()) if path.suffix in (".md", ".svg", ".csv")])
        _LINE(_browse(records))


def _browse(records: Records) -> str:
    if records.error is not None:
        return f"MLflow was not written: {type(records.error).__name__}: {records.error}; the folder has all of it"
    command = f"{shlex.quote(sys.executable)} -m mlflow ui --backend-store-uri {shlex.quote(records.uri)} --port 5000"
    return f"Browse: MLFLOW_DISABLE_TELEMETRY=true {command}\n  then open http://127.0.0.1:5000, experiment scaling"


def _sizes(study: Study, networks: _Networks) -> list[str]:
    """Train families, fit their laws, and try a forecast."""
    from nas.scale.report import comparison_lines, draw, law_lines, size_table, write_runs
    from nas.scale.study import trained

    config, folder = study.config, study.folder
    found = trained(study, networks.families)
    lines = ["", *size_table(found, config.loss), "", *(line for one in found for line in law_lines(one))]
    if len(found) > 1:
        lines += ["", *comparison_lines(found, config.loss)]
    _LINE("\n".join(lines))
    write_runs(found, config.loss, folder / "runs.csv")
    draw(found, config.loss, folder / "scaling.svg")
    if networks.ahead is not None:
        verdict = _forecast(study, found[0], networks.ahead)
        lines += ["", verdict]
        _LINE(verdict)
    return lines


def _forecast(study: Study, found: Findings, ahead: Member) -> str:
    """Try a forecast; where there is none, what was trained is worth its report all the same."""
    from nas.scale.study import forecast

    try:
        tried = forecast(study, found, ahead, _LINE)
    except NasError as error:
        return str(error)
    return f"Forecast (sha256 {tried.frozen.digest}): {tried.frozen.verdict(tried.shown.losses)}"


def _isoflop(study: Study, networks: _Networks) -> list[str]:
    from nas.scale.isoflop import draw_isoflop, isoflop_lines, profiles

    found = profiles(study, study.sized(networks.only))
    lines = isoflop_lines(found, study.config.loss, study.config.seed)
    _LINE("\n" + "\n".join(lines))
    draw_isoflop(found, study.config.loss, study.folder / "isoflop.svg")
    return lines


def _plan(study: Study, networks: _Networks) -> list[str]:
    from nas.scale.progressive import outlay_lines, progressive

    assert study.config.forecast is not None
    target = study.config.forecast * study.cost.macs
    lines = outlay_lines(study, progressive(study, study.sized(networks.only), target, _LINE), target)
    _LINE("\n".join(lines))
    return lines


def _coefficients(study: Study, _: _Networks) -> list[str]:
    from nas.scale.coefficients import coefficient_lines, draw_surface, search

    tried, best = search(study, study.say)
    lines = coefficient_lines(tried, best, study.config.loss)
    _LINE("\n" + "\n".join(lines))
    draw_surface(tried, best, study.config.loss, study.folder / "surface.svg")
    return lines
