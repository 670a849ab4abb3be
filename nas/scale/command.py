"""`python -m nas.scale`: families of networks from one base, counted, trained and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.console import run
from nas.cost import cost_of
from nas.errors import ConfigError
from nas.network.architecture import Architecture
from nas.runs import new_folder
from nas.scale.base import read_base
from nas.scale.config import FREE, ScaleConfig
from nas.scale.family import family, table, write_family
from nas.scale.solve import Member, counted
from nas.settings import settings_from
from nas.training.data.config import DataConfig

if TYPE_CHECKING:
    from nas.scale.study import Study

_SETTINGS = "settings.json"


def scale_command(values: Mapping[str, Any]) -> int:
    """Do what some settings say; returns the exit code."""
    return run("nas.scale", lambda: _scale(settings_from(ScaleConfig, values)))


def _scale(config: ScaleConfig) -> None:
    base = read_base(config.space, config.base, config.resolution, _shape(config.data) if config.training else None)
    if config.mode == "coefficients":
        _coefficients(config, base)
        return
    families = _families(config, base)
    members = [one for every in families.values() for one in every]
    folder = _folder(config)
    cost = cost_of(base)
    write_family(members, cost, folder)
    for rule in config.scaled_by():
        print(f"{rule.name}: {rule.formula}")
    print("\n".join(table(members, cost)), flush=True)
    if config.training or config.mode == "plan":
        _train(config, base, families, folder)
    print(f"\nArchitectures, table{' and report' if config.training else ''}: {folder}")


def _families(config: ScaleConfig, base: Architecture) -> dict[str, list[Member]]:
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


def _folder(config: ScaleConfig) -> Path:
    """Make the folder of the results, or make sure that an earlier study is gone on with as it was."""
    name = config.name or f"scale-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = Path(config.records.dir).expanduser() / name
    settings = json.loads(json.dumps(asdict(config)))
    if config.resume:
        try:
            earlier = dict(json.loads((folder / _SETTINGS).read_text()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"resume: no scaling study in {folder}: {error}") from None
        changed = [key for key in settings if key not in FREE and earlier.get(key) != settings[key]]
        if changed:
            raise ConfigError(
                f"resume: {changed[0]} was {earlier.get(changed[0])!r} in {folder}, but is now "
                f"{settings[changed[0]]!r}; {', '.join(FREE)} may change"
            )
    else:
        new_folder(folder, "give another name, or resume=true to go on")
    (folder / _SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")
    return folder


def _train(config: ScaleConfig, base: Architecture, families: dict[str, list[Member]], folder: Path) -> None:
    # Loaded here, so that a family that is only counted does not wait for what training needs.
    from nas.scale.study import Study

    print(f"\nTraining; name={folder.name} resume=true goes on with it", flush=True)
    with Study(config, base, folder, _indented) as study:
        _run(study, families)


def _run(study: Study, families: dict[str, list[Member]]) -> None:
    from nas.scale.report import comparison_lines, draw, law_lines, size_table, write_runs
    from nas.scale.study import forecast, trained

    config, folder, say = study.config, study.folder, partial(print, flush=True)
    if config.mode in ("isoflop", "plan"):
        (members,) = families.values()
        (_isoflop if config.mode == "isoflop" else _plan)(study, members)
        return
    found = trained(study, families)
    lines = ["", *size_table(found, config.loss), "", *(line for one in found for line in law_lines(one))]
    if len(found) > 1:
        lines += ["", *comparison_lines(found, config.loss)]
    print("\n".join(lines), flush=True)
    if config.forecast is not None:
        tried = forecast(study, found[0], say)
        verdict = tried.frozen.verdict(tried.shown.losses)
        lines += ["", f"Forecast (sha256 {tried.frozen.digest}): {verdict}"]
        print(verdict)
    (folder / "report.md").write_text("\n".join(lines).strip() + "\n")
    write_runs(found, config.loss, folder / "runs.csv")
    draw(found, config.loss, folder / "scaling.svg")


def _isoflop(study: Study, members: list[Member]) -> None:
    from nas.scale.isoflop import draw_isoflop, isoflop_lines, profiles

    found = profiles(study, study.sized(members))
    lines = isoflop_lines(found, study.config.loss)
    print("\n" + "\n".join(lines))
    (study.folder / "report.md").write_text("\n".join(lines) + "\n")
    draw_isoflop(found, study.config.loss, study.folder / "isoflop.svg")


def _plan(study: Study, members: list[Member]) -> None:
    from nas.scale.progressive import outlay_lines, progressive

    assert study.config.forecast is not None
    target = study.config.forecast * study.cost.macs
    found = progressive(study, study.sized(members), target, partial(print, flush=True))
    lines = outlay_lines(study, found, target)
    print("\n".join(lines))
    (study.folder / "report.md").write_text("\n".join(lines) + "\n")


def _indented(text: str) -> None:
    print(f"  {text}", flush=True)


def _coefficients(config: ScaleConfig, base: Architecture) -> None:
    from nas.scale.coefficients import coefficient_lines, draw_surface, search
    from nas.scale.study import Study

    folder = _folder(config)
    print(f"Training; name={folder.name} resume=true goes on with it", flush=True)
    with Study(config, base, folder, _indented) as study:
        tried, best = search(study, _indented)
    lines = coefficient_lines(tried, best, config.loss)
    print("\n" + "\n".join(lines))
    (folder / "report.md").write_text("\n".join(lines) + "\n")
    draw_surface(tried, best, config.loss, folder / "surface.svg")
    print(f"\nReport and chart: {folder}")
