"""The time of proposals, against a sampler that takes a known one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from optuna.samplers import RandomSampler

import nas
from nas.search.config import Config
from nas.search.reporting import proposal_time
from nas.search.reporting.proposal_time import proposal_seconds
from nas.settings import settings_from
from nas.space.feasible import examine

SECONDS = 0.02
KNOWN = 5


class _Slow(RandomSampler):
    known: set[int]

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Wait, which happens once for each trial that is asked for, and note how many scores are known."""
        if len(study.trials) > KNOWN:
            time.sleep(SECONDS)
            self.known.add(sum(one.value is not None for one in study.trials))
        return super().infer_relative_search_space(study, trial)


@pytest.mark.parametrize("made_anew", [False, True])
def test_proposals_are_timed_with_what_is_known(made_anew: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = _Slow(seed=0)
    sampler.known = set()
    made: Any = (lambda seed: sampler) if made_anew else sampler
    monkeypatch.setattr(proposal_time, "proposer", lambda *given, **options: made)
    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    known = [examine(space, space.sample(seed), ()) for seed in range(KNOWN)]
    found = proposal_seconds(settings_from(Config, {"space": "mbconv"}), space, known, ())
    assert found >= SECONDS
    assert sampler.known == {KNOWN}
