"""What a finish found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

from nas.cost import cost_of
from nas.exporting.markdown import markdown
from nas.finishing.bench import Measure
from nas.finishing.halving import Halving
from nas.finishing.history import FIRST_LOOK, Looks
from nas.finishing.intervals import Comparison, MeanInterval
from nas.finishing.rivals import RivalCandidates
from nas.finishing.searched import Searched
from nas.finishing.settings import NONE, FinishSettings
from nas.finishing.study import WINNER, Final, Finish, choosing_seeds, reporting_seeds
from nas.finishing.time_limit import in_words
from nas.finishing.words import Unit, failures, named, sentence
from nas.own_code import referred
from nas.search.trial import Trial
from nas.statistics import proportion_interval
from nas.training.recipe import Recipe
from nas.training.recipe_decisions import recipe_text

FORMAT = "nas.finish/1"
_SHOWN_ON_A_RUNG = 5


@dataclass(frozen=True)
class Report:
    """All that is said of a finish."""

    searched: Searched
    settings: FinishSettings
    measure: Measure
    finish: Finish
    trials: Sequence[Trial]
    """Of the search: those of the finalists, in their order."""
    candidates: RivalCandidates
    """What the baselines were chosen from."""
    folder: Path
    """Of the finish: `finish` in the run folder."""
    test_images: int
    workers: int
    """Trainings at a time."""
    limit_seconds: float
    """That choosing and reporting could take."""
    looks: Looks = FIRST_LOOK
    """What of the test split was known before."""
    model: Path | None = None
    """The folder that what is recommended ships in; None where nothing is, or it could not be written."""
    trouble: str = ""
    """Why it could not be written, or nothing."""
    other_model: str = ""
    """What that folder holds, where it is there but not what is recommended, or nothing."""

    @property
    def search_score(self) -> float:
        """The winner's score in the search, as it is, not turned."""
        return self.trials[self.finish.race.winner].scores[self.measure.name]

    @property
    def too_high(self) -> float:
        """By how much the search's score of the winner was better than that of fresh seeds, on validation."""
        final = self.finish.finals[WINNER].interval(self.measure)
        return self.measure.sign * self.search_score - final.mean

    def sentence(self) -> str:
        """Return the recommendation in a sentence, without its full stop."""
        return sentence(self.finish, self.measure)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; scores and differences as the measure has them, differences up is better."""
        finish, race = self.finish, self.finish.race
        sign = self.measure.sign
        return {
            "format": FORMAT,
            "study_id": self.searched.study.study_id,
            "measure": self.measure.name,
            "settings": asdict(self.settings),
            "limit_seconds": self.limit_seconds,
            "recipe": asdict(finish.finals[WINNER].contestant.recipe),
            "search": {
                "seconds": self.searched.seconds,
                "workers": self.searched.workers,
                "workers_now": self.workers,
                "trained": self.searched.study.evaluated,
                "score": self.search_score,
            },
            "choosing": {
                "seeds": choosing_seeds(self.searched.seed, self.settings.seeds),
                "winner": race.winner,
                "out_of_time": race.out_of_time,
                "finalists": [
                    {
                        "name": contestant.name,
                        "arch_id": contestant.architecture.arch_id,
                        "search_score": trial.scores[self.measure.name],
                        "scores": [sign * score for score in scores],
                        "dropped": dropped,
                    }
                    for contestant, trial, scores, dropped in zip(
                        finish.finalists, self.trials, race.scores, race.dropped, strict=True
                    )
                ],
            },
            "baselines": {kind: _halving(halving, self.measure) for kind, halving in finish.halvings.items()},
            "no_baseline": dict(finish.missing),
            "candidates": [[one.kind, one.family, one.name] for one in self.candidates.candidates],
            "measuring_seconds": dict(self.candidates.measuring),
            "reporting_seeds": reporting_seeds(self.searched.seed, self.settings.final_seeds),
            "final": {kind: self._final(final) for kind, final in finish.finals.items()},
            "comparisons": {
                kind: {"val": _comparison(finish.on_val[kind]), "test": _comparison(finish.on_test[kind])}
                for kind in finish.on_test
            },
            "search_minus_final": _plain(self.too_high),
            "recommended": finish.recommended if finish.decided else None,
            "sentence": self.sentence(),
            "model": None if self.model is None else self.model.name,
            "trouble": self.trouble,
            "looks": asdict(self.looks) | {"recommended": [*self.looks.recommended]},
            "other_model": self.other_model,
        }

    def _final(self, final: Final) -> dict[str, Any]:
        cost, sign = cost_of(final.contestant.architecture), self.measure.sign
        return {
            "name": final.contestant.name,
            "arch_id": final.contestant.architecture.arch_id,
            "params": cost.params,
            "macs": cost.macs,
            "lr": final.contestant.recipe.lr,
            "trainings": len(final.ended),
            "failed": [trial.reason for trial in final.failed],
            "weights": [f"{trial.key}.safetensors" for trial in final.trained],
            **{
                where: {**_interval(final.interval(measure), sign), "by_seed": _by_seed(final, measure)}
                for where, measure in (("val", self.measure), ("test", self.measure.on_test))
            },
        }

    def lines(self) -> list[str]:
        """Return the report as Markdown, table and recommendation first."""
        return [*self._table(), "", f"**{self.sentence()}.**", "", *self._figures(), "", *self._how()]

    def _table(self) -> Iterator[str]:
        unit = Unit.of(self.measure)
        search = "search" if self.measure.sign == 1 else f"search ({self.measure.name}: lower is better)"
        yield f"| network | {search} | validation, fresh seeds | test | seeds | parameters | multiply-adds |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        for kind, final in self.finish.finals.items():
            cost = cost_of(final.contestant.architecture)
            what = "winner of the search" if kind == WINNER else named(kind)
            failed = f" ({failures(final)})" if final.failed else ""
            name = markdown(final.contestant.name)
            yield (
                f"| {what}: {name} | {unit.score(self.search_score) if kind == WINNER else ''} "
                f"| {unit.interval(final.interval(self.measure))} "
                f"| {unit.interval(final.interval(self.measure.on_test))} "
                f"| {len(final.trained)}{failed} | {cost.params:,} | {cost.macs:,} |"
            )

    def _recipe(self) -> Iterator[str]:
        """Say which recipe the winner was trained by, where the search has decided some of it."""
        winner = self.trials[self.finish.race.winner]
        if winner.recipe and self.settings.searched_recipe:
            yield (
                f"- The winner was trained with what the search found for it: {recipe_text(winner.recipe)}. A baseline "
                "has the same, but for its learning rate, of which it had three to choose from."
            )
        elif winner.recipe:
            yield f"- What the search found of the recipe ({recipe_text(winner.recipe)}) was not used."

    def _figures(self) -> Iterator[str]:
        unit = Unit.of(self.measure)
        if self.trouble:
            yield f"- What is recommended could not be exported: {self.trouble}."
        if self.other_model:
            yield f"- {self.other_model}."
        yield from self.looks.lines()
        yield from self._short_of_time()
        yield from self._failures()
        if note := objectives_note(self.searched):
            yield f"- {note}"
        if note := folds_note(self.searched):
            yield f"- {note}"
        yield from self._recipe()
        trained = self.searched.study.evaluated
        if not isnan(self.too_high):
            yield (
                f"- Search minus final, on validation: {unit.difference(self.too_high)}. The search's score is the "
                f"best of {trained} and by its own recipe; the final one is of fresh seeds and by the full recipe."
            )
        for kind, comparison in self.finish.on_test.items():
            on_val = self.finish.on_val[kind]
            yield (
                f"- Winner minus {kind} baseline, paired by seed: on validation {unit.gap(on_val.difference)}, on test "
                f"{unit.gap(comparison.difference)}."
            )
            if not isnan(comparison.sure_from):
                yield (
                    f"- With {comparison.difference.count} seeds and the noise seen here, the better network is "
                    "recommended in 95 of 100 cases where the two differ by "
                    f"{unit.size(comparison.sure_from)} or more."
                )
        final = self.finish.finals[WINNER].interval(self.measure.on_test)
        if final.count and self.measure.of_images:
            low, high = proportion_interval(round(final.mean * self.test_images), self.test_images)
            yield (
                "- Intervals are Student's at 95 % over seeds, for these images. Which images there are adds to that: "
                f"with {self.test_images:,} others the winner may have {unit.score(low)} to {unit.score(high)}."
            )

    def _short_of_time(self) -> Iterator[str]:
        """Say what the time was too short for."""
        finish = self.finish
        asked = self.settings.final_seeds
        done = {kind: len(final.ended) for kind, final in finish.finals.items()}
        short = [f"{count} of {asked} final seeds of the {kind}" for kind, count in done.items() if count < asked]
        if finish.race.out_of_time:
            scores = [scores for scores in finish.race.scores if scores]
            most = max(map(len, scores), default=0)
            short.append(f"{len(scores)} of {len(finish.finalists)} finalists with up to {most} seeds to choose from")
        if short:
            looked = any(final.tested for final in finish.finals.values())
            second = "; what it then reports is a second look at the test split" if looked else ""
            yield (
                f"- The time, {in_words(self.limit_seconds)}, was enough for {' and for '.join(short)}; the same "
                f"command with more finish.minutes goes on{second}."
            )

    def _failures(self) -> Iterator[str]:
        """Say which final trainings failed, and what follows from that."""
        for kind, final in self.finish.finals.items():
            if final.failed:
                reasons = markdown("; ".join(dict.fromkeys(trial.reason for trial in final.failed)))
                again = [trial for trial in final.failed if not trial.of_itself]
                more = f" The same command does {len(again)} of them again." if again else ""
                yield (
                    f"- {len(final.failed)} of {len(final.ended)} final trainings of the {named(kind)} failed: "
                    f"{reasons}. Means, intervals and pairs are of the others; of two networks that with fewer "
                    f"failures is recommended.{more}"
                )

    def _how(self) -> Iterator[str]:
        finish, unit, sign = self.finish, Unit.of(self.measure), self.measure.sign
        yield "## How the winner was chosen"
        yield ""
        if len(finish.finalists) == 1:
            yield "It is the only finalist, the best of the search."
        else:
            yield f"By up to {self.settings.seeds} fresh seeds on the validation split, none of which is reported."
        yield ""
        study = self.searched.study
        others = study.objectives[1:]
        yield f"| finalist | search |{''.join(f' {one.name} |' for one in others)} fresh seeds | |"
        yield f"| --- | --- |{' --- |' * len(others)} --- | --- |"
        for i, contestant in enumerate(finish.finalists):
            scores = ", ".join(unit.score(sign * score) for score in finish.race.scores[i])
            note = "winner" if i == finish.race.winner else finish.race.dropped[i]
            also = "".join(f" {_number(one.value(self.trials[i], study.workload))} |" for one in others)
            search = unit.score(self.trials[i].scores[self.measure.name])
            yield f"| {markdown(contestant.name)} | {search} |{also} {scores} | {note} |"
        yield from self._how_baselines()

    def _how_baselines(self) -> Iterator[str]:
        unit, sign = Unit.of(self.measure), self.measure.sign
        if self.settings.baseline == NONE:
            yield from (
                "",
                "No baseline was asked for (finish.baseline=none): a published network may be as good.",
            )
        for kind, why in self.finish.missing.items():
            yield from ("", f"No {kind} baseline: {why}")
        for kind, halving in self.finish.halvings.items():
            own, measuring = self.candidates.of(kind), self.candidates.measuring.get(kind)
            families = sorted({one.family for one in own} - {""})
            yield from ("", f"## The {kind} baseline", "")
            limits = ", ".join(map(str, self.searched.limits))
            limits += "" if self.searched.had_limits else " (the search had no limits: the largest that it trained)"
            yield (
                f"{len(own)} networks{f' of {len(families)} families' if families else ''} hold {limits}. Successive "
                f"halving had {halving.seconds:,.0f} s of all workers, as much as the search and choosing its winner "
                f"took, waiting included: {halving.tried} of {halving.candidates} networks with learning rates were "
                "tried." + ("" if measuring is None else f" Before, {measuring:,.0f} s went into measuring latencies.")
            )
            if late := ", ".join(map(str, self.searched.late_limits)):
                yield f"Nobody has tried whether they hold {late}, which only training shows."
            for rung in halving.rungs:
                best = "; ".join(
                    f"{trial.name}: {unit.score(sign * self.measure.of(trial))}"
                    for trial in rung.trials[:_SHOWN_ON_A_RUNG]
                )
                yield f"- {rung.epochs} epoch{'s' * (rung.epochs != 1)}, {len(rung.trials)} trained, the best: {best}"
            if families:
                yield from ("", "All candidates: " + "; ".join(one.name for one in own) + ".")


def loss_note(searched: Searched, recipe: Recipe) -> str:
    """Say that a finish trains by another loss than the search, where that had one of the user's own; else nothing."""
    loss = searched.recipe.loss
    if loss is None or loss == recipe.loss:
        return ""
    own = referred(loss, "train.loss").short
    now = "that of the task" if recipe.loss is None else referred(recipe.loss, "train.loss").short
    return f"The search trained by the loss {own}, this finish by {now}: a finish has its own recipe (train.loss)."


