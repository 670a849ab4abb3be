"""`nas evaluate`: how well a model does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.network_argument import types_data, with_recorded_data
from nas.console import run
from nas.errors import ConfigError, in_a_line, why_unreadable
from nas.json_output import add_facts
from nas.run_folder import shown, user_path, write_whole
from nas.settings import Range, check_settings, setting, settings_from
from nas.training.data.config import DataConfig
from nas.training.data.registry import DATA_SETS

if TYPE_CHECKING:
    from nas.training.evaluate import Evaluated
    from nas.training.scores import Scores
    from nas.training.scores_of_answers import AnswerScores

_SHOWN = 5
"""Mistakes that are printed."""
_LONGEST = 300
"""Letters of a path, or of what an image with several classes is told as."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """All settings of an evaluation."""

    model: str | None = setting(
        None, "given as the first word: the folder of a training, of a search, or one with an exported model.onnx",
        typed="text",
    )  # fmt: skip
    split: str = setting("val", "val, or test: once, when all decisions are made", ("val", "test"))
    worst: int = setting(24, "mistakes to list and to show", Range(0, 1000, whole=True))
    out: str | None = setting(
        None,
        "folder for evaluation.json and .html; null: evaluation_SPLIT in the run folder, that of a finish in its own, "
        "or beside DIR",
        typed="text",
    )
    data: DataConfig = setting(DataConfig, "which data set; that of the training or search where nothing is said of it")

    def __post_init__(self) -> None:
        check_settings(self, "")
        if self.model is None:
            raise ConfigError(
                "which model? nas evaluate DIR: the folder of a training, of a search, or an exported one"
            )


def evaluate_command(values: Mapping[str, Any], typed: Iterable[str]) -> int:
    """Evaluate as some settings say.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave.

    Returns:
        The exit code.
    """
    return run("nas.evaluate", lambda: _evaluate(values, list(typed)))


def _evaluate(values: Mapping[str, Any], typed: list[str]) -> None:
    model = values.get("model")
    config = settings_from(EvaluateConfig, with_recorded_data(values, typed, model if isinstance(model, str) else None))
    print("Loading torch and the data ...", flush=True)
    from nas.training.evaluate import evaluate
    from nas.training.evaluation_page import page
    from nas.training.model_file import model_in

    folder = user_path(config.model or "")
    data = config.data if types_data(typed) else None
    found = evaluate(folder, data, split=config.split, worst=config.worst)
    out = user_path(config.out) if config.out is not None else model_in(folder).results(config.split)
    why_not = ""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "evaluation.json", json.dumps(found.to_dict(), indent=1) + "\n")
        write_whole(out / "evaluation.html", page(found))
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        why_not = why_unreadable(error)
    add_facts({**found.to_dict(), "folder": None if why_not else out})
    _print(found, None if why_not else out / "evaluation.html")
    if why_not:  # what was found is told first: a test split is to be read once
        raise ConfigError(f"out: {out} cannot be written: {why_not}. The scores above are whole; out=FOLDER keeps them")


def _print(found: Evaluated, page: Path | None) -> None:
    """Print what was found, and the page where there is more, if it could be written."""
    from nas.exporting.series_card import of_series
    from nas.training.scores import Scores

    series = found.data in DATA_SETS and DATA_SETS[found.data].series
    print(
        f"{shown(found.folder.absolute()) / found.file} on the {found.where} of {found.data}: "
        f"{found.scored.images:,} {'series' if series else 'images'}\n"
    )
    if isinstance(found.scored, Scores):
        _print_classified(found.scored, found.other_data, of_series if series else str)
        more = "Every class, what is taken for what, and the " + ("series" if series else "pictures")
    else:
        _print_answered(found.scored, found.other_data)
        more = "All scores, and the pictures"
    if page is not None:
        print(f"\n{more}: {shlex.quote(str(shown(page.absolute())))}")


def _print_classified(scores: Scores, other_data: str, said: Callable[[str], str] = str) -> None:
    from nas.training.scores import CLOPPER_PEARSON
    from nas.training.tasks.classification import TOP

    # Of as many classes, or fewer, every image is right.
    top = f"{f'top-{TOP} accuracy':28}{scores.top5:.4f}\n" if len(scores.classes) > TOP else ""
    print(
        f"accuracy                    {scores.accuracy:.4f}  ({scores.low:.4f} to {scores.high:.4f}: "
        f"{said(CLOPPER_PEARSON)})\n"
        f"balanced accuracy           {scores.balanced_accuracy:.4f}\n"
        f"macro F1                    {scores.macro_f1:.4f}\n"
        f"{top}"
        f"log loss                    {scores.log_loss:.4f}\n"
        f"expected calibration error  {scores.calibration_error:.4f}\n"
    )
    if other_data:
        print(f"Note: {other_data}\n")
    names = [in_a_line(one.name) for one in scores.classes]
    width = max(5, *map(len, names))
    print(f"{'class':{width}}  {said('images')}  precision  recall      F1")
    for name, one in zip(names, scores.classes, strict=True):
        print(f"{name:{width}}  {one.images:6,}  {one.precision:9.3f}  {one.recall:6.3f}  {one.f1:6.3f}")
    if scores.worst:
        print("\nMost wrong about")
        for mistake in scores.worst[:_SHOWN]:
            which = in_a_line(mistake.name, _LONGEST) or f"{said('image')} {mistake.image}"
            print(
                f"  {which}: {in_a_line(mistake.label)} ({mistake.of_label:.1%}), called "
                f"{in_a_line(mistake.predicted)} ({mistake.probability:.1%})"
            )


def _columns(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _print_answered(scores: AnswerScores, other_data: str) -> None:
    from nas.training.evaluation_page import lines_of

    lines = [*lines_of(scores)]
    width = max(len(name) for name, _ in lines)
    print("\n".join(f"{name:{width}}  {value}" for name, value in lines) + "\n")
    if other_data:
        print(f"Note: {other_data}\n")
    names = [in_a_line(one.name) for one in scores.outputs]
    width, heads = max(map(len, names)), [*scores.outputs[0].scores]
    cells = [["" if value is None else f"{value:.4g}" for value in one.scores.values()] for one in scores.outputs]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    print(f"{'':{width}}  images" + _columns((name.replace("_", " ") for name in heads), widths))
    for name, one, own in zip(names, scores.outputs, cells, strict=True):
        sized = _columns(own, widths)
        print(f"{name:{width}}  {one.images:6,}{sized}")
    if scores.worst:
        print("\nMost wrong about")
        for wrong in scores.worst[:_SHOWN]:
            which = in_a_line(wrong.name, _LONGEST) or f"image {wrong.image}"
            label, predicted = (in_a_line(said, _LONGEST) for said in (wrong.label, wrong.predicted))
            print(f"  {which}: {label}, called {predicted}")
