"""What is given wrongly to the public API is a NasError, never an error from inside."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError, NasError, SpaceError

SPACE = nas.SearchSpace.from_dict(
    {
        "name": "tiny",
        "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
        "stages": [{"block": "conv", "out_channels": {"choose": [2, 4]}, "kernel": {"choose": [1, 3]}}],
        "head": {"block": "classifier"},
    }
)
GENOTYPE = SPACE.sample(seed=0)
ARCH = SPACE.decode(GENOTYPE)
ODD: list[Any] = [None, 1, 1.5, "x", []]


def _score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return 0.5


Given = Mapping[str, Any]
CALLS: dict[str, tuple[Callable[..., Any], Given]] = {
    "Budget": (nas.Budget, {}),
    "Evaluation": (nas.Evaluation, {"scores": {"a": 1.0}}),
    "build": (nas.build, {"arch": ARCH}),
    "cost_of": (nas.cost_of, {"arch": ARCH}),
    "load_space": (nas.load_space, {"name": "mbconv"}),
    "load_study": (nas.load_study, {"run": "none"}),
    "lower": (nas.lower, {"arch": ARCH}),
    "own": (nas.own, {"reference": "FILE.py:NAME"}),
    "block": (nas.block, {"function": None}),
    "report": (nas.report, {"step": 1, "scores": {"a": 1.0}}),
    "run_search": (nas.run_search, {"space": SPACE, "evaluator": _score, "trials": 1}),
    "sampler": (nas.sampler, {}),
    "scale": (nas.scale, {"arch": ARCH, "width": 2.0}),
    "space_names": (nas.space_names, {}),
    "train": (nas.train, {"architecture": ARCH, "folder": "none", "data": "no such data"}),
    "diagnose": (nas.diagnose, {"networks": ARCH}),
    "evaluate": (nas.evaluate, {"folder": "none"}),
    "export": (nas.export, {"model": "none", "out": "none either"}),
    "predict": (nas.predict, {"model": "none", "pictures": []}),
    "finish": (nas.finish, {"run": "none"}),
    "inherit": (nas.inherit, {"parent": ARCH, "parent_weights": {}, "child": ARCH, "seed": 0}),
    "Architecture.from_dict": (nas.Architecture.from_dict, {"values": ARCH.to_dict()}),
    "Architecture.from_json": (nas.Architecture.from_json, {"text": ARCH.to_json()}),
    "Architecture.to_json": (ARCH.to_json, {}),
    "Architecture.to_dict": (ARCH.to_dict, {}),
    "Architecture.sections": (ARCH.sections, {}),
    "Architecture.blocks": (ARCH.blocks, {}),
    "Architecture.named_blocks": (ARCH.named_blocks, {}),
    "SearchSpace.from_source": (nas.SearchSpace.from_source, {"source": SPACE.source, "name": "a"}),
    "SearchSpace.from_dict": (nas.SearchSpace.from_dict, {"values": SPACE.to_dict()}),
    "SearchSpace.to_dict": (SPACE.to_dict, {}),
    "SearchSpace.limits_with": (SPACE.limits_with, {}),
    "SearchSpace.for_data": (SPACE.for_data, {"input_shape": (1, 8, 8), "num_classes": 2}),
    "SearchSpace.decisions": (SPACE.decisions, {}),
    "SearchSpace.size": (SPACE.size, {}),
    "SearchSpace.unrank": (SPACE.unrank, {"rank": 0}),
    "SearchSpace.sample": (SPACE.sample, {"seed": 0}),
    "SearchSpace.enumerate": (SPACE.enumerate, {}),
    "SearchSpace.networks": (SPACE.networks, {}),
    "SearchSpace.mutate": (SPACE.mutate, {"genotype": GENOTYPE, "seed": 0}),
    "SearchSpace.crossover": (SPACE.crossover, {"first": GENOTYPE, "second": GENOTYPE, "seed": 0}),
    "SearchSpace.neighbours": (SPACE.neighbours, {"genotype": GENOTYPE}),
    "SearchSpace.suggest": (SPACE.suggest, {"trial": None}),
    "SearchSpace.resolve": (SPACE.resolve, {"pick": lambda *_: 0}),
    "SearchSpace.decode": (SPACE.decode, {"genotype": GENOTYPE}),
    "SearchSpace.encode": (SPACE.encode, {"arch": ARCH}),
}
RECORDS = {"__version__", "Architecture", "Cost", "SearchSpace"}
"""No functions: of the classes it is the methods; a `Cost` is a result."""
PARAMETERS = [
    (name, parameter)
    for name, (function, _) in CALLS.items()
    for parameter, one in inspect.signature(function).parameters.items()
    if one.kind is not inspect.Parameter.VAR_KEYWORD
]


def test_everything_public_is_called_here() -> None:
    methods = {
        f"{kind.__name__}.{name}"
        for kind in (nas.Architecture, nas.SearchSpace)
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and (inspect.isfunction(member) or inspect.ismethod(member))
    }
    assert set(CALLS) == {*nas.__all__} - RECORDS | methods


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_any_argument_is_taken_or_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, parameter: str
) -> None:
    monkeypatch.chdir(tmp_path)
    function, given = CALLS[name]
    for value in ODD:
        with suppress(NasError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = function(**{**given, parameter: value})
            if isinstance(found, Iterator):
                list(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evaluator": 5}, "evaluator must be a function.* but got 5"),
        ({"objective": None}, "objective must be the name of a score, or a list of names, but got None"),
        ({"objective": ["val_accuracy", 1]}, "objective must be the name"),
        ({"direction": True}, "direction must be maximize or minimize, .* but got True"),
        ({"sampler_options": 1}, "sampler_options must be a mapping from names to values, or None, but got 1"),
        ({"notes": 1}, "notes must be a mapping .* but got 1"),
        ({"notes": {"a": {1, 2}}, "run_dir": "here"}, "notes of a study must be plain values"),
        ({"recorders": None}, "recorders must be a list of recorders, .* but got None"),
        ({"recorders": [print]}, "recorders must be a list of recorders"),
        ({"warm_start": 1}, "warm_start must be the path of a run folder, or None, but got 1"),
        ({"budget": "x"}, "budget must be a nas.Budget"),
        ({"pool": 1}, "pool must be a pool with the methods"),
    ],
)
def test_an_argument_of_a_search_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        nas.run_search(**{"space": SPACE, "evaluator": _score, "trials": 1, **given})
    assert not list(tmp_path.iterdir())


def test_a_network_is_no_genotype_and_the_other_way_round() -> None:
    with pytest.raises(SpaceError, match="genotype must be a mapping from decisions to values, but got Arch"):
        SPACE.decode(ARCH)  # type: ignore[arg-type]
    with pytest.raises(NasError, match=r"encode takes an Architecture, but got \{'stages"):
        SPACE.encode(GENOTYPE)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"nas\.Budget\.epochs must be >= 1, but got 0"):
        nas.Budget(epochs=0)