def folds_note(searched: Searched) -> str:
    """Say what a training of a finish is where the search validated in folds; else nothing."""
    count = searched.data.folds
    if not count:
        return ""
    return (
        f"With data.folds={count}, as in the search, a training of a seed is {count}, once without each fold: its "
        "validation score is the mean over the folds, and what is tested and ships is the network trained without the "
        "first one."
    )


def objectives_note(searched: Searched) -> str:
    """Say that a finish looks at the first objective alone, where the search had several; else nothing."""
    study = searched.study
    if len(study.objectives) < 2:
        return ""
    first, names = study.objectives[0].name, ", ".join(one.name for one in study.objectives)
    note = (
        f"The search had several objectives ({names}). A finish chooses and compares by {first} alone, among the "
        "networks on the search's front that are best in that."
    )
    knee = study.knee()
    if knee is None:
        return note
    values = ", ".join(f"{one.name} {_number(one.value(knee, study.workload))}" for one in study.objectives)
    return f"{note} The search's own model, the knee of its front, is trial {knee.number} ({values})."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"


def _halving(halving: Halving, measure: Measure) -> dict[str, Any]:
    return {
        "chosen": halving.chosen.name,
        "lr_multiple": halving.chosen.lr_multiple,
        "seconds": halving.seconds,
        "spent": halving.spent,
        "tried": halving.tried,
        "candidates": halving.candidates,
        "rungs": [
            {"epochs": rung.epochs, "trials": [[trial.name, trial.scores[measure.name]] for trial in rung.trials]}
            for rung in halving.rungs
        ],
    }


def _interval(found: MeanInterval, sign: int = 1) -> dict[str, Any]:
    ends = sorted((sign * found.low, sign * found.high)) if not isnan(found.low) else (found.low, found.high)
    values = {"mean": sign * found.mean, "low": ends[0], "high": ends[1], "std": found.std}
    return {**{name: _plain(value) for name, value in values.items()}, "count": found.count}


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        **_interval(found.difference),
        "ahead": found.ahead,
        "behind": found.behind,
        "shown": found.shown,
        "sure_from": _plain(found.sure_from),
    }


def _by_seed(final: Final, measure: Measure) -> Mapping[str, float]:
    return {str(seed): measure.sign * score for seed, score in final.scores(measure).items()}


def _plain(value: float) -> float | None:
    return None if isnan(value) else value
