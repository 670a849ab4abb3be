"""Finding the genotype of a network takes work that grows with its decisions, not with their combinations."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

import nas
from nas.errors import SpaceError
from nas.space.tree import binding, matching

KERNEL = {"choose": [3, 5], "per": "block"}
CONV = {"block": "conv", "out_channels": 8, "kernel": KERNEL}
# Two kinds that are one block: 2^512 genotypes for one network.
TWICE = {"choose": {name: {"block": "conv", "kernel": {"choose": [3, 5]}} for name in "ab"}, "per": "block"}
HEAD = {"assume": {"resolution": 16, "num_classes": 4}, "head": {"block": "classifier"}}


def _space(*stages: Any, **words: Any) -> nas.SearchSpace:
    return nas.SearchSpace.from_dict({**HEAD, "stages": list(stages), **words})


SPACES = {
    "stages": lambda n: _space(*[{**CONV, "depth": {"range": [1, n]}}] * 4),
    "entries": lambda n: _space({"blocks": [{**CONV, "depth": {"range": [0, 8]}}] * (n // 2)}),
    "ambiguous kinds": lambda n: _space(*[{"block": TWICE, "out_channels": 8, "depth": n}] * 4),
    "names": lambda n: _space(
        *[{**CONV, "out_channels": f"= n{i}"} for i in range(n // 2)],
        let={f"n{i}": {"choose": [8, 16]} for i in range(n // 2)},
    ),
    "branches": lambda n: _space({"block": "parallel", "depth": n // 8, "branches": {"count": 8, "each": CONV}}),
}


def _steps(space: nas.SearchSpace, arch: nas.Architecture, monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of decisions that are tried."""
    steps = 0
    decide = matching.PartialMatch.decide

    def counted(partial: matching.PartialMatch, path: str, value: Any) -> matching.PartialMatch:
        nonlocal steps
        steps += 1
        return decide(partial, path, value)

    monkeypatch.setattr(matching.PartialMatch, "decide", counted)
    try:
        space.encode(arch)
    except SpaceError:
        pass
    finally:
        monkeypatch.undo()
    return steps


def _with_another_bias(arch: nas.Architecture) -> nas.Architecture:
    """A network whose last block is none of the space's."""
    values = arch.to_dict()
    block = values["stages"][-1][-1]
    while "branches" in block:
        block = block["branches"][-1][-1]
    block["bias"] = not block["bias"]
    return nas.Architecture.from_dict(values)


@pytest.mark.parametrize("name", SPACES)
def test_the_work_grows_with_the_decisions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for outside in (False, True):
        if outside and name == "entries":
            continue  # how blocks are shared out among entries is tried up to a limit
        counts = []
        for n in (16, 32, 64):
            space = SPACES[name](n)
            arch = space.decode(space.unrank(space.size() - 1))
            if not outside:
                assert space.decode(space.encode(arch)) == arch
            counts.append(_steps(space, _with_another_bias(arch) if outside else arch, monkeypatch))
        # Twice the decisions, at most about twice the work: exponential or quadratic work would be four times.
        assert all(more < 3 * less + 10 for less, more in pairwise(counts))


def test_ten_thousand_decisions_are_found() -> None:
    space = _space(*[{**CONV, "depth": {"range": [1, 512]}}] * 20)
    genotype = space.sample(0)
    assert len(genotype) > 10_000
    assert space.encode(space.decode(genotype)) == genotype


def test_blocks_are_shared_out_in_a_bounded_number_of_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "_MAX_BLOCKS", 2000)
    space = SPACES["entries"](64)
    arch = space.decode(space.resolve(lambda choice, path, copies, names: len(choice.options) // 2))
    with pytest.raises(SpaceError, match="too many ways to share out the blocks"):
        space.encode(_with_another_bias(arch))
