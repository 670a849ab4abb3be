"""The files that a training reads beside its data: weights to begin with, and a teacher.

A run keeps their SHA-256, and is gone on with only where they are as they were: trainings that begin with other weights
cannot be compared with those that are done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, why_unreadable
from nas.run_folder import shown, user_path
from nas.training.recipe import Recipe
from nas.training.transfer.settings import Transfer

_WEIGHTS, _TEACHER = "transfer.weights", "train.teacher"


def used_files(recipe: Recipe, transfer: Transfer) -> dict[str, dict[str, str]]:
    """Return the files that a training reads beside its data, as plain values for records.

    Returns:
        By setting, `path` (absolute) and `sha256` of the content. Of a teacher that is a network of ours there are two:
        its weights, and its architecture.

    Raises:
        ConfigError: a file cannot be read, or `train.teacher` names no model.
    """
    return {
        name: {"path": str(path.absolute()), "sha256": _sha256(name, path)} for name, path in _paths(recipe, transfer)
    }


def check_same_files(
    before: Mapping[str, Any], now: Mapping[str, Any], run: Path, way_out: str, *, where: str = ""
) -> None:
    """Make sure that the files of a run that is gone on with are as they were.

    Args:
        before: `used_files` when it was begun; of records that are older it is empty.
        now: the same now.
        run: its folder, for messages.
        way_out: what the user can do beside putting a file back.
        where: what the paths of settings of `Transfer` begin with.

    Raises:
        ConfigError: the content of one is another; names setting, file and both hashes.
    """
    for name, file in now.items():
        was = before.get(name, file)["sha256"]
        if was != file["sha256"]:
            setting = f"{where}{name}" if name == _WEIGHTS else name
            moved = f" ({setting}=FILE says where it is, if it was moved)" if name == _WEIGHTS else ""
            raise ConfigError(
                f"{setting}: {file['path']} is not the file that {shown(run)} was begun with: its SHA-256 was {was}, "
                f"is {file['sha256']}. Put it back as it was{moved}, or {way_out}"
            )


def _paths(recipe: Recipe, transfer: Transfer) -> Iterator[tuple[str, Path]]:
    if transfer.weights is not None:
        yield _WEIGHTS, user_path(transfer.weights)
    if recipe.teacher is not None:
        from nas.training.teacher import teacher_model  # loads torch

        model = teacher_model(recipe.teacher)
        yield _TEACHER, model.file
        if model.architecture is not None:
            yield f"{_TEACHER} (its network)", model.architecture


def _sha256(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {why_unreadable(error)}") from None
