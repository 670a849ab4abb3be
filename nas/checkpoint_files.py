"""Names of the files of states of trainings, and of those of their folds."""

from __future__ import annotations

from pathlib import Path


def checkpoint_file(folder: Path, number: int) -> Path:
    """Return where a folder of states of trainings has that of a trial to go on from, if it has."""
    return folder / f"{number}.ckpt"


def fold_checkpoint(checkpoint: Path, number: int) -> Path:
    """Return where the state of the training without one fold is, beside that of all folds, until it ends."""
    return checkpoint.with_name(f"{checkpoint.stem}.fold{number}.ckpt")


def checkpoint_of(path: Path) -> Path:
    """Return the file of the state of a training, of which a file is that, or that of one of its folds."""
    return path.with_name(f"{path.name.partition('.')[0]}.ckpt")


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove the state of a training, and those of its folds."""
    for path in (checkpoint, *checkpoint.parent.glob(f"{checkpoint.stem}.fold*.ckpt")):
        path.unlink(missing_ok=True)
