"""The space of a search: as it is given, brought to the limits; or chosen among several by their random networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.advise.advice import spaces_for
from nas.compare.spaces.acceptance import acceptance_of
from nas.compare.spaces.choice import SpaceChoice
from nas.compare.spaces.complexity import MIN_NETWORKS
from nas.compare.spaces.population import Drawn, Population, evaluate_populations
from nas.compare.spaces.report import SpaceComparison, draw_edf, table_of, write_populations
from nas.errors import SpaceError
from nas.evaluation import Budget
from nas.run_folder import shown, write_whole
from nas.search.config import Config
from nas.search.settings import SearchSettings, Settings
from nas.space import SearchSpace, load_space
from nas.space.fit import Fit
from nas.workers.pool import Pool

SHARE = 0.15
"""Of the time or the training of a search, what the choice of its space takes."""
_EPOCHS_SHARE = 0.25
"""Of the epochs of a search, those of a network that is trained for the choice: more networks say more."""
_MOST_NETWORKS = 40
"""Networks of each space, after which more say little."""
_DRAWS = 300
_CHOICE = "choice"
"""The folder of the choice, in the run folder."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class PreparedSpace:
    """A space that is ready to be searched, and what it took to have it."""

    space: SearchSpace
    lines: tuple[str, ...]
    """What was done, in sentences."""
    seconds: float = 0.0
    """What the choice took of the time of the search: trainings, as fitting a space is none of it elsewhere."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What is kept of it in the record of the study."""

    def minutes_left(self, minutes: float | None) -> float | None:
        """Return what is left of the minutes of a search: half of them at least.

        A first round of the choice is done whatever it takes.
        """
        return None if minutes is None else max(minutes - self.seconds / 60, minutes / 2)


def prepared(
    config: Config,
    space: SearchSpace,
    described: Mapping[str, Any],
    *,
    pool: Pool,
    at_once: int,
    folder: Path,
    say: Say,
) -> PreparedSpace:
    """Return the space of a new search.

    Args:
        config: of the search.
        space: as it is given; where one is to be chosen it is not looked at.
        described: the data, as the workers say.
        pool: trains networks where a space is to be chosen.
        at_once: networks that it trains at a time.
        folder: of the run.
        say: takes lines of progress.

    Raises:
        NasError: no space takes the data, or none of them has networks within the limits that can be trained.
    """
    if config.chooses_space:
        return _Choosing(config, described, pool, at_once, folder / _CHOICE, say).choose()
    space = space.for_data(
        tuple(described["input_shape"]), described["num_classes"], task=config.evaluator.network_task(config.data)
    )
    fit = config.fitted(space)
    return PreparedSpace(fit.space, tuple(filter(None, [fit.line()])))


def given_space(config: Config) -> SearchSpace:
    """Return the space that a new search is given; where one is to be chosen, one whose place the chosen one takes."""
    return load_space("small_images") if config.chooses_space else config.load_space()


def resumed_space(
    config: Config, space: SearchSpace, described: Mapping[str, Any], notes: Mapping[str, Any]
) -> PreparedSpace:
    """Return the space of a search that is gone on with: that of its record, whose time was used as `notes` say."""
    space = space.for_data(
        tuple(described["input_shape"]), described["num_classes"], task=config.evaluator.network_task(config.data)
    )
    choice = notes.get("choice")
    seconds = choice.get("seconds") if isinstance(choice, Mapping) else None
    return PreparedSpace(space, (), float(seconds) if isinstance(seconds, int | float) else 0.0)


