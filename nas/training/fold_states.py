"""The state of k-fold validation as one file: what folds have come to, and where their trainings go on from.

It is one file, as that of a single training is, since it travels between machines with a trial. The state of the fold
that is being trained is in a file of its own beside it until its training ends.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nas.checkpoint_files import fold_checkpoint
from nas.errors import reason_of
from nas.evaluation import Budget, Evaluation
from nas.run_folder import write_bytes

_LOG = logging.getLogger(__name__)
_DONE = "done.json"
"""In the file: what folds have come to, by their numbers."""


class FoldStates:
    """Keeps the states of the trainings of the folds of one network, where a budget says so."""

    def __init__(self, budget: Budget) -> None:
        """Read what an earlier process has left in `Budget.checkpoint`; a file that is torn counts for nothing."""
        self._budget, self._path = budget, None if budget.checkpoint is None else Path(budget.checkpoint)
        self._done: dict[str, Any] = {}
        self._states: dict[str, bytes] = {}
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def _read(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as held:
                done = json.loads(held.read(_DONE))
                self._states = {name: held.read(name) for name in held.namelist() if name != _DONE}
            self._done = {number: (dict(one["budget"]), _evaluation(one)) for number, one in done.items()}
        except Exception as error:  # there is no telling what a torn file makes of its reader
            self._done, self._states = {}, {}
            _LOG.warning("all folds are trained anew: %s is no whole state of them: %s", path, reason_of(error))

    def done(self, number: int) -> Evaluation | None:
        """Return what a fold came to with this budget in an earlier process.

        None where it is to be trained, be it for the files that it was to leave.
        """
        budget, evaluation = self._done.get(str(number), (None, None))
        lacking = number == 1 and self._lacks_files()
        return None if lacking or budget != self._budget.record() else evaluation

    def _lacks_files(self) -> bool:
        """Whether a file is not there that the training of the first fold leaves, as on another machine."""
        weights, int8 = self._budget.weights, self._budget.int8
        return (weights is not None and not Path(weights).exists()) or (
            int8 is not None and not any(Path(int8).glob("*.onnx"))
        )

    def begin(self, number: int) -> Budget:
        """Return the budget of the training of a fold, with the state to go on from where there is one.

        The weights that are kept are those of the first fold.
        """
        budget = self._budget if number == 1 else replace(self._budget, weights=None)
        if self._path is None:
            return budget
        own = fold_checkpoint(self._path, number)
        if not own.exists() and str(number) in self._states:  # else it was on its way when its process ended
            write_bytes(own, self._states[str(number)])
        return replace(budget, checkpoint=str(own))

    def end(self, number: int, evaluation: Evaluation) -> None:
        """Keep what a fold came to, and its state."""
        if self._path is None:
            return
        own = fold_checkpoint(self._path, number)
        with suppress(FileNotFoundError):  # a process of several that is not the first one
            self._states[str(number)] = own.read_bytes()
        self._done[str(number)] = (self._budget.record(), evaluation)
        write_bytes(self._path, self._file())
        own.unlink(missing_ok=True)

    def _file(self) -> bytes:
        file = io.BytesIO()
        done = {number: {"budget": budget, **_plain(one)} for number, (budget, one) in self._done.items()}
        with zipfile.ZipFile(file, "w") as held:
            held.writestr(_DONE, json.dumps(done))
            for name, state in self._states.items():
                held.writestr(name, state)
        return file.getvalue()


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    values = asdict(evaluation)
    return {name: values[name] for name in ("scores", "history", "seconds", "missing")}


def _evaluation(values: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        dict(values["scores"]), tuple(values["history"]), dict(values["seconds"]), dict(values["missing"])
    )
