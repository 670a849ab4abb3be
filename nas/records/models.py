"""Trained networks as logged models of MLflow, in its ONNX flavour, and as versions in its registry.

No file of such a model is a pickle: it is `model.onnx`, and text. Loaded where MLflow is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mlflow.entities import LoggedModel, LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.onnx import get_default_pip_requirements, save_model
from mlflow.types import Schema, TensorSpec
from onnx import ModelProto, ValueInfoProto, helper

from nas.records.study_run import DESCRIPTION, StudyRun
from nas.records.values import milliseconds, mlflow_name, mlflow_text
from nas.records.view import STUDY_TAG

MODEL_TAG = "nas.model"
"""Of a logged model: its key, by which a repeated write finds it."""
_VERSIONS_TAG = "mlflow.modelVersions"
"""Of a logged model: its versions in the registry, as JSON."""
_SIDE = 32
"""Height and width of the picture that is the input example, where a model takes any."""
_BAD_IN_NAMES = str.maketrans(dict.fromkeys("/:.%\"'", "_"))
"""What MLflow refuses in the name of a logged model."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A trained network, as it is written."""

    key: str
    """What it is known by within its study: other weights have another."""
    name: str
    """For people."""
    description: str
    """In Markdown."""
    onnx: Callable[[], bytes]
    """Makes the ONNX model, which is not needed where the store has it."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """Beside those of its runs."""
    trained: str
    """Key of the run of its training, whose metrics are the model's too."""
    tested: str
    """Key of the run of its scoring on the test split, likewise."""


def write_model(study: StudyRun, record: ModelRecord) -> LoggedModel:
    """Write a trained network where the store lacks it, and bring what is said of it up to date.

    One that was cut off while it was written is written anew.

    Args:
        study: whose network it is; it has the runs of its training and its scoring.
        record: the network.

    Raises:
        KeyError: the study lacks one of the runs. Exception: of the network, which cannot be made, or of MLflow.
    """
    client = study.client
    tags = {STUDY_TAG: study.study_id, MODEL_TAG: record.key, DESCRIPTION: mlflow_text(record.description)}
    tags |= {name: mlflow_text(value) for name, value in record.tags.items()}
    model = _known(study, record.key)
    if model is None:
        model = _create(study, record, tags)
    elif any(model.tags.get(name) != value for name, value in tags.items()):
        client.set_logged_model_tags(model.model_id, tags)
    _log_means(study, record, model)
    return model


def _known(study: StudyRun, key: str) -> LoggedModel | None:
    condition = f"tags.`{STUDY_TAG}` = '{study.study_id}' AND tags.`{MODEL_TAG}` = '{key}'"
    ready = None
    for model in study.client.search_logged_models([study.experiment], condition):
        if model.status == LoggedModelStatus.READY:
            ready = model
        else:
            study.client.delete_logged_model(model.model_id)
    return ready


def _create(study: StudyRun, record: ModelRecord, tags: Mapping[str, str]) -> LoggedModel:
    trained, tested = study.children[record.trained].run_id, study.children[record.tested].run_id
    onnx = ModelProto.FromString(record.onnx())
    client = study.client
    model = client.create_logged_model(
        study.experiment,
        name=mlflow_text(record.name.translate(_BAD_IN_NAMES), 250),
        source_run_id=trained,
        tags=dict(tags),
        params={name: mlflow_text(value, 500) for name, value in record.params.items()},
        model_type="classifier",
    )
    with TemporaryDirectory(prefix="nas-model-") as folder:
        _save(Path(folder) / "model", onnx, model)
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    for run in (trained, study.run_id):  # also on the page of the study
        client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
    client.log_inputs(tested, models=[LoggedModelInput(model.model_id)])
    _copy_metrics(study, trained, model.model_id, lambda name: True)
    _copy_metrics(study, tested, model.model_id, lambda name: name.startswith("test_"))
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _save(folder: Path, onnx: ModelProto, model: LoggedModel) -> None:
    """Write a model to a folder as MLflow keeps it."""
    signature = ModelSignature(_schema(onnx.graph.input), _schema(onnx.graph.output))
    save_model(
        onnx,
        str(folder),
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            model_uuid=model.model_id,
            model_id=model.model_id,
            run_id=model.source_run_id,
        ),
        signature=signature,
        input_example=_example(signature),
        pip_requirements=get_default_pip_requirements(),  # else MLflow runs the model in a process to find them out
        onnx_execution_providers=["CPUExecutionProvider"],  # what its scores and figures are of
        save_as_external_data=False,  # one file, as it was exported
    )


