"""The folder in that of a search with its best network as files that ship."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

from rich.console import Console

from nas.commands.export import export_run
from nas.console import long_step
from nas.errors import ConfigError, reason_of
from nas.json_output import add_facts, part_of_document
from nas.reports.commands_to_repeat import train_command
from nas.run_folder import BEST_ARCHITECTURE, BEST_RECIPE, best_recipe, shown, weights_file, write_whole
from nas.search.study import Study
from nas.to_type import to_type
from nas.training.data.config import DataConfig
from nas.training.recipe_decisions import recipe_text

MODEL = "model"
"""That folder, in the run folder."""


def write_best(study: Study, run: Path) -> Path:
    """Write the architecture of the best network, with its recipe where that was decided.

    The model of an earlier best one is removed.

    What the user has put in the place of the model stays.
    """
    assert study.winner is not None
    recipe, before = dict(study.winner.recipe), best_recipe(run)
    text, path = study.space.decode(study.winner.genotype).to_json(indent=1) + "\n", run / BEST_ARCHITECTURE
    other = path.exists() and (path.read_bytes() != text.encode() or recipe != before)
    if other and (run / MODEL).exists() and _is_export(run / MODEL):
        shutil.rmtree(run / MODEL)
    if recipe:
        said = {"trial": study.winner.number, "arch_id": study.winner.arch_id, "recipe": recipe}
        write_whole(run / BEST_RECIPE, json.dumps(said, indent=1) + "\n")
    return write_whole(path, text)


def say_recipe(study: Study, run: Path, console: Console) -> None:
    """Say what was decided of the recipe of the best network, and the command that trains it so again."""
    winner = study.winner
    if winner is None or not winner.recipe:
        return
    again = train_command(shown(run), study.notes["config"], winner)
    add_facts({"train": again})
    console.print(f"Its recipe: {recipe_text(winner.recipe)} ({shown(run) / BEST_RECIPE})", highlight=False)
    console.print(f"To train it so again: {again}", highlight=False)


def _is_export(folder: Path) -> bool:
    from nas.exporting.place import check_free

    try:
        check_free(folder, replace_earlier=True)
    except ConfigError:
        return False
    return True


def write_model(study: Study, run: Path, data: DataConfig, console: Console) -> None:
    """Write the best network as files that ship, where its weights were kept; a search is not failed by it."""
    winner = study.winner
    if winner is None or winner.trained_id is None or not weights_file(run, winner.trained_id).exists():
        return
    from nas.training.data.load import notes_elsewhere

    out = shown(run) / MODEL
    console.print()
    try:
        with (
            long_step(f"Writing the best network to {out}", partial(console.print, highlight=False)),
            part_of_document("model"),
            notes_elsewhere(),  # at the start of the search
        ):
            export_run(shown(run), out, data=data, replace=True)
    except Exception as error:  # of whatever writes, quantises and runs ONNX
        again = to_type("export", shown(run), "out=FOLDER")
        add_facts({"model": {"trouble": reason_of(error)}})
        console.print(f"It was not written: {reason_of(error)}\n{again} tries it again", highlight=False)


def say_next(study: Study, run: Path, console: Console) -> None:
    """Say what comes after a search that has found a network."""
    if study.winner is not None:
        add_facts({"next": to_type("finish", shown(run))})
        console.print(
            f"Next: {to_type('finish', shown(run))}\n"
            "  trains the best networks anew beside published ones: the score on the test split with its interval, "
            "whether a published network would have done, and the model to ship",
            highlight=False,
        )
