"""Deterministic training: what is switched on meanwhile, and put back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.backends import cudnn

import nas
from nas.errors import TrainingError
from nas.training.data.load import load_data
from nas.training.deterministic import deterministic
from nas.training.fit import fit
from tests.training.test_fit import ARCH, DATA, RECIPE

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def _state() -> tuple[Any, ...]:
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    flags = (torch.are_deterministic_algorithms_enabled(), warns, cudnn.benchmark, cudnn.deterministic)
    return (*flags, os.environ.get(_CUBLAS))


@pytest.mark.parametrize(("variable", "meanwhile"), [(None, ":4096:8"), (":16:8", ":16:8"), (":0:0", ":4096:8")])
def test_it_is_on_in_training_and_put_back(
    variable: str | None, meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_CUBLAS, raising=False)
    if variable is not None:
        monkeypatch.setenv(_CUBLAS, variable)
    before, seen = _state(), list[tuple[Any, ...]]()
    recipe = replace(RECIPE, epochs=1, deterministic=True)

    def look(metrics: Mapping[str, float]) -> None:
        seen.append(_state())

    found = fit(ARCH, load_data(DATA), recipe, seed=0, after_epoch=look)
    assert seen == [(True, False, False, True, meanwhile)]
    assert _state() == before
    assert before[0] is False
    seen.clear()
    plain = fit(ARCH, load_data(DATA), replace(recipe, deterministic=False), seed=0, after_epoch=look)
    assert seen == [before], "by default nothing is changed"
    assert plain.history == found.history, "on a CPU it was deterministic before"


def test_what_was_on_stays_on_also_after_an_error() -> None:
    before = _state()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        on = _state()
        with pytest.raises(KeyError), deterministic(True):
            raise KeyError
        assert _state() == on != before
    finally:
        torch.use_deterministic_algorithms(False)


def test_an_operation_that_has_none_is_named() -> None:
    values, places = F.max_pool2d(torch.rand(1, 1, 4, 4), 2, return_indices=True)
    words = r"^train.deterministic=true: max_unpool.* does not have a deterministic implementation on this device"
    with pytest.raises(TrainingError, match=words), deterministic(True):
        F.max_unpool2d(values, places, [2])
    with pytest.raises(RuntimeError, match="size") as found, deterministic(True):
        torch.ones(2) @ torch.ones(3)
    assert not isinstance(found.value, nas.errors.NasError)
