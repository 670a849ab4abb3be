"""`nas.diagnose`: measures what happens inside networks, with trained weights where there are some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.errors import ConfigError, DataError, check_function, check_kind
from nas.network.architecture import Architecture
from nas.network.architecture_file import read_architecture
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.pytorch import build
from nas.pytorch.build import build_graph
from nas.run_folder import read_json, user_path
from nas.settings import SEED, Range
from nas.training.batch_norm import fresh_statistics
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData, Images, SomeImages
from nas.training.diagnostics.activations import outputs_of
from nas.training.diagnostics.anti_aliasing import anti_aliased
from nas.training.diagnostics.dead_units import units_of
from nas.training.diagnostics.gradients import gradients_of
from nas.training.diagnostics.layers import layers_of
from nas.training.diagnostics.names import MEASUREMENTS, check_measurements
from nas.training.diagnostics.receptive_field import effective_field
from nas.training.diagnostics.results import Diagnosis, Measured, NetworkDiagnosis
from nas.training.diagnostics.sharpness import sharpness_of
from nas.training.diagnostics.shift import shift_variance
from nas.training.evaluate import recorded_data_of
from nas.training.model_file import check_classes, model_in
from nas.training.preprocess import as_trained, read_as, reading_said
from nas.training.recipe_files import read_data_config
from nas.training.tasks.registry import DEFAULT
from nas.training.train import TrainedModel
from nas.training.trained_on import as_split, trained_on
from nas.training.weights import load_metadata, trained_network

Given = Architecture | TrainedModel | str | PathLike[str]
"""A network: itself, what `nas.train` returned, or the folder of a training or a search, with weights or without."""
IMAGES = Range(2, 100_000, whole=True)
"""In a batch: one image has no other to be told apart from."""
SEEDS = Range(1, 1000, whole=True)
_KINDS = (Architecture, TrainedModel, str, PathLike)
_NETWORK = "an Architecture, a TrainedModel, or the path of a folder"


@dataclass(frozen=True)
class _Subject:
    """A network to be measured."""

    name: str
    architecture: Architecture
    weights: Path | None
    metadata: Mapping[str, str]
    """Of the weights."""


def diagnose(
    networks: Given | Mapping[str, Given] | Sequence[Given],
    data: DataConfig | str | None = None,
    *,
    measure: Sequence[str] = MEASUREMENTS,
    images: int = 64,
    seed: int = 0,
    seeds: int = 1,
    say: Callable[[str], None] | None = None,
) -> Diagnosis:
    """Measure what happens inside networks: one, several, or several by name.

    Args:
        networks: those with trained weights are measured with these; others with fresh ones, as a training with the
            same seed begins with.
        data: the data set: settings, or a name in `conf/data`; None takes that of the first training or search, else
            digits. The test split is not read.
        measure: names in `MEASUREMENTS`.
        images: training images in the one batch that is measured on, and validation images that are moved.
        seed: of the first fresh weights.
        seeds: fresh weights of each network, with `seed` and those behind it.
        say: told a line a network, e.g. `print`.

    Raises:
        NasError: an argument that does not hold, a folder without a network, data that cannot be read or do not fit.
    """
    subjects = list(_subjects(networks))
    check_kind("diagnose: data", data, (DataConfig, str, type(None)), "a DataConfig, a name, or None", ConfigError)
    check_kind("diagnose: measure", measure, (list, tuple), "a list of names", ConfigError)
    check_function("diagnose: say", say, "a function that takes a line")
    what = check_measurements(measure, "diagnose: measure")
    images = IMAGES.checked("diagnose: images", images)
    first, count = SEED.checked("diagnose: seed", seed), SEEDS.checked("diagnose: seeds", seeds)
    config = read_data_config(data) if isinstance(data, str) else data or _recorded(subjects)
    found = []
    for subject in subjects:
        seen = _data_of(subject, config)
        numbers = range(first, first + (count if subject.weights is None else 1))
        found.append(_diagnosed(subject, seen, what, images, numbers))
        if say is not None:
            say(f"measured {subject.name}")
    loaded = load_data(config)
    return Diagnosis(loaded.name, loaded.fingerprint, min(images, len(loaded.train.labels)), tuple(found))


def _subjects(networks: Any) -> Iterator[_Subject]:
    """Yield what is to be measured; raises `ConfigError` for what is none, and for names that are there twice."""
    several = isinstance(networks, (Mapping, list, tuple))
    given = networks if several else [networks]
    pairs = list(given.items()) if isinstance(given, Mapping) else [(_name(one), one) for one in given]
    if not pairs:
        raise ConfigError("diagnose: networks must hold one at least")
    names = [name for name, _ in pairs]
    for name, one in pairs:
        check_kind("diagnose: a name", name, str, "a text", ConfigError)
        check_kind(f"diagnose: networks: {name}", one, _KINDS, _NETWORK, ConfigError)
        if names.count(name) > 1:
            raise ConfigError(f"diagnose: {name} is there twice; a mapping gives networks other names")
        yield _subject(name, one)


def _name(one: Any) -> str:
    if isinstance(one, Architecture):
        return one.arch_id
    return str(one.folder if isinstance(one, TrainedModel) else one)


def _subject(name: str, one: Given) -> _Subject:
    if isinstance(one, Architecture):
        return _Subject(name, one, None, {})
    folder = one.folder if isinstance(one, TrainedModel) else user_path(one)
    try:
        model = model_in(folder)
    except ConfigError:  # without weights, it may still have a network
        return _Subject(name, read_architecture(folder, "diagnose"), None, {})
    if model.architecture is None:
        raise ConfigError(f"diagnose: {folder} has an exported model only, whose layers have no names; give its run")
    arch = read_json(model.architecture, "the network", Architecture.from_dict)
    return _Subject(name, arch, model.file, load_metadata(model.file))


def _recorded(subjects: Sequence[_Subject]) -> DataConfig:
    """Return the data of the first run among the networks, else digits."""
    for subject in subjects:
        if subject.weights is not None:
            return recorded_data_of(model_in(subject.weights.parent))
    return read_data_config("digits")


def _data_of(subject: _Subject, config: DataConfig) -> ImageData:
    """Return the data as a network takes them: read and normalised as in its training, where it has one."""
    if subject.weights is None:
        data = load_data(config)
    else:
        data = load_data(read_as(config, reading_said(subject.metadata, subject.weights)))
        check_classes(subject.metadata, data, subject.weights)
        data = as_split(data, trained_on(subject.metadata, []))
        data = as_trained(data, subject.metadata, subject.weights)
    data.check_fits(subject.architecture)
    if data.task != DEFAULT:
        raise DataError(f"diagnose: it is for {DEFAULT.name}, but data {data.name} are of {data.task.name}")
    if len(subject.architecture.input_shape) != 3:
        raise DataError(f"diagnose: {subject.name} takes inputs of shape {subject.architecture.input_shape}, no images")
    return data


def _diagnosed(
    subject: _Subject, data: ImageData, what: Sequence[str], images: int, seeds: Sequence[int]
) -> NetworkDiagnosis:
    arch = subject.architecture
    graph = lower(arch)
    train = _batch(data.part_of_train(min(1.0, images / len(data.train.labels))), data, arch)
    val = _batch(SomeImages(data.val, torch.arange(min(images, len(data.val.labels)))), data, arch)[0]
    runs = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):  # whatever is built draws weights first
            network = _network(subject, train[0], seed)
            runs.append(_measured(network, graph, train, val, what, seed=seed, fresh=subject.weights is None))
    depth = max(layer.depth for layer, _ in layers_of(graph))
    return NetworkDiagnosis(subject.name, arch, subject.weights, depth, tuple(runs))


def _batch(images: Images, data: ImageData, arch: Architecture) -> tuple[Tensor, Tensor]:
    ((inputs, labels),) = Batches(images, data, len(images.labels), arch.input_shape)
    return inputs.contiguous(), labels


def _network(subject: _Subject, inputs: Tensor, seed: int) -> nn.Module:
    """Return a network ready for inference: with trained weights, or fresh ones, and statistics of the batch then."""
    if subject.weights is not None:
        return trained_network(subject.architecture, subject.weights)
    torch.manual_seed(seed)
    return _with_statistics(build(subject.architecture), inputs)


def _with_statistics(network: nn.Module, inputs: Tensor) -> nn.Module:
    with torch.no_grad(), fresh_statistics(network.eval()):
        network(inputs)
    return network.eval()


def _measured(
    network: nn.Module,
    graph: Graph,
    train: tuple[Tensor, Tensor],
    val: Tensor,
    what: Sequence[str],
    *,
    seed: int,
    fresh: bool,
) -> Measured:
    inputs, labels = train
    found = Measured(
        seed=seed,
        gradients=gradients_of(network, graph, inputs, labels) if "gradients" in what else None,
        outputs=outputs_of(network, graph, inputs) if "activations" in what else (),
        units=units_of(network, graph, inputs) if "dead_units" in what else (),
        field=effective_field(network, graph, inputs) if "receptive_field" in what else None,
        sharpness=sharpness_of(network, inputs, labels, seed=seed) if "sharpness" in what else None,
    )
    if "shift" not in what:
        return found
    blurring = _blurring(network, graph, inputs, fresh=fresh)
    return replace(
        found,
        shift=shift_variance(network, val),
        shift_anti_aliased=None if blurring is None else shift_variance(blurring, val),
    )


def _blurring(network: nn.Module, graph: Graph, inputs: Tensor, *, fresh: bool) -> nn.Module | None:
    """Return the network with blurs before what subsamples, and the same weights; None where nothing does."""
    changed = anti_aliased(graph)
    if changed is None:
        return None
    module = build_graph(changed)
    missing, unexpected = module.load_state_dict(network.state_dict(), strict=False)
    assert all(name.endswith(".filter") for name in missing), missing
    assert all(name.startswith("auxiliary.") for name in unexpected), unexpected
    return _with_statistics(module, inputs) if fresh else module.eval()
