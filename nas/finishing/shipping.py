"""The network that a finish recommends, as the folder that ships. torch and onnx are loaded when that is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import ConfigError
from nas.finishing.bench import Measure
from nas.finishing.folder import MODEL
from nas.finishing.report import Report
from nas.finishing.study import WINNER, Final
from nas.finishing.words import failures
from nas.run_folder import FINISH, read_inside

if TYPE_CHECKING:
    from nas.exporting.card import Card, Score
    from nas.training.data.splits import ImageData


def ship(report: Report, weights: Path) -> Path:
    """Write the folder that the recommended network ships in, as `nas export` does.

    One that an earlier session wrote is replaced when the new one is whole; until then it stays.

    Args:
        report: of a finish that recommends something.
        weights: folder of the weights of what is reported.

    Returns:
        The folder, `model` beside the report.

    Raises:
        NasError: weights or data cannot be read, the network cannot be written as ONNX, or the folder not at all, as
            where something is in it that no finish has written.
    """
    from nas.exporting.folder import export_model, read_weights
    from nas.exporting.place import check_free
    from nas.exporting.settings import ExportSettings
    from nas.exporting.source import architecture_source
    from nas.training.data.load import load_data, load_learned
    from nas.training.preprocess import as_trained, check_images, preprocess_of
    from nas.training.weights import load_metadata

    final = report.finish.finals[report.finish.recommended]
    architecture, settings = final.contestant.architecture, ExportSettings()
    out = report.folder / MODEL
    try:
        check_free(out, replace_earlier=True)
    except ConfigError as error:
        raise ConfigError(f"{error}. Nothing in it was touched") from None
    file = weights / f"{final.shipped.key}.safetensors"
    data = as_trained(load_learned(report.searched.data), load_metadata(file), file)
    export_model(
        out,
        architecture,
        read_weights(file),
        preprocess_of(data, architecture),
        card_of(report, data, load_data(report.searched.data).scored_images),
        source=architecture_source(architecture),
        images=check_images(data, settings.calibration_images),
        settings=settings,
        replace_earlier=True,
    )
    return out


def other_model(report: Report) -> str:
    """Return what the folder that ships holds, where it is there and no export of what this report recommends."""
    out = report.folder / MODEL
    if not os.path.lexists(out) or report.model is not None:
        return ""
    if not report.finish.ships:
        return f"{FINISH}/{MODEL} is what was there before; this report recommends nothing"
    arch_id = report.finish.finals[report.finish.recommended].contestant.architecture.arch_id
    try:
        same = arch_id in read_inside(out / "card.md").decode(errors="replace")
    except OSError:
        same = False
    what = "an earlier export of this network" if same else "another network or something else, not what is recommended"
    return f"{FINISH}/{MODEL} holds {what}"


def card_of(report: Report, data: ImageData, scored: int) -> Card:
    """Return what a finish says of the network that it recommends, whose validation score is of so many images."""
    from nas.exporting.card import Card

    final, searched, task = report.finish.finals[report.finish.recommended], report.searched, data.task
    failed = f" that gave a score ({failures(final)})" if final.failed else ""
    seed = {
        "seed": final.shipped.seed,
        "weights": f"of the first of {len(final.trained)} seeds{failed}, which was so before any score was known",
        "seconds": round(final.shipped.seconds, 1),
    }
    return Card(
        name=f"{task.model[0].upper()}{task.model[1:]} of {searched.study.name}",
        scores=tuple(_scores(report, final, data, scored)),
        training={**asdict(final.contestant.recipe), **seed},
        data=data.record(),
        origin=_origin(report, final),
        limits=task.limits,
    )


def _scores(report: Report, final: Final, data: ImageData, scored: int) -> Iterator[Score]:
    """Yield the means over seeds, that of the test split first, then the scores of the weights in the folder.

    `scored` are the images that a validation score is of; those of `data` are what the weights were validated on.
    """
    from nas.exporting.card import Score

    tested = {trial.seed: trial for trial in final.tested}
    score = data.task.score(data.task.default)
    counts = {"test": report.test_images, "validation": scored}
    folds = final.shipped.folds
    for split, name in (("test", score.on_test), ("validation", score.on_val)):
        found = final.interval(Measure(name))  # as it is: nothing is ranked by it here
        found = found.within(0.0, 1.0) if score.share else found
        if found.count:
            ends = (None, None) if isnan(found.low) else (found.low, found.high)
            fresh = f"mean of {found.count} fresh seed{'s' * (found.count != 1)}, which chose nothing"
            fresh += f"; {failures(final)}, and are not in it" if final.failed else ""
            fresh += f"; each the mean over {len(folds)} folds" if folds and split == "validation" else ""
            fresh += "; 95 % interval over seeds" if ends[0] is not None else ""
            yield Score(
                value=found.mean,
                split=split,
                how=fresh,
                low=ends[0],
                high=ends[1],
                images=counts[split],
                name=score.name,
            )
    how = f"the weights in this folder alone, of seed {final.shipped.seed}"
    if trial := tested.get(final.shipped.seed):
        value = trial.scores[score.on_test]
        yield Score(value=value, split="test", how=how, images=counts["test"], name=score.name)
    how += f": trained without fold 1 of {len(folds)}, and scored on it" if folds else ""
    value = (folds[0] if folds else final.shipped.scores)[score.on_val]
    yield Score(value=value, split="validation", how=how, images=len(data.val.labels), name=score.name)


def _origin(report: Report, final: Final) -> str:
    searched, name = report.searched, final.contestant.name
    limits = ", ".join(map(str, searched.limits)) if searched.had_limits else "none"
    of_search = f"a search of the space {searched.study.space.name} (limits: {limits})"
    if report.finish.recommended == WINNER:
        trained = searched.study.evaluated
        return (
            f"Found by {of_search}: {name}, one of {trained} candidates that were trained, chosen among the best "
            f"{len(report.finish.finalists)} by seeds that nothing else is reported of."
        )
    kind = report.finish.recommended
    return f"A {kind} network, {name}, found beside {of_search} in the same time. The search has found nothing better."
