"""What a search says before its first trial: its data, what it learns from, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, NasError, counted
from nas.evaluation import Evaluator
from nas.json_output import add_facts
from nas.search.budgets.pruning import STOPPING
from nas.search.config import Config
from nas.search.log import read_study
from nas.search.reporting.estimate import LEAST_PROBED, Estimate, Range, about, estimate_from_trials
from nas.search.reporting.probing import Outlook, probe, worth_probing
from nas.search.trial import State, Trial
from nas.search.warm_start import WARM_STARTS, earlier_results
from nas.space import SearchSpace
from nas.training.tasks.registry import DEFAULT, TASKS
from nas.training.tasks.regression import REGRESSION
from nas.training.used_files import check_same_files
from nas.workers.pool import Pool

Say = Callable[[str], None]

NOTHING_KEPT = "Dry run: no trial was made, and nothing is kept of it. Without --dry-run the search begins."


def data_summary(data: Mapping[str, Any]) -> str:
    """Return a line on the data that workers have described; empty where they are no images, as in a table."""
    if "images_by_class" not in data:
        return ""
    images = {split: data[f"{split}_images"] for split in ("train", "val", "test")}
    of_class = data["images_by_class"]["train"]
    few, many = min(of_class), max(of_class)
    each = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    outputs = TASKS.get(data.get("task", ""), DEFAULT).outputs
    what = "series" if len(data["input_shape"]) == 2 else "images"
    with_each = "" if outputs == REGRESSION.outputs else f" with {each} training {what} each"
    return (
        f"Data {data['name']}: {images['train']:,} training, {images['val']:,} validation and {images['test']:,} test "
        f"{what} of {'x'.join(map(str, data['input_shape']))}; {counted(data['num_classes'], outputs)}{with_each}"
    )


def sources(config: Config, space: SearchSpace, described: Mapping[str, Any]) -> Iterator[str]:
    """Say what a table, or an earlier search, brings, and what is to be known of the data."""
    add_facts({"data": described})
    if summary := data_summary(described):
        yield summary
    for note in described.get("notes", ()):
        yield f"Data: {note}"
    if "networks" in described:
        yield (
            f"A table of {described['networks']:,} networks; costs are counted for images of "
            f"{'x'.join(map(str, space.input_shape))} and {space.num_classes} classes, as the space assumes"
        )
    if config.search.warm_start is not None:
        known = len(earlier_results(Path(config.search.warm_start), space))
        yield (
            f"Warm start: {known} networks of {config.search.warm_start} are in this space; the best "
            f"{min(known, WARM_STARTS)} come first, and the default sampler learns what the others say of the new ones"
        )
        if (scheme := described.get("split_scheme", 3)) < 3:
            yield f"The data are split as they were then: data.split_scheme={scheme}"


def check_same_data(folder: Path | None, described: Mapping[str, Any]) -> None:
    """Make sure that a search that is gone on with finds the images and the weights that it began with.

    Args:
        folder: of the search; None where it is a new one.
        described: the data, as the workers say.

    Raises:
        ConfigError: they are others; with both hashes.
    """
    if folder is None:
        return
    recorded = read_study(folder)["notes"]["data"]
    before, now = recorded.get("split_fingerprint"), described.get("split_fingerprint")
    if before != now:
        raise ConfigError(f"resume: the data are not those of {folder}: their fingerprint was {before}, is {now}")
    files = recorded.get("files", {}), described.get("files", {})
    check_same_files(*files, folder, "begin a new search with it", where="evaluator.")


def say_time(
    config: Config,
    space: SearchSpace,
    described: Mapping[str, Any],
    pool: Pool,
    *,
    at_once: int,
    trials: Sequence[Trial],
    dry_run: bool,
    say: Say,
) -> None:
    """Say how long a search will take; of one on a table, which takes no time, nothing.

    A search that is gone on with is judged by its own trials. Else some candidates are trained for a moment, which is
    left out before a search that takes a minute or so, or that ends by its minutes, but for a dry run.

    Args:
        config: of the search.
        space: made for its data.
        described: the data, as the workers say.
        pool: of the search, in which nothing runs.
        at_once: trials that it evaluates at a time.
        trials: of earlier sessions.
        dry_run: whether it is only asked.
        say: takes each line.
    """
    evaluator = config.evaluator.probe(config.data, config.train, config.accelerator)
    if evaluator is None:
        if dry_run:
            say(f"Time: not estimated, since evaluator={config.evaluator.name} trains nothing")
        return
    minutes = config.search.minutes
    used = max((trial.elapsed for trial in trials), default=0.0)
    begun = [trial.seconds["evaluation"] for trial in trials if _begun(trial)]
    left = config.search.most_trials - len(begun)
    if left <= 0 or (minutes is not None and used >= 60 * minutes):
        return
    if len(begun) >= LEAST_PROBED:
        known = config.search.known_trials is not None
        found = estimate_from_trials(begun, left=left if known else len(begun), workers=at_once)
        basis = f"from its own {len(begun)} trials"
    elif dry_run or worth_probing(config, max(1, config.data.folds) * described["train_images"]):
        say("Training some candidates for a moment, to estimate the time ...")
        outlook = _probed(config, space, evaluator, pool, at_once=at_once, dry_run=dry_run)
        if outlook.estimate is None:
            few = f"{outlook.probed} candidates could be trained, and {LEAST_PROBED} are needed"
            say(f"Time: not estimated: {few}{outlook.problem}")
            return
        found, basis = outlook.estimate, f"from {outlook.probed} candidates, trained for a moment"
    else:
        if minutes is not None:
            say(f"Time: ends after search.minutes={minutes:g} at the latest (--dry-run says how many trials that is)")
        return
    names = ("seconds", "seconds_low", "seconds_high")
    add_facts(
        {
            "estimate": {
                **dict(zip(names, found.seconds, strict=True)),
                "trials": found.trials,
                "trial_seconds": found.trial_seconds,
                "basis": basis,
            }
        }
    )
    for line in time_lines(config, found, basis, at_once=at_once, used=used):
        say(line)


def _probed(
    config: Config, space: SearchSpace, evaluator: Evaluator, pool: Pool, *, at_once: int, dry_run: bool
) -> Outlook:
    """Return what a probe says, whose problem is the end of a sentence; an error does not cost the search."""
    try:
        outlook = probe(config, space, evaluator, pool, at_once=at_once)
    except NasError as error:
        if dry_run:
            raise
        outlook = Outlook(None, 0, str(error))
    return replace(outlook, problem=f"; {outlook.problem}" if outlook.problem else "")


def _begun(trial: Trial) -> bool:
    return (trial.trained or trial.state is State.PAUSED) and "evaluation" in trial.seconds


def time_lines(config: Config, found: Estimate, basis: str, *, at_once: int, used: float = 0.0) -> Iterator[str]:
    """Yield what is said of the time of a search.

    Args:
        config: of the search.
        found: the estimate.
        basis: what it comes from.
        at_once: trials at a time.
        used: seconds of the search that are over.
    """
    each = about(Range(found.trial_seconds, found.trial_seconds, found.trial_seconds)).partition(" (")[0]
    how = f"with {at_once} worker{'s' * (at_once != 1)}, {each} each; {basis}"
    minutes, trials = config.search.minutes, config.search.known_trials
    if minutes is not None and (trials is None or found.seconds.high > 60 * minutes - used):
        fit = found.fitting(60 * minutes - used)
        most = float("inf") if trials is None else found.trials
        middle, low, high = (max(1, round(min(most, count))) for count in fit)
        of = "" if trials is None else f" of {found.trials}"
        yield f"Time: ends after search.minutes={minutes:g}; about {middle}{of} trials ({low} to {high}) fit in, {how}"
    else:
        yield f"Time: about {about(found.seconds)} for {found.trials} trial{'s' * (found.trials != 1)} {how}"
    yield from (f"  {note}" for note in _not_in_it(config))


def _not_in_it(config: Config) -> Iterator[str]:
    """Yield what may make a search take another time than is estimated."""
    if config.pruner.name in STOPPING:
        yield f"pruner={config.pruner.name} ends trials on the way; how many is not known before, so that may be less"
    if config.search.patience is not None:
        yield "search.patience may end it before"
    if config.asks_int8:
        yield "What networks in 8 bits take behind each training is not in it"
    if config.finish:
        yield "finish=true comes on top of it"


def check_dry_run(config: Config) -> None:
    """Raise `ConfigError` where a dry run could not say what a search will do."""
    if config.chooses_space:
        raise ConfigError(
            "--dry-run: +space=auto chooses the space by training networks of several, in 15 % of the search, and what "
            "follows depends on it; give +space=NAME (nas advise proposes some)"
        )