def _schema(values: Iterable[ValueInfoProto]) -> Schema:
    return Schema([_spec(value) for value in values])


def _spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
    return TensorSpec(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape, value.name)


def _example(signature: ModelSignature) -> dict[str, np.ndarray]:
    """Return an input that anybody may see: no picture of the user's, whose images may be private, nor of a split.

    It is a ramp from black to white, for which a network gives other scores than for one that is all 0.
    """
    example = {}
    for spec in signature.inputs.inputs:
        shape = (1, *(_SIDE if size < 0 else size for size in spec.shape[1:]))
        example[spec.name] = np.linspace(0, 255, int(np.prod(shape))).reshape(shape).astype(spec.type)
    return example


def _copy_metrics(study: StudyRun, run: str, model: str, wanted: Callable[[str], bool]) -> None:
    """Give a model metrics of a run, as MLflow does when it logs a model in a run."""
    names = [name for name in study.client.get_run(run).data.metrics if wanted(name)]
    points = [point for name in names for point in study.client.get_metric_history(run, name)]
    own = [Metric(one.key, one.value, one.timestamp, one.step, model_id=model) for one in points]
    if own:
        study.client.log_batch(run, metrics=own)


def _log_means(study: StudyRun, record: ModelRecord, model: LoggedModel) -> None:
    """Write the metrics that change where a study is gone on with, such as means over seeds."""
    known = {metric.key: metric.value for metric in sorted(model.metrics or (), key=lambda one: one.timestamp)}
    now = milliseconds(time.time())
    new = {mlflow_name(name): value for name, value in record.metrics.items()}
    new = {name: value for name, value in new.items() if known.get(name) != value}
    if new:
        metrics = [Metric(name, value, now, 0, model_id=model.model_id) for name, value in new.items()]
        study.client.log_batch(study.children[record.trained].run_id, metrics=metrics)


def register_model(study: StudyRun, model: LoggedModel, name: str, tags: Mapping[str, str]) -> str:
    """Make a model a version of a registered model, where it is none yet; returns the number of the version.

    Args:
        study: whose model it is.
        model: as `write_model` gives it.
        name: of the registered model, which is made where there is none.
        tags: of the version.
    """
    # Not `models:/ID`: MLflow's database would look that up in the store that is set for the whole process.
    client, source = study.client, model.artifact_location
    for version in client.search_model_versions(f"run_id = '{model.source_run_id}'"):
        if (version.name, version.source) == (name, source):
            return str(version.version)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    new = client.create_model_version(
        name,
        source,
        run_id=model.source_run_id,
        tags={
            STUDY_TAG: study.study_id,
            "model": model.model_id,
            **{key: mlflow_text(value) for key, value in tags.items()},
        },
        model_id=model.model_id,
    )
    _show_version(study, model.model_id, name, str(new.version))
    return str(new.version)


def _show_version(study: StudyRun, model_id: str, name: str, version: str) -> None:
    """Have the page of a model lead to a version of it; a server has done that already."""
    shown = json.loads(study.client.get_logged_model(model_id).tags.get(_VERSIONS_TAG, "[]"))
    if not any((one.get("name"), str(one.get("version"))) == (name, version) for one in shown):
        tags = {_VERSIONS_TAG: json.dumps([*shown, {"name": name, "version": version}])}
        study.client.set_logged_model_tags(model_id, tags)
