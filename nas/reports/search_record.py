"""What the folder of a search holds, as its report needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.cost import Constraint, constraints_from
from nas.search.load import load_study
from nas.search.log import read_study
from nas.search.study import Study


@dataclass(frozen=True)
class SearchRecord:
    """A search with what its record says beside its trials."""

    study: Study
    limits: tuple[Constraint, ...]
    """Hard and soft ones; those of the space are among them."""
    saved: Mapping[str, Any]
    """What study.json holds: seed, sampler, budget and so on."""
    folder: Path

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the command; empty where the search was made from Python."""
        config = self.study.notes.get("config", {})
        return config if isinstance(config, Mapping) else {}

    @property
    def data(self) -> Mapping[str, Any]:
        """What the data are, as the evaluator described them; may be empty."""
        data = self.study.notes.get("data", {})
        return data if isinstance(data, Mapping) else {}

    @property
    def workers(self) -> int | None:
        """Number of processes that evaluated; None where it is not recorded."""
        workers = self.config.get("workers")
        return workers if type(workers) is int and workers > 0 else None


def read_record(folder: Path, study: Study | None = None) -> SearchRecord:
    """Read the folder of a search.

    Args:
        folder: of the run.
        study: as the search left it, which also knows why it ended; None: read it too.

    Raises:
        ConfigError: there is no study, or a file of it cannot be read. SpaceError: its space is none that is known
            here.
    """
    saved = read_study(folder)
    study = study or load_study(folder)
    limits = (*constraints_from(saved.get("constraints", {})), *constraints_from(saved.get("soft", {}), soft=True))
    return SearchRecord(study, limits, saved, folder)
