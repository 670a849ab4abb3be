"""A study that runs or has ended: its trials and what is best among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.cost import BATCH_OF_ONE, Workload
from nas.errors import ConfigError
from nas.pareto import front, growing_hypervolume, knee
from nas.run_folder import weights_file
from nas.search.objectives import Objective
from nas.search.stop_reason import Stop, StopReason
from nas.search.trial import State, Trial
from nas.space import SearchSpace
from nas.training.recipe_decisions import NOTHING_DECIDED, RecipeDecisions

if TYPE_CHECKING:
    from nas.training.weights import Network

_RARE = (State.OVER_LIMIT, State.PRUNED, State.PAUSED, State.INTERRUPTED)


@dataclass
class Study:
    """Trials of one search, in the order in which they ended."""

    name: str
    study_id: str
    """Unique, and kept when the study is resumed."""
    space: SearchSpace = field(repr=False)
    objectives: tuple[Objective, ...]
    """What is searched for; the first is a score."""
    soft_weight: float = 0.1
    """What being over a soft limit by all of it costs, in units of each score."""
    workload: Workload = BATCH_OF_ONE
    """What the networks are to run as, where a cost depends on it."""
    rungs: int = 1
    """Number of budgets, rising, of which the better trials get more; 1 where all get the same."""
    notes: dict[str, Any] = field(default_factory=dict, repr=False)
    """What else its record holds, as plain values: configuration, data, versions."""
    recipe: RecipeDecisions = field(default=NOTHING_DECIDED, repr=False)
    """What is decided of the recipe beside the network."""
    designs: tuple[str, ...] = field(default=(), repr=False)
    """The known designs that it begins with."""
    trials: list[Trial] = field(default_factory=list, repr=False)
    stop: Stop | None = None
    """Why the search ended; None while it runs."""
    can_go_on: bool = False
    """Whether it ended before all that was asked for was done, so that it can be resumed."""
    failed_alike: bool = False
    """Whether it ended because its evaluations failed alike."""
    folder: Path | None = None
    """The run folder, where there is one."""
    steered: dict[str, Any] = field(default_factory=dict, repr=False)
    """Settings of when it ends that were changed as it runs (`nas.search.steering`), with their values."""

    @property
    def stop_reason(self) -> str:
        """The text of `stop`; empty while the search runs."""
        return self.stop.text if self.stop is not None else ""

    @property
    def interrupted(self) -> bool:
        """Whether the user interrupted the search, or a signal did."""
        return self.stop is not None and self.stop.reason is StopReason.INTERRUPTED

    @property
    def objective(self) -> str:
        """The name of the first objective."""
        return self.objectives[0].name

    @property
    def direction(self) -> str:
        """The direction of the first objective, `maximize` or `minimize`."""
        return self.objectives[0].direction

    @property
    def size(self) -> int | None:
        """The number of genotypes, times that of recipes that can be decided; None where there is no end of them."""
        if not self.recipe:
            return self.space.size()
        return None if self.recipe.recipes is None else self.space.size() * len(self.recipe.recipes)

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state; rare states come only where there are some."""
        counts = Counter(trial.state for trial in self.trials)
        shown = [state for state in State if counts[state] or state not in _RARE]
        return {state.value: counts[state] for state in shown}

    def rejections(self) -> dict[str, int]:
        """Return how many candidates each limit rejected; one over two limits counts at both."""
        counts: Counter[str] = Counter()
        for trial in self.trials:
            if trial.state in (State.REJECTED, State.OVER_LIMIT):
                counts.update(violation.metric for violation in trial.violations if violation.rejects)
                if trial.refused_recipe:
                    counts["no recipe"] += 1
                elif not trial.violations:
                    counts["no valid network"] += 1
        return dict(counts.most_common())

    def values(self, trial: Trial) -> tuple[float, ...] | None:
        """Return the values of the objectives that the search compares: scores with the penalty for soft limits.

        None where the trial lacks one of them.
        """
        penalty = self.soft_weight * trial.soft_excess
        values = []
        for objective in self.objectives:
            value = objective.value(trial, self.workload)
            if value is None:
                return None
            values.append(value if objective.is_cost else value - objective.sign * penalty)
        return tuple(values)

    def judged(self, trial: Trial) -> float:
        """Return the first objective of a completed trial, with the penalty for soft limits."""
        values = self.values(trial)
        assert values is not None
        return values[0]

    def best(self, count: int = 5) -> list[Trial]:
        """Return the best trials of `ranked`, best first; of equal ones the one with fewer parameters.

        With several objectives those are trials on the Pareto front, by the first objective, see `front`. A trial over
        a soft limit is judged with its penalty.
        """

        def key(trial: Trial) -> tuple[float, int, int]:
            return -self.objectives[0].sign * self.judged(trial), trial.cost.params if trial.cost else 0, trial.number

        return sorted(self.front() if len(self.objectives) > 1 else self.ranked, key=key)[:count]

    @property
    def winner(self) -> Trial | None:
        """The best trial; with several objectives the knee of the front. None where nothing was evaluated."""
        best = self.best(1)
        return (self.knee() or best[0] if len(self.objectives) > 1 else best[0]) if best else None

    def best_model(self) -> Network:
        """Return the network of `winner` with the weights that it was trained to, ready for inference, on the CPU.

        Raises:
            ConfigError: nothing was completed, there is no run folder, or no weights are kept in it.
            DataError: the weights cannot be read.
        """
        from nas.training.weights import trained_network

        winner = self.winner
        if winner is None or winner.arch_id is None:
            raise ConfigError(f"study {self.name} has no network that was evaluated to its end")
        if self.folder is None:
            raise ConfigError(f"study {self.name} has no run folder to keep weights in: give run_search(..., run_dir=)")
        file = weights_file(self.folder, winner.trained_id or "")
        if not file.exists():
            raise ConfigError(
                f"there are no weights of the best network in {self.folder}: search.keep was 0, the search was made "
                "before weights were kept, or its evaluator writes none to Budget.weights; nas.train trains it anew"
            )
        return trained_network(self.space.decode(winner.genotype), file)

    @property
    def scored(self) -> list[Trial]:
        """Trials that a front is taken from: completed ones, and those that ended, or are paused, on a lower rung."""
        partial = (State.PRUNED, State.PAUSED)
        return [
            trial
            for trial in self.trials
            if trial.state is State.COMPLETED or (trial.state in partial and trial.rung is not None)
        ]

    @property
    def evaluated(self) -> int:
        """How many networks were evaluated, which `search.trials` limits: one that failed and was run again is one."""
        run_again = {trial.rerun_of for trial in self.trials}
        return sum(trial.trained and trial.number not in run_again for trial in self.trials)

    @property
    def compared(self) -> int:
        """How many trials the best was selected among: those that were evaluated, with whatever budget."""
        evaluated = (trial for trial in self.trials if trial.trained or trial.state is State.PAUSED)
        return sum(trial.state is not State.FAILED for trial in evaluated)

    @property
    def rung_scores(self) -> list[dict[int, float]]:
        """Of each trial that began on a rung, the first objective by rung, counted from 1."""
        begun = [trial for trial in self.trials if trial.first_rung is not None]
        return [{rung: values[0] for rung, values in trial.steps} for trial in begun]

    def rung_text(self, trial: Trial) -> str:
        """Return on which rung, of how many, a trial has its scores; empty where all get the same budget."""
        return f"{trial.rung} of {self.rungs}" if self.rungs > 1 and trial.rung is not None else ""

    def front(self) -> list[Trial]:
        """Return the trials that no other is better than in every objective, in their order.

        Where the better trials get more budget, few come to the highest rung, and more than those belong on the front.
        Trials are compared on equal terms then: each on the highest rung that it has ended, with all that have ended
        that rung too.
        """
        best: set[int] = set()
        for rung in {trial.rung for trial in self.scored}:
            compared = [trial for trial in self.scored if rung is None or rung in dict(trial.steps)]
            indices = front(self._points(compared, rung))
            best |= {compared[index].number for index in indices if compared[index].rung == rung}
        return [trial for trial in self.scored if trial.number in best]

    def knee(self) -> Trial | None:
        """Return the trial of the front where giving up one objective gains little of another; None without a front."""
        trials = self.front()
        return trials[knee(self._points(trials))] if trials else None

    def hypervolume(self, reference: tuple[float, ...] | None = None) -> list[float]:
        """Return the hypervolume that the trials dominate after each of `scored`.

        Args:
            reference: a value of each objective that is worse than all that count; by default the worst of each among
                the trials.
        """
        points = self._points(self.scored)
        if not len(points):
            return []
        worst = points.min(axis=0) if reference is None else self._signs * np.array(reference, float)
        return growing_hypervolume(points, worst)

    @property
    def ranked(self) -> list[Trial]:
        """The completed trials; where none is, as in a halving search that was cut short, those on the highest rung."""
        done = [trial for trial in self.trials if trial.state is State.COMPLETED]
        highest = max((trial.rung or 0 for trial in self.scored), default=0)
        return done or [trial for trial in self.scored if trial.rung == highest]

    def _points(self, trials: list[Trial], rung: int | None = None) -> NDArray[np.float64]:
        """Return the objectives of trials at their end or on a rung, `(trials, objectives)`; larger is better."""
        values = [self.values(trial) if rung is None else dict(trial.steps)[rung] for trial in trials]
        return np.asarray(np.array(values, float).reshape(len(trials), len(self.objectives)) * self._signs)

    @property
    def _signs(self) -> NDArray[np.float64]:
        return np.array([objective.sign for objective in self.objectives], float)

    def guided(self) -> tuple[int, int]:
        """Return how many candidates guided sampling made, and how many it examined for them."""
        examined = [trial.guided for trial in self.trials if trial.guided]
        return len(examined), sum(examined)


def front_of(study: Study) -> list[dict[str, Any]]:
    """Return the Pareto front as plain values, by the first objective: trial, objectives, architecture.

    Where the better trials get more budget, also the rung, of how many, on which a trial had these objectives.
    """
    knee = study.knee()
    return [
        {
            "trial": trial.number,
            "knee": trial is knee,
            **({"rung": trial.rung, "rungs": study.rungs} if study.rungs > 1 else {}),
            "objectives": {objective.name: objective.value(trial, study.workload) for objective in study.objectives},
            **({"recipe": dict(trial.recipe)} if trial.recipe else {}),
            "architecture": study.space.decode(trial.genotype).to_dict(),
        }
        for trial in study.best(len(study.trials))
    ]