@dataclass(frozen=True)
class _Choosing:
    """The choice of a space, with what it needs."""

    config: Config
    described: Mapping[str, Any]
    pool: Pool
    at_once: int
    folder: Path
    say: Say
    started: float = field(default_factory=time.monotonic)
    left_out: list[str] = field(default_factory=list)
    """A line for each space of which nothing can be said."""
    fits: dict[str, Fit] = field(default_factory=dict)
    """The spaces as they were brought to the limits, by their names."""

    def choose(self) -> PreparedSpace:
        """Train random networks of each space that suits the data, and return the one whose mean error is smallest."""
        drawn = list(filter(None, map(self._drawn, self._spaces())))
        settings, budget, minutes = self._settings(len(drawn)), self._budget, self.config.search.minutes
        self.say(
            f"Choosing the space: random networks of {', '.join(one.name for one in drawn) or 'none'}, trained for "
            f"{budget.epochs} of {self.config.train.epochs} epochs"
        )
        begun = time.monotonic()
        populations = evaluate_populations(
            drawn,
            pool=self.pool,
            settings=settings,
            budget=budget,
            workload=self.config.workload,
            most_seconds=None if minutes is None else 60 * SHARE * minutes,
            at_once=self.at_once,
            drop=lambda one, error: self.left_out.append(f"{one.name}: {error}"),
            say=self.say,
        )
        return self._chosen([one for one in populations if self._enough(one)], settings.search.most_trials, begun)

    def _spaces(self) -> list[SearchSpace]:
        shape, classes = tuple(self.described["input_shape"]), self.described["num_classes"]
        task = self.config.evaluator.network_task(self.config.data)
        spaces = spaces_for(shape, classes, self.described["train_images"], segments=task == "segmentation")
        return [space.for_data(shape, classes, task=task) for space in spaces]

    def _drawn(self, space: SearchSpace) -> Drawn | None:
        """Return a space to draw from, brought to the limits; None, with the reason kept, where nothing holds them."""
        fit = self.fits[space.name] = self.config.fitted(space)
        limits, workload = self.config.counted_limits, self.config.workload
        try:
            acceptance = acceptance_of(
                fit.space, limits, name=space.name, seed=self.config.seed, draws=_DRAWS, workload=workload
            )
        except SpaceError as error:
            self.left_out.append(str(error))
            return None
        return Drawn(space=fit.space, name=space.name, share=acceptance.share, run_dir=self.folder / space.name)

    def _enough(self, population: Population) -> bool:
        """Whether its networks say how much they vary; otherwise the reason is kept."""
        enough = len(population.networks) >= MIN_NETWORKS
        if not enough:
            self.left_out.append(f"{population.name}: a single network could be evaluated; {population.reason}")
        return enough

    @property
    def _budget(self) -> Budget:
        return Budget(epochs=max(1, round(_EPOCHS_SHARE * self.config.train.epochs)))

    def _settings(self, spaces: int) -> Settings:
        """Return how networks are drawn: within limits that can be counted, for the score of the search."""
        config, search = self.config, self.config.search
        wanted = search.objectives[0]
        known = config.evaluator.known_scores(config.data)
        score = wanted.name if wanted.name in known else config.evaluator.objective(config.data)
        direction = wanted.direction if score == wanted.name else None
        trials = _MOST_NETWORKS
        if search.minutes is None:
            assert self._budget.epochs is not None
            each = self._budget.epochs / config.train.epochs
            trials = min(trials, max(MIN_NETWORKS, round(SHARE * search.most_trials / each / max(1, spaces))))
        return Settings(
            seed=config.seed,
            search=SearchSettings(trials=trials, objective=score, direction=direction),
            constraints=config.counted_limits,
        )

    def _chosen(self, populations: list[Population], trials: int, begun: float) -> PreparedSpace:
        for reason in self.left_out:
            self.say(f"Left out: {reason}")
        if not populations:
            raise SpaceError(f"+space=auto: no space has networks within the limits: {'; '.join(self.left_out)}")
        self.folder.mkdir(exist_ok=True)
        name, sentence = populations[0].name, f"{populations[0].name} is the only one left"
        if len(populations) > 1:
            comparison = SpaceComparison(populations, trials, _error_of(self._settings(1)), None)
            choice = SpaceChoice(comparison)
            name, sentence = choice.name, choice.sentence()
            self._write(comparison, sentence)
        fit, fitting, seconds = self.fits[name], begun - self.started, time.monotonic() - begun
        took = f"Fitting the spaces to the limits took {fitting:.0f} s, training for the choice {seconds:.0f} s"
        lines = (sentence, f"{took}; its networks are in {shown(self.folder)} and are no trials", fit.line())
        return PreparedSpace(
            fit.space,
            tuple(filter(None, lines)),
            seconds,
            {
                "choice": {
                    "space": name,
                    "reason": sentence,
                    "seconds": seconds,
                    "fitting_seconds": fitting,
                    "epochs": self._budget.epochs,
                    "networks": {one.name: len(one.networks) for one in populations},
                    "mean_errors": {one.name: float(one.errors.mean()) for one in populations},
                    "multipliers": {one: fit.multiplier for one, fit in self.fits.items()},
                    "left_out": self.left_out,
                }
            },
        )

    def _write(self, comparison: SpaceComparison, sentence: str) -> None:
        write_populations(comparison, self.folder / "populations.csv")
        draw_edf(comparison, self.folder / "edf.svg")
        write_whole(self.folder / "report.md", "\n".join([*table_of(comparison), "", sentence]) + "\n")


def _error_of(settings: Settings) -> str:
    (objective,) = settings.search.objectives
    return f"1 - {objective.name}" if objective.sign > 0 else objective.name
