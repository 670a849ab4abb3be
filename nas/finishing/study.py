"""The course of a finish: choose the winner, choose the baseline in equal seconds, train both anew, compare.

Nothing here trains: a `Bench` does, which may be simulated (benchmarks/honest_finish.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from nas.errors import EvaluationError, NasError
from nas.finishing.bench import CHOOSE, REPORT, TEST, Bench, Contestant, FinishTrial, Measure
from nas.finishing.halving import Halving, successive_halving
from nas.finishing.intervals import Comparison, MeanInterval, compare, interval_of
from nas.finishing.racing import Race, race
from nas.finishing.settings import FinishSettings
from nas.finishing.time_limit import in_words
from nas.seeds import derived_seed

WINNER = "winner"
"""What the winner of the search is called among those that are reported; baselines have their own names."""
Say = Callable[[str], None]
"""Takes a line for the user."""


@dataclass(frozen=True)
class Rival:
    """What the winner is compared with: networks of which the best is found in the seconds that the winner took."""

    kind: str
    """One of `nas.finishing.settings.BASELINES`, but none."""
    contestants: Sequence[Contestant]
    """In the order in which they are tried."""
    measuring: float = 0.0
    """Seconds of those that measuring the latency of its candidates has taken already."""


@dataclass(frozen=True)
class Final:
    """A network that is reported, by seeds that chose nothing."""

    contestant: Contestant
    trained: tuple[FinishTrial, ...]
    """Its trainings that gave a score, a seed each."""
    tested: tuple[FinishTrial, ...]
    """Their scores on the test split."""
    failed: tuple[FinishTrial, ...]
    """Trainings that gave none, and scorings on the test split that did not."""

    @property
    def ended(self) -> frozenset[int]:
        """Seeds with which its training has ended, whatever came of it."""
        return frozenset(trial.seed for trial in (*self.trained, *self.failed))

    @property
    def shipped(self) -> FinishTrial:
        """Its training whose weights are used: the first seed's, whatever the scores are.

        To take the best one would be to choose by what is reported.
        """
        return self.trained[0]

    def scores(self, measure: Measure) -> dict[int, float]:
        """Return its scores by seed, larger being better: on the test split where the measure is one of that."""
        trials = self.trained if self.trained and measure.name in self.trained[0].scores else self.tested
        return {trial.seed: measure.of(trial) for trial in trials}

    def interval(self, measure: Measure) -> MeanInterval:
        """Return the mean over its seeds with its interval, larger being better."""
        return interval_of([*self.scores(measure).values()])


@dataclass(frozen=True)
class Finish:
    """All that came out of a finish."""

    race: Race
    finalists: tuple[Contestant, ...]
    halvings: Mapping[str, Halving]
    """How each baseline was chosen, by its kind."""
    missing: Mapping[str, str]
    """Why there is no baseline of a kind that was asked for."""
    finals: Mapping[str, Final]
    """What is reported: the winner, then each baseline by its kind."""
    on_val: Mapping[str, Comparison]
    """The winner against each baseline on the validation split, by the kind of the baseline."""
    on_test: Mapping[str, Comparison]
    """The same on the test split, which decides."""

    @property
    def compared(self) -> tuple[str, ...]:
        """The kinds of the baselines that were trained with a seed of the winner, whatever came of it."""
        mine = self.finals[WINNER].ended
        return tuple(kind for kind in self.on_test if mine & self.finals[kind].ended)

    @property
    def decided(self) -> bool:
        """Whether anything is recommended: something gave a score, and, where there is a baseline, one was compared."""
        return self.ships and bool(self.compared or not self.on_test)

    @property
    def ships(self) -> bool:
        """Whether there are weights of what is recommended, also where that was not compared for want of time."""
        return bool(self.finals[self.recommended].trained)

    @property
    def recommended(self) -> str:
        """What is recommended: the winner, or the kind of the baseline that was at least as good on the test split.

        A training that fails counts as the worst result: of two networks that with fewer failures is recommended,
        whatever the other scores are, and where as many failed the scores of the others decide. A baseline that has no
        seed in common with the winner is not compared with it.
        """
        better = [kind for kind in self.compared if self._at_least_as_good(kind)]
        return min(better, key=self._place) if better else WINNER

    @property
    def closest(self) -> str:
        """The baseline that comes closest to the winner, or is best; one must have been compared."""
        return min(self.compared, key=self._place)

    def _at_least_as_good(self, kind: str) -> bool:
        mine, theirs = self.finals[WINNER], self.finals[kind]
        if not theirs.trained:
            return False
        if len(mine.failed) != len(theirs.failed):
            return len(theirs.failed) < len(mine.failed)
        return not self.on_test[kind].recommended

    def _place(self, kind: str) -> tuple[bool, int, float]:
        """Return what is smaller the better a baseline is: something came of it, few failures, small differences."""
        final, gap = self.finals[kind], self.on_test[kind].difference
        return not final.trained, len(final.failed), gap.mean if gap.count else 0.0


def choosing_seeds(study_seed: int, count: int) -> list[int]:
    """Return the seeds that choose the winner; they report nothing."""
    return [derived_seed(study_seed, "finish", "choose", number) for number in range(count)]


def reporting_seeds(study_seed: int, count: int) -> list[int]:
    """Return the seeds of what is reported; they choose nothing."""
    return [derived_seed(study_seed, "finish", "report", number) for number in range(count)]


def choosing_share(settings: FinishSettings, rivals: int) -> float:
    """Return the share of the time limit that choosing may take: that of its trainings among all."""
    choosing = settings.top_k * settings.seeds
    return choosing / (choosing + settings.final_seeds * (1 + rivals))


def carry_out(
    settings: FinishSettings,
    finalists: Sequence[Contestant],
    rivals: Sequence[Rival],
    bench: Bench,
    measure: Measure,
    *,
    study_seed: int,
    search_seconds: float,
    limit_seconds: float = inf,
    say: Say = lambda line: None,
) -> Finish:
    """Choose, train anew and compare.

    The winner is chosen by seeds of their own, the baselines on the validation split in the seconds that it took to
    find the winner: those of the search, and those of choosing it from the best. Then the winner and the chosen
    baselines are trained with the same other seeds, by the same recipe (a baseline keeps the learning rate that it was
    chosen with), as many as the time holds: all networks with the first seed, then all with the second. What choosing
    leaves of its share of the time is for these. The test split is read when the last of them has ended.

    Args:
        settings: how many networks and seeds.
        finalists: the best of the search, the best first.
        rivals: what the winner is compared with.
        bench: trains.
        measure: a score of the validation split, by which everything is chosen.
        study_seed: seed of the search, from which all seeds are derived.
        search_seconds: that the search took, with as many workers as there are now.
        limit_seconds: that choosing the winner and training what is reported may take together.
        say: told how it goes.

    Raises:
        NasError: nothing could be trained to choose from.
    """
    until = limit_seconds * choosing_share(settings, len(rivals))
    if len(finalists) > 1:
        seeds = f"{settings.seeds} seed{'s' * (settings.seeds > 1)}"
        say(f"Choosing the winner: {len(finalists)} networks, up to {seeds} each, at most {in_words(until)}")
    found = race(finalists, choosing_seeds(study_seed, settings.seeds), bench, measure, until=until)
    winner = finalists[found.winner]
    say(f"Winner: {winner.name}, {_how_chosen(found)}")
    halvings, missing = dict[str, Halving](), dict[str, str]()
    for rival in rivals:
        seconds = max(0.0, search_seconds + bench.spent(CHOOSE) - rival.measuring)
        say(
            f"Baseline: {len(rival.contestants)} {rival.kind} candidates get {in_words(seconds)}: as many as that "
            "holds with few epochs, the better third of them with 3 times as many, and so on"
        )
        try:
            halvings[rival.kind] = successive_halving(
                rival.contestants, bench, measure, phase=rival.kind, seconds=seconds, seed=study_seed
            )
        except EvaluationError:  # all fail alike, whatever is trained
            raise
        except NasError as error:
            missing[rival.kind] = str(error)
            say(f"No baseline: {error}")
        else:
            say(f"Baseline ({rival.kind}): {halvings[rival.kind].chosen.name}")
    baselines = {kind: halving.chosen.by(winner.recipe) for kind, halving in halvings.items()}
    reported = {WINNER: winner, **baselines}
    left = limit_seconds - min(until, bench.spent(CHOOSE))
    say(f"Training {' and '.join(reported)} with {settings.final_seeds} other seeds, at most {in_words(left)}")
    finals = _finals(reported, reporting_seeds(study_seed, settings.final_seeds), bench, left)
    return Finish(
        race=found,
        finalists=tuple(finalists),
        halvings=halvings,
        missing=missing,
        finals=finals,
        on_val={kind: _compared(finals, kind, measure) for kind in halvings},
        on_test={kind: _compared(finals, kind, measure.on_test) for kind in halvings},
    )


def _how_chosen(found: Race) -> str:
    tried, seeds = sum(map(bool, found.scores)), len(found.scores[found.winner])
    if not seeds:
        only = len(found.scores) == 1
        return "the only finalist" if only else "the best of the search: the time held no training to choose by"
    by = f"the mean of its {seeds} seeds" if seeds > 1 else "its one seed"
    return (
        f"by {by}; of equal means the better one in the search. {tried} of {len(found.scores)} were trained in the time"
    )


def _finals(reported: Mapping[str, Contestant], seeds: Sequence[int], bench: Bench, until: float) -> dict[str, Final]:
    """Train what is reported, seed by seed, then score all that came of it on the test split."""
    # Equal networks, such as a winner that is a published one, are trained once.
    jobs = {job.key: job for seed in seeds for job in (one.job(REPORT, seed) for one in reported.values())}
    trials = bench.run([*jobs.values()], until=until)
    done = [job for key, job in jobs.items() if key in trials and not trials[key].reason]
    tested = bench.test([job.tested for job in done])
    finals = {}
    for kind, contestant in reported.items():
        own = [contestant.job(REPORT, seed).key for seed in seeds]
        finals[kind] = _final(contestant, [trials[key] for key in own if key in trials], tested)
    return finals


def _final(contestant: Contestant, mine: Sequence[FinishTrial], tested: Mapping[str, FinishTrial]) -> Final:
    """Return what came of a network; a training whose weights have no score on the test split has failed too."""
    keys = [contestant.job(TEST, trial.seed).key for trial in mine if not trial.reason]
    tests = [tested[key] for key in keys if key in tested]
    bad = [trial for trial in tests if trial.reason]
    lost = {trial.seed for trial in bad}
    return Final(
        contestant,
        tuple(trial for trial in mine if not trial.reason and trial.seed not in lost),
        tuple(trial for trial in tests if not trial.reason),
        (*(trial for trial in mine if trial.reason), *bad),
    )


def _compared(finals: Mapping[str, Final], kind: str, measure: Measure) -> Comparison:
    """Compare the winner with a baseline over the seeds that both have scores with."""
    mine, theirs = finals[WINNER].scores(measure), finals[kind].scores(measure)
    both = [seed for seed in mine if seed in theirs]
    return compare([mine[seed] for seed in both], [theirs[seed] for seed in both])
