"""The test split: read through the ledger only, and never where a search runs."""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nas
import nas.training.data
from nas import held_out
from nas.commands import compare as compare_module
from nas.commands import scale as scale_module
from nas.commands import search as search_module
from nas.commands import spaces as spaces_module
from nas.errors import ConfigError, DataError, HeldOutError
from nas.held_out import FORBIDDEN, check_test_split_allowed, reading_test_split, without_test_split
from nas.search.study import Study
from nas.search.trial import State
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.registry import DATA_SETS
from nas.training.data.splits import ImageData
from nas.training.data.test_split import LEDGER, Ledger, read_test_split
from nas.training.recipe import Recipe
from nas.training.scores_on_test import scores_on_test
from nas.training.weights import save_weights, weights_metadata
from nas.workers.processes import WorkerPool

SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
        "stem": {"block": "conv", "out_channels": {"choose": [4, 8, 16]}, "stride": 2},
        "stages": [{"block": "conv", "out_channels": 16}],
        "head": {"block": "classifier"},
    }
)


def _read(folder: Path, config: DataConfig | None = None) -> Any:
    return read_test_split(config or DataConfig(), Ledger(folder), arch_id="a1", seed=3, purpose="the final score")


# The ledger


def test_a_reading_is_in_the_ledger(tmp_path: Path) -> None:
    before = time.time()
    images = _read(tmp_path)
    (entry,) = Ledger(tmp_path).entries()
    assert before <= entry.time <= time.time()
    assert (entry.arch_id, entry.seed, entry.purpose) == ("a1", 3, "the final score")
    assert entry.split_fingerprint == load_data(DataConfig()).fingerprint
    assert entry.count == len(images.labels) == load_data(DataConfig()).record()["test_images"]
    _read(tmp_path)
    assert len(Ledger(tmp_path).entries()) == 2
    line = json.loads((tmp_path / LEDGER).read_text().splitlines()[0])
    assert {*line} == {"time", "arch_id", "seed", "purpose", "split_fingerprint", "count", "check"}


def test_images_that_are_split_in_another_way_are_not_given(tmp_path: Path) -> None:
    ours, config = load_data(DataConfig()).fingerprint, DataConfig()
    read = partial(read_test_split, config, Ledger(tmp_path), arch_id="a1", seed=3, purpose="the final score")
    with pytest.raises(DataError, match=f"of their splits was other, is {ours}"):
        read(fingerprint="other")
    assert not Ledger(tmp_path).entries()
    read(fingerprint=ours)
    assert len(Ledger(tmp_path).entries()) == 1


def test_weights_of_other_splits_are_not_scored_on_the_test_split(tmp_path: Path) -> None:
    """Data that change while a finish runs: images that were learned may be test images by now."""
    architecture, data = SPACE.decode(SPACE.sample(seed=0)), load_data(DataConfig())
    network, weights = nas.build(architecture), tmp_path / "a.safetensors"
    save_weights(weights, network, weights_metadata(architecture, replace(data, fingerprint="other")))
    score = partial(scores_on_test, architecture, weights, DataConfig(), Recipe(), seed=3, run=tmp_path)
    with pytest.raises(DataError, match="data digits have changed since the network was trained"):
        score()
    assert not Ledger(tmp_path).entries()
    save_weights(weights, network, weights_metadata(architecture, data))
    assert 0 <= score()["test_accuracy"] <= 1
    assert len(Ledger(tmp_path).entries()) == 1


