"""Optuna's own test suite for samplers, over those of ours that need no space."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from nas.search.samplers import sampler as make
from tests.search.samplers.ours import WITHOUT_A_SPACE


class _Ours:
    @pytest.fixture(params=WITHOUT_A_SPACE)
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: make(str(request.param), seed=0)


class TestBasic(_Ours, BasicSamplerTestCase):
    pass


class TestRelative(_Ours, RelativeSamplerTestCase):
    pass


class TestMultiObjective(_Ours, MultiObjectiveSamplerTestCase):
    pass
