"""What a person sees while a search runs: a line a trial, and on a terminal a live line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nas.cost import AFTER_TRAINING
from nas.search.steering import change_text, setting_of
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.training.recipe_decisions import recipe_text

_LOG = logging.getLogger(__name__)
_COUNTED = (State.REJECTED, State.OVER_LIMIT, State.DUPLICATE, State.PRUNED, State.FAILED)
"""States whose numbers the live line has."""


def duration(seconds: float) -> str:
    """Return seconds as text, such as `1:02:03` or `2:03`."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


_SILENT_SECONDS = 30.0
"""After which a line says that the search goes on, where there is no live line."""

P = ParamSpec("P")


def _shown(show: Callable[P, None]) -> Callable[P, None]:
    """Return a method that logs its errors: what goes wrong where something is shown must not end a search."""

    @wraps(show)
    def shown(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            show(*args, **kwargs)
        except Exception:  # whatever a terminal or the layout of a line may raise
            _LOG.warning("the progress cannot be shown", exc_info=True)

    return shown


class Progress:
    """A recorder that prints a line for each trial, and on a terminal a live line.

    The live line has counts, the best score so far, and the time left. Elsewhere, such as in a file, that is a line of
    its own where nothing else was printed for half a minute.
    """

    def __init__(self, console: Console, trials: int | None, minutes: float | None) -> None:
        """Make a recorder for a search that ends after so many trials or minutes; None: the other one says when."""
        self.console, self.trials, self.minutes = console, trials, minutes
        self._live: Live | None = None
        self._started = time.monotonic()
        self._done_before = 0
        self._running = 0
        self._rejected_shown = 0
        self._waiting: set[int] = set()
        """Trials that are paused, by number."""
        self._printed = time.monotonic()
        """When the last line was."""
        self._steered: dict[str, object] = {}
        """Of when the search ends, what was changed as it runs and has been shown."""

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False)
        self._printed = time.monotonic()

    @_shown
    def begin(self, study: Study) -> None:
        """Start the clock and the live line."""
        self._started = self._printed = time.monotonic()
        self._done_before = study.evaluated
        if study.designs and not study.trials:
            several = "s" * (len(study.designs) > 1)
            text = f"Begins with {len(study.designs)} known design{several}: {'; '.join(study.designs)}"
            self._print(text)
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
            self._show(study)

    @_shown
    def proposed(self, study: Study, running: int) -> None:
        """Update the live line, and say what was changed as the search runs."""
        self._running = running
        if study.steered != self._steered:
            self._steered = dict(study.steered)
            self.trials = study.steered.get("trials", self.trials)
            self.minutes = study.steered.get("minutes", self.minutes)
            words = " ".join(f"{setting_of(name)}={change_text(value)}" for name, value in self._steered.items())
            self._print(f"Changed as it runs: {words}")
        self._show(study)

    def _show(self, study: Study) -> None:
        if self._live is not None:
            self._live.update(Text(self._status(study), no_wrap=True, overflow="ellipsis"), refresh=True)
        elif time.monotonic() - self._printed >= _SILENT_SECONDS:
            self._print(f"  {self._status(study)}")

    @_shown
    def paused(self, study: Study, trial: Trial) -> None:
        """Print a line for a trial that may get more budget."""
        self._waiting.add(trial.number)
        self._print(self._line(study, trial) + f"  paused on rung {trial.steps[-1][0]}")

    @_shown
    def ended(self, study: Study, trial: Trial) -> None:
        """Print a line for a trial; rejected ones are counted in the live line, or now and then in one of their own."""
        self._waiting.discard(trial.number)
        if trial.state is State.REJECTED:
            # On a terminal the live line counts them; in a log, now and then a line shows that things move.
            rejected = study.counts()["rejected"]
            if self._live is None and rejected >= max(50, 2 * self._rejected_shown):
                self._rejected_shown = rejected
                self._print(f"  {rejected} candidates rejected so far, the last one: {trial.reason}")
            self._show(study)
            return
        self._print(self._line(study, trial))

    @_shown
    def end(self, study: Study) -> None:
        """Remove the live line."""
        if self._live is not None:
            self._live.stop()

    def _line(self, study: Study, trial: Trial) -> str:
        same = "network and recipe" if trial.recipe else "network"
        original = f"  same {same} as trial {trial.duplicate_of}" if trial.duplicate_of is not None else ""
        again = f"  trial {trial.rerun_of} run again" if trial.rerun_of is not None else ""
        names = dict.fromkeys([*(objective.name for objective in study.objectives), *AFTER_TRAINING])
        scores = [name for name in names if name in trial.scores]
        if not scores or trial.state is State.FAILED:
            how = "over a limit" if trial.state is State.OVER_LIMIT else "failed"
            return f"  trial {trial.number:>4}  {how}{original}{again}: {trial.reason}"
        cost = trial.cost
        assert cost is not None
        seconds, values = trial.seconds.get("evaluation"), study.values(trial)
        return (
            f"  trial {trial.number:>4}"
            + "".join(f"  {name} {trial.scores[name]:.4f}{_over_folds(trial, name)}" for name in scores)
            + (f" ({values[0]:.4f} with soft limits)" if trial.soft_excess and values else "")
            + f"  params {cost.params:>11,}  macs {cost.macs:>13,}"
            + (f"  {trial.latency.ms:8.3f} ms" if trial.latency else "")
            + (f"  {seconds:6.1f} s" if seconds is not None and not original else original)
            + (f"  {recipe_text(trial.recipe)}" if trial.recipe else "")
            + (f"  {trial.design}" if trial.design else "")
            + again
            + (f"  with weights of trial {trial.inherited_from}" if trial.inherited_share else "")
            + (f"  {trial.inherited_problem}" if trial.inherited_problem else "")
            + (f"  {trial.reason}" if trial.state in (State.PRUNED, State.OVER_LIMIT) else "")
        )

    def _status(self, study: Study) -> str:
        counts, done, best = study.counts(), study.evaluated, study.best(1)
        parts = [f"{done}{'' if self.trials is None else f'/{self.trials}'} done", f"{self._running} running"]
        parts += [f"{len(self._waiting)} paused"] if self._waiting else []
        parts += [f"{counts[state]} {state}" for state in _COUNTED if counts.get(state)]
        parts += [f"best {best[0].scores[study.objective]:.4f}"] if best else []
        parts += [f"{duration(time.monotonic() - self._started)} gone", self._left(done)]
        return " | ".join(part for part in parts if part)

    def _left(self, done: int) -> str:
        """Return the time left at the speed so far, or until the limit in minutes; empty where neither says."""
        spent, now = time.monotonic() - self._started, done - self._done_before
        guesses = []
        if now and self.trials is not None:
            guesses.append(spent / now * (self.trials - done))
        if self.minutes is not None:
            guesses.append(60 * self.minutes - spent)
        return f"about {duration(min(guesses))} left" if guesses else ""


def _over_folds(trial: Trial, name: str) -> str:
    """Return the standard deviation of a score over the folds, as text; empty where there are none."""
    deviation = trial.deviation(name)
    return "" if deviation is None else f" (sd of {len(trial.folds)} folds {deviation:.4f})"
