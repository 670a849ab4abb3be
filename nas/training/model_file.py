"""The model of a folder, ours or an exported one: which file is run, and what it says of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nas.errors import ConfigError, DataError, NasError, reason_of
from nas.exporting.folder import ARCHITECTURE, WEIGHTS
from nas.network.architecture import Architecture
from nas.run_folder import BEST_ARCHITECTURE, FINISH, best_weights_file, read_inside, read_json
from nas.training.data.splits import ImageData
from nas.training.preprocess import listed, task_said

SUMMARY = "train.json"
"""In the folder of a training: what came out."""
ONNX = "model.onnx"
"""An exported model, which takes images as they are."""
STUDY = "study.json"
"""In the folder of a search: its record."""


@dataclass(frozen=True)
class ModelIn:
    """The model of a folder."""

    folder: Path
    """As it was given."""
    file: Path
    """What is run: weights, or an exported model."""
    architecture: Path | None
    """The file with the network; None where the model is exported."""

    @property
    def run(self) -> Path | None:
        """The folder of the run that made it, which keeps what is found out of it; None where it ships alone.

        An exported folder stays as it was exported: a search that goes on replaces the one that it has written.
        """
        exported = self.file.parent.absolute()
        if self.architecture is not None:
            return self.folder
        above = [exported.parent, *([exported.parent.parent] if exported.parent.name == FINISH else [])]
        own = None if self.folder.absolute() == exported else self.folder
        return next((one for one in above if any((one / name).is_file() for name in (STUDY, SUMMARY))), own)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those that may say more of the model: as it was given, that of the file, and that of the run."""
        return tuple(dict.fromkeys(one for one in (self.file.parent, self.folder, self.run) if one is not None))

    def results(self, split: str) -> Path:
        """Return the folder for what an evaluation on a split finds out: in that of the run, or beside what ships.

        That of the model of a finish is in the folder of the finish: it is another network than the best of the search.
        """
        exported = self.file.parent.absolute()
        if self.run is not None:
            of_finish = self.run.absolute() / FINISH == exported.parent
            return (exported.parent if of_finish else self.run) / f"evaluation_{split}"
        return exported.with_name(f"{exported.name}_evaluation_{split}")

    @property
    def ledger(self) -> Path:
        """The folder whose ledger says when the test split was read."""
        return self.results("test") if self.run is None else self.run


def model_in(folder: Path) -> ModelIn:
    """Return the model of a folder: its own, the best one of a search with kept weights, or that in its `model/`.

    Raises:
        ConfigError: it has none, or a file cannot be read. NasError: the best network of a search is none.
    """
    for own in (True, False):
        place = folder if own else folder / "model"
        if all((place / name).is_file() for name in (ARCHITECTURE, WEIGHTS)):
            return ModelIn(folder, place / WEIGHTS, place / ARCHITECTURE)
        if (place / ONNX).is_file():
            return ModelIn(folder, place / ONNX, None)
        if own and (winner := folder / BEST_ARCHITECTURE).is_file():
            weights = best_weights_file(folder, read_json(winner, "the best network", Architecture.from_dict).arch_id)
            if weights.is_file():
                return ModelIn(folder, weights, winner)
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")
    raise ConfigError(
        f"{folder} has no model: neither {ONNX}, nor {ARCHITECTURE} and {WEIGHTS}, nor {BEST_ARCHITECTURE} with "
        f"weights that a search has kept. nas train {folder} trains the network of a run folder, and keeps its weights"
    )


def check_classes(metadata: Mapping[str, str], data: ImageData, weights: Path) -> None:
    """Raise `DataError` where a file says that it is of other classes."""
    classes = listed(metadata, "classes", weights) if "classes" in metadata else list(data.classes)
    if classes != list(data.classes):
        raise DataError(
            f"{weights} were trained on the {data.task.outputs} {', '.join(map(str, classes))[:200]}, but "
            f"data {data.name} has {', '.join(data.classes)[:200]}"
        )
    task = task_said(metadata, weights)
    if task != data.task:
        raise DataError(f"{weights} were trained for {task.name}, but data {data.name} are of {data.task.name}")


def open_session(path: Path) -> Any:
    """Return an exported file as onnxruntime runs it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(read_inside(path), options, providers=["CPUExecutionProvider"])
    except NasError:
        raise
    except Exception as error:  # of its own kinds, which are no public names
        raise DataError(f"{path} cannot be run: {reason_of(error)}") from None
