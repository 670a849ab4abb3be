"""The networks that a finish reports, as models in MLflow: made of the folder of the finish alone.

So a model that is written late, by `nas records`, is the one that the finish itself would have written. The weights are
those that ship, of the first final seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import DataError
from nas.finishing.bench import REPORT, TEST, Measure
from nas.finishing.intervals import MeanInterval
from nas.finishing.pool_bench import WEIGHTS
from nas.finishing.settings import BASELINES
from nas.finishing.study import WINNER
from nas.finishing.words import Unit, named
from nas.search.study import Study

if TYPE_CHECKING:
    from nas.records.models import ModelRecord

_WEIGHTS_FILE = re.compile(rf"{REPORT}(-[0-9a-z]+-[0-9a-f]{{8}}-[0-9]+)\.safetensors")
"""As `Job.key` names it."""
_KINDS = (WINNER, *BASELINES)


@dataclass(frozen=True)
class ReportedModel:
    """A network that is reported, with the weights that ship of it."""

    home: Path
    """Folder of the finish."""
    report: Mapping[str, Any]
    """What is in its `report.json`."""
    study: Study
    """Of the search."""
    kind: str
    """`WINNER`, or the kind of the baseline."""
    file: str
    """Of the weights, in the folder of those."""

    @property
    def recommended(self) -> bool:
        """Whether it is what the finish recommends."""
        return bool(self.report["recommended"] == self.kind)

    @property
    def network(self) -> str:
        """Its name, for people."""
        return str(self.report["final"][self.kind]["name"])

    def record(self) -> ModelRecord:
        """Return it as it is written; loads MLflow.

        Raises:
            DataError: the report names weights that no finish writes.
        """
        from nas.records.models import ModelRecord

        found = _WEIGHTS_FILE.fullmatch(self.file)
        if found is None or self.kind not in _KINDS:
            raise DataError(f"the report names weights that no finish writes: {self.file!a:.200} of {self.kind!a:.80}")
        trained, final = f"{REPORT}{found[1]}", self.report["final"][self.kind]
        measure = Measure(self.report["measure"])
        means = {f"{measure.name}_mean": final["val"]["mean"], f"{measure.on_test.name}_mean": final["test"]["mean"]}
        return ModelRecord(
            key=f"{self.kind}-{trained}",
            name=f"{self.study.name} {named(self.kind)}",
            description=_described(self),
            onnx=partial(_onnx, self.home / WEIGHTS / self.file, self.study.notes.get("data", {})),
            tags={
                "study": self.study.name,
                "kind": self.kind,
                "network": self.network,
                "recommended": "yes" if self.recommended else "no",
            },
            params={"arch_id": str(final["arch_id"]), "lr": f"{final['lr']:g}", "seed": trained.rpartition("-")[2]},
            metrics={name: mean for name, mean in means.items() if mean is not None},
            trained=trained,
            tested=f"{TEST}{found[1]}",
        )


def models_of(home: Path, report: Mapping[str, Any], study: Study) -> Iterator[ReportedModel]:
    """Yield what is reported: the winner and each baseline whose training gave weights.

    Args:
        home: folder of the finish.
        report: what is in its `report.json`.
        study: of the search.
    """
    for kind, final in report["final"].items():
        if final["weights"]:
            yield ReportedModel(home, report, study, str(kind), str(final["weights"][0]))


def _described(model: ReportedModel) -> str:
    """Say in Markdown what a model is, and what it is worth."""
    from nas.records.description import as_text

    final, measure = model.report["final"][model.kind], Measure(model.report["measure"])
    whose = f"The winner of the search {model.study.name}" if model.kind == WINNER else f"A {model.kind} network"
    said = f"{whose}: {model.network}, {final['params']:,} parameters, {final['macs']:,} MACs."
    test = final["test"]
    if test["mean"] is not None:
        mean, low, high, std = (nan if test[name] is None else test[name] for name in ("mean", "low", "high", "std"))
        found = MeanInterval(mean, low, high, std, test["count"])
        seeds = f"the mean of {found.count} fresh seed{'s' * (found.count != 1)}"
        said += f" {measure.on_test.name}, {seeds}: {Unit.of(measure).interval(found)}."
    said += " These weights are of the first of those seeds, which was so before any score was known."
    parts = [as_text(said), f"**{as_text(str(model.report['sentence']))}.**" if model.recommended else ""]
    parts.append(_input(study_data=model.study.notes.get("data", {})))
    return "\n\n".join(filter(None, parts))


def _input(study_data: Mapping[str, Any]) -> str:
    """Say what a model takes."""
    if len(study_data.get("input_shape", ())) == 2:
        return "Input: `series`, fp32 (n, channels, length), NaN where there is no value; they are normalised inside."
    return "Input: `pixels`, pictures of any size as uint8; they are scaled, cut and normalised inside."


def _onnx(weights: Path, data: Mapping[str, Any]) -> bytes:
    """Make the model that an exported folder has as `model.onnx`, of the weights and what their header says.

    Raises:
        NasError: the file is gone, or is not what training writes.
    """
    from nas.exporting.folder import about_network, onnx_models, read_weights
    from nas.network.architecture import Architecture
    from nas.training.preprocess import preprocess_beside
    from nas.training.weights import load_metadata

    header = load_metadata(weights)
    if "architecture" not in header:
        raise DataError(f"weights {weights}: their header names no network")
    architecture = Architecture.from_json(header["architecture"])
    preprocess = preprocess_beside(weights, architecture)
    if preprocess is None:
        raise DataError(f"weights {weights}: their header does not say how pictures were prepared")
    fits = data.get("split_fingerprint") == header.get("split_fingerprint")
    about = about_network(architecture, data if fits else {})
    return onnx_models(architecture, read_weights(weights), preprocess, about)[1]
