"""Whether cheap estimates order the networks of a search as training did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nas.commands.options import proxies_parser
from nas.console import run
from nas.cost import value_of
from nas.cost.metrics import FREE_METRICS
from nas.errors import ConfigError
from nas.evaluation import Budget
from nas.evaluators.proxies.diagnosis import diagnose, lines
from nas.evaluators.proxies.evaluator import ProxyEvaluator
from nas.evaluators.proxies.names import check_names
from nas.json_output import add_facts
from nas.machine import cores
from nas.search.log import read_study, read_trials
from nas.search.trial import State, Trial
from nas.settings import as_recorded, settings_from
from nas.space import SearchSpace
from nas.training.data.config import DataConfig
from nas.workers.evaluating import Task
from nas.workers.processes import WorkerPool
from nas.workers.run_all import run_all

_LOOK_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and diagnose; returns the exit code."""
    given = proxies_parser().parse_args(arguments)
    names = given.proxies.split(",")
    return run("nas.proxies", lambda: _diagnose(Path(given.run), names, given.most, given.batch), json=given.json)


def _diagnose(folder: Path, names: list[str], most: int, batch: int) -> None:
    check_names(names)
    saved = read_study(folder)
    config = saved["notes"].get("config")
    if config is None or config.get("evaluator", {}).get("name", "train") != "train":
        raise ConfigError(f"{folder} is not the run folder of a python -m nas.search that has trained its networks")
    objective, direction = (_first(saved[key]) for key in ("objective", "direction"))
    trials = [trial for trial in read_trials(folder) if trial.state is State.COMPLETED and objective in trial.scores][
        :most
    ]
    space = SearchSpace.from_dict(saved["space"]).for_data(
        tuple(saved["input_shape"]), saved["num_classes"], task="any"
    )
    data = settings_from(DataConfig, as_recorded(DataConfig, config["data"]))
    scores_of = _measure(trials, space, ProxyEvaluator(data, tuple(names), batch))
    trials = [trial for trial in trials if trial.number in scores_of]
    if len(trials) < 2:
        raise ConfigError(f"{folder} has {len(trials)} trained networks that can be measured; two are the least")
    scores = {name: [scores_of[trial.number][name] for trial in trials] for name in names}
    counted = [trial.cost for trial in trials if trial.cost is not None]
    costs = {metric: [value_of(cost, metric) for cost in counted] for metric in FREE_METRICS}
    values = [trial.scores[objective] for trial in trials]
    reports = diagnose(values, costs | scores, minimize=direction == "minimize")
    found = {report.name: asdict(report) for report in reports}
    add_facts({"run_folder": folder, "objective": objective, "networks": len(trials), "proxies": found})
    print(f"Rank correlation with {objective} of {len(trials)} networks of {folder}:\n")
    print("\n".join(lines(reports)))


def _first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else value[0]


def _measure(trials: Sequence[Trial], space: SearchSpace, evaluator: ProxyEvaluator) -> dict[int, dict[str, float]]:
    """Measure the networks in worker processes; those that a proxy does not apply to are left out and told."""
    scores_of: dict[int, dict[str, float]] = {}
    pool = WorkerPool(evaluator, cores(), objective=evaluator.names[0])
    try:
        pool.describe()
        tasks = [Task(trial.number, space.decode(trial.genotype), Budget(), trial.seed) for trial in trials]
        for task, outcome, _ in run_all(pool, tasks):
            if outcome.evaluation is None:
                print(f"  trial {task.number} is left out: {outcome.reason}")
            else:
                scores_of[task.number] = dict(outcome.evaluation.scores)
    finally:
        pool.close()
    return scores_of