def test_a_ledger_that_cannot_be_written_gives_no_images(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        _read(tmp_path / "nowhere")
    (tmp_path / LEDGER).write_text('{"time":0}\n')
    with pytest.raises(ConfigError, match=r"test_ledger\.jsonl:1: not a reading of the test split"):
        _read(tmp_path)


def test_a_line_that_was_taken_out_is_seen(tmp_path: Path) -> None:
    for _ in range(3):
        _read(tmp_path)
    lines = (tmp_path / LEDGER).read_text().splitlines(keepends=True)
    (tmp_path / LEDGER).write_text(lines[0] + lines[2])
    with pytest.raises(ConfigError, match="edited, moved or taken out"):
        Ledger(tmp_path).entries()


# What can be reached


def _reachable(start: object, most: int = 200_000) -> Iterator[np.ndarray[Any, Any]]:
    """Every array of bytes that can be reached from an object: through fields, containers, closures and tensors."""
    seen: set[int] = set()
    waiting: list[object] = [start]
    while waiting and len(seen) < most:
        one = waiting.pop()
        if id(one) in seen or inspect.ismodule(one) or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            if one.dtype == torch.uint8:
                # All of the memory behind it, not only what a view shows.
                yield torch.tensor([], dtype=torch.uint8).set_(one.untyped_storage()).numpy()
            continue
        if isinstance(one, np.ndarray):
            waiting.append(one.base)
            if one.dtype == np.uint8:
                yield one.reshape(-1)
            continue
        if inspect.isfunction(one):
            waiting += [cell.cell_contents for cell in one.__closure__ or ()]
            continue
        waiting += gc.get_referents(one)


@dataclass(frozen=True)
class Thief:
    """An evaluator that calls whatever might give it images, and looks for test images in all that it gets."""

    wanted: frozenset[bytes]
    """Contents of the test images."""
    allowed: frozenset[bytes]
    """Contents of some images that it may have."""
    folder: str
    """Where it may write a ledger."""
    config: DataConfig

    def loot(self) -> dict[str, float]:
        """Return what was found, and how many attempts were refused."""
        got, refused = list[object](), 0
        for attempt in (*self._attempts(), *_public_functions(self.config)):
            try:
                got.append(attempt())
            except HeldOutError:
                refused += 1
            except Exception:  # it takes other arguments
                continue
        size = len(next(iter(self.wanted)))
        held = {
            bytes(array[start : start + size])
            for array in _reachable(got)
            if len(array) % size == 0
            for start in range(0, len(array), size)
        }
        return {"stolen": len(held & self.wanted), "own": len(held & self.allowed), "refused": refused}

    def _attempts(self) -> Iterator[Callable[[], object]]:
        config = self.config
        yield lambda: load_data(config)
        yield lambda: load_data.__wrapped__(config)
        yield lambda: DATA_SETS[config.name].load(config)
        yield lambda: [getattr(load_data(config), one.name) for one in fields(ImageData)]
        yield lambda: _read(Path(self.folder), config)
        yield lambda: _keep_while_reading(config)
        yield lambda: _in_a_thread(lambda: _read(Path(self.folder), config))
        yield lambda: _after_a_search(lambda: _read(Path(self.folder), config))

    def __call__(self, architecture: nas.Architecture, budget: nas.Budget, seed: int) -> dict[str, float]:
        return {"val_accuracy": 0.5, **self.loot()}


def _keep_while_reading(config: DataConfig) -> object:
    with reading_test_split():
        return DATA_SETS[config.name].load(config)


def _in_a_thread(work: Callable[[], object]) -> object:
    got: list[object] = []

    def run() -> None:
        with suppress(HeldOutError):
            got.append(work())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return got


def _after_a_search(work: Callable[[], object]) -> object:
    """One that begins and ends inside of another does not lift what the other forbids."""
    with without_test_split():
        pass
    return work()


def _public_functions(config: DataConfig) -> Iterator[Callable[[], object]]:
    """Calls of all public functions of the data sets that take a config first."""
    for module in pkgutil.iter_modules(nas.training.data.__path__, "nas.training.data."):
        for name, function in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            first = next(iter(inspect.signature(function).parameters.values()), None)
            if first is not None and "DataConfig" in str(first.annotation):
                yield lambda function=function: function(config)  # type: ignore[misc]


@pytest.fixture(scope="module")
def thief(tmp_path_factory: pytest.TempPathFactory) -> Thief:
    folder, config = tmp_path_factory.mktemp("ledger"), DataConfig()
    test, train = _read(folder), load_data(config).train
    contents = [
        frozenset(bytes(one.numpy().tobytes()) for one in images.read(torch.arange(len(images.labels))))
        for images in (test, train)
    ]
    return Thief(contents[0], contents[1], str(folder), config)


@pytest.mark.slow  # processes that load torch
def test_the_thief_finds_what_there_is_to_be_found(thief: Thief) -> None:
    """Where nothing is forbidden; so it would find it elsewhere too."""
    found = thief.loot()
    assert found["stolen"] == len(thief.wanted) > 300
    assert found["own"] == len(thief.allowed)
    assert found["refused"] == 0
    # But not in the handle that a search has.
    assert not [array for array in _reachable(load_data(thief.config)) if {bytes(array[:64])} & thief.wanted]


@pytest.mark.slow  # processes that load torch
@pytest.mark.parametrize("workers", [0, 1])
def test_no_evaluator_of_a_search_can_have_a_test_image(thief: Thief, workers: int) -> None:
    study = nas.run_search(SPACE, thief, trials=1, workers=workers, sampler="random")
    (trial,) = study.trials
    assert trial.state is State.COMPLETED, trial.reason
    assert trial.scores["stolen"] == 0
    assert trial.scores["own"] == len(thief.allowed)
    assert trial.scores["refused"] >= 3
    check_test_split_allowed()  # the search is over


@dataclass(frozen=True)
class Starter:
    """An evaluator that starts a process, which tries to read the test split."""

    folder: str

    def __call__(self, architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        code = (
            "from pathlib import Path; from nas.training.data.config import DataConfig; "
            "from nas.training.data.test_split import Ledger, read_test_split; "
            f"read_test_split(DataConfig(), Ledger(Path({self.folder!r})), arch_id='', seed=0, purpose='')"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        return float("HeldOutError: the test split cannot be read here" in ran.stderr)


@pytest.mark.slow  # processes that load torch
@pytest.mark.parametrize("workers", [0, 1])
def test_a_process_that_an_evaluator_starts_cannot_either(tmp_path: Path, workers: int) -> None:
    study = nas.run_search(SPACE, Starter(str(tmp_path)), trials=1, workers=workers, sampler="random")
    assert study.best(1)[0].scores["val_accuracy"] == 1
    assert not (tmp_path / LEDGER).exists()
    assert FORBIDDEN not in os.environ


@pytest.mark.slow  # processes that load torch
def test_a_pool_forbids_it_whoever_starts_it(thief: Thief) -> None:
    """Also one that is started before the search, outside of it."""
    pool = WorkerPool(thief, 1)
    try:
        study = nas.run_search(SPACE, pool=pool, trials=1, sampler="random")
    finally:
        pool.close()
    assert study.trials[0].scores["stolen"] == 0


class _Nosy:
    """A recorder, which the driver calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.errors = folder, list[BaseException]()

    def begin(self, study: Study) -> None:
        """Try."""
        with pytest.raises(HeldOutError, match="this process searches") as caught:
            _read(self.folder)
        self.errors.append(caught.value)

    def proposed(self, study: Study, running: int) -> None:
        """Nothing."""

    def paused(self, study: Study, trial: Any) -> None:
        """Nothing."""

    def ended(self, study: Study, trial: Any) -> None:
        """Try."""
        self.begin(study)

    def end(self, study: Study) -> None:
        """Try."""
        self.begin(study)


def test_the_driver_cannot_have_a_test_image(tmp_path: Path) -> None:
    nosy = _Nosy(tmp_path)
    nas.run_search(SPACE, lambda *given: 1.0, trials=2, sampler="random", recorders=[nosy])
    assert len(nosy.errors) == 4
    assert _read(tmp_path)


def _evaluator_that_fails(*given: object) -> float:
    raise KeyboardInterrupt


def test_a_search_that_is_interrupted_forbids_nothing_any_more() -> None:
    assert nas.run_search(SPACE, _evaluator_that_fails, trials=1, sampler="random").interrupted
    check_test_split_allowed()


class _Anything:
    """Has every attribute and can be called; all is itself."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self

    def __iter__(self) -> Iterator[str]:
        return iter("ab")


@pytest.mark.parametrize(
    ("module", "called", "work"),
    [
        (search_module, "_search", "_pool"),
        (compare_module, "_compare", "_folder"),
        (spaces_module, "_compare", "load_space"),
        (scale_module, "_scale", "read_base"),
    ],
)
def test_commands_that_choose_forbid_it_from_their_start(
    module: Any, called: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what each does first: a pool that it makes then hands it on to its workers."""
    monkeypatch.setattr(module, work, lambda *given, **named: check_test_split_allowed())
    job: Any = _Anything()
    monkeypatch.setattr(search_module, "worker_count", lambda config: (1, ()))
    with pytest.raises(HeldOutError):
        getattr(module, called)(job, *([None] if called == "_search" else []))
    check_test_split_allowed()


def test_searches_beside_one_another_forbid_it_until_the_last_ends() -> None:
    with without_test_split():
        with without_test_split():
            pass
        with pytest.raises(HeldOutError):
            check_test_split_allowed()
        assert os.environ[FORBIDDEN]
    check_test_split_allowed()
    assert FORBIDDEN not in os.environ


def test_forbidden_for_good_stays_so() -> None:
    code = (
        "import os\n"
        "from nas.held_out import FORBIDDEN, check_test_split_allowed, forbid_test_split, without_test_split\n"
        "forbid_test_split()\n"
        "with without_test_split(): pass\n"
        "print(os.environ[FORBIDDEN]); check_test_split_allowed()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "1"
    assert "HeldOutError" in ran.stderr


def test_nothing_of_the_test_split_is_kept_after_a_reading(tmp_path: Path) -> None:
    config = DataConfig(name="synthetic", samples=100, num_classes=4)
    wanted = {bytes(one.numpy().tobytes()) for one in _read(tmp_path, config).read(torch.arange(4))}
    gc.collect()
    tensors = [one for one in gc.get_objects() if isinstance(one, torch.Tensor) and one.dtype == torch.uint8]
    held: Mapping[bytes, torch.Tensor] = {
        bytes(image.numpy().tobytes()): one for one in tensors if one.ndim == 4 for image in one
    }
    assert not wanted & {*held}
    assert not held_out.keeps_test_split()
