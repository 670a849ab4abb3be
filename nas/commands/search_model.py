"""The folder in that of a search with its best network as files that ship."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from nas.commands.export import export_run
from nas.errors import ConfigError, reason_of
from nas.json_output import add_facts, part_of_document
from nas.run_folder import BEST_ARCHITECTURE, shown, weights_file, write_whole
from nas.search.study import Study
from nas.to_type import to_type
from nas.training.data.config import DataConfig

MODEL = "model"
"""That folder, in the run folder."""


def write_best(study: Study, run: Path) -> Path:
    """Write the architecture of the best network, and remove the model of an earlier best one.

    What the user has put in the place of the model stays.
    """
    assert study.winner is not None
    text, path = study.space.decode(study.winner.genotype).to_json(indent=1) + "\n", run / BEST_ARCHITECTURE
    if path.exists() and path.read_text() != text and (run / MODEL).exists() and _is_export(run / MODEL):
        shutil.rmtree(run / MODEL)
    return write_whole(path, text)


def _is_export(folder: Path) -> bool:
    from nas.exporting.folder import check_free

    try:
        check_free(folder, replace_earlier=True)
    except ConfigError:
        return False
    return True


def write_model(study: Study, run: Path, data: DataConfig, console: Console) -> None:
    """Write the best network as files that ship, where its weights were kept; a search is not failed by it."""
    winner = study.winner
    if winner is None or winner.arch_id is None or not weights_file(run, winner.arch_id).exists():
        return
    out = shown(run) / MODEL
    console.print(f"\nWriting the best network to {out} ...", highlight=False)
    try:
        with part_of_document("model"):
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
