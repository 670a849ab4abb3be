"""What decisions explain, on objectives whose shares are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from nas.reports.importance import MIN_TRIALS, importance

SHARES = {"first": 0.5, "second": 0.25, "kind.depth": 0.12, "fourth": 0.06}
NOISE = 0.07


def _draw(rng: np.random.Generator) -> dict[str, Any]:
    genotype: dict[str, Any] = {"kind": str(rng.choice(["plain", "deep"]))}
    if genotype["kind"] == "deep":
        genotype["kind.depth"] = int(rng.integers(1, 4))
    genotype |= {"first": int(rng.choice([3, 5, 7])), "second": str(rng.choice(["a", "b", "c"]))}
    return genotype | {"fourth": bool(rng.integers(2)), "nothing": float(rng.choice([0.0, 0.2]))}


def _effects(rng: np.random.Generator) -> dict[str, dict[Any, float]]:
    """Effects of options with a mean of 0 and the variance of their decision, over all that is drawn."""
    options: dict[str, list[Any]] = {
        "first": [3, 5, 7],
        "second": ["a", "b", "c"],
        "kind.depth": [1, 2, 3],
        "fourth": [False, True],
    }
    effects = {}
    for name, share in SHARES.items():
        drawn = rng.normal(size=len(options[name]))
        drawn -= drawn.mean()
        active = 0.5 if name == "kind.depth" else 1.0
        effects[name] = dict(zip(options[name], drawn * np.sqrt(share / active / np.mean(drawn**2)), strict=True))
    return effects


def _data(seed: int, count: int) -> tuple[list[dict[str, Any]], list[float], list[dict[str, Any]]]:
    rng = np.random.default_rng(seed)
    effects, genotypes = _effects(rng), [_draw(rng) for _ in range(count)]
    noise = np.sqrt(NOISE) * rng.normal(size=count)
    scores = [
        sum(effects[name][one[name]] for name in SHARES if name in one) + float(extra)
        for one, extra in zip(genotypes, noise, strict=True)
    ]
    return genotypes, scores, [_draw(rng) for _ in range(1000)]


def test_shares_are_those_that_the_objective_has() -> None:
    found = importance(*_data(0, 400))
    assert found is not None
    for name, share in SHARES.items():
        assert abs(found.decisions[name].share - share) < 0.05, name
        assert found.decisions[name].low <= share <= found.decisions[name].high, name
    assert abs(found.rest.share - NOISE) < 0.02
    assert list(found.decisions)[:2] == ["first", "second"]
    for name in ("kind", "nothing"):
        assert found.decisions[name].share < 0.01


def test_a_search_that_tried_little_else_than_the_best_is_seen_through() -> None:
    genotypes, scores, drawn = _data(1, 300)
    # As a search does: three quarters of the trials are those with the best option of the first decision.
    means = {k: np.mean([s for g, s in zip(genotypes, scores, strict=True) if g["first"] == k]) for k in (3, 5, 7)}
    best = max(means, key=lambda option: means[option])
    kept = [i for i, one in enumerate(genotypes) if one["first"] == best]
    kept += [i for i, one in enumerate(genotypes) if one["first"] != best][: len(kept) // 3]
    found = importance([genotypes[i] for i in kept], [scores[i] for i in kept], drawn)
    assert found is not None
    assert found.decisions["first"].low <= 0.5 <= found.decisions["first"].high
    among = np.var([means[genotypes[i]["first"]] for i in kept]) / np.var([scores[i] for i in kept])
    assert abs(found.decisions["first"].share - 0.5) < abs(among - 0.5)


def test_trainings_that_diverged_decide_nothing() -> None:
    genotypes, scores, drawn = _data(2, 200)
    for i in range(0, 200, 40):
        scores[i] = -50.0
    found = importance(genotypes, scores, drawn)
    assert found is not None
    assert found.outliers == 5
    assert list(found.decisions)[:2] == ["first", "second"]
    assert found.decisions["first"].low <= 0.5 <= found.decisions["first"].high


def test_few_trials_of_many_decisions_show_nothing() -> None:
    rng = np.random.default_rng(3)
    genotypes = [{f"d{i}": int(rng.integers(3)) for i in range(40)} for _ in range(15)]
    found = importance(genotypes, list(rng.normal(size=15)), genotypes)
    assert found is not None
    assert all(one.low < 0.02 for one in found.decisions.values())


def test_the_same_trials_give_the_same_shares() -> None:
    assert importance(*_data(4, 40)) == importance(*_data(4, 40))


def test_nothing_is_said_of_too_few_or_equal_scores() -> None:
    genotypes, scores, drawn = _data(5, MIN_TRIALS)
    assert importance(genotypes, scores, drawn) is not None
    assert importance(genotypes[1:], scores[1:], drawn) is None
    assert importance(genotypes, [1.0] * MIN_TRIALS, drawn) is None
    assert importance([{}] * MIN_TRIALS, scores, [{}]) is None


def test_a_number_from_a_range_of_many_is_cut_into_parts() -> None:
    rng = np.random.default_rng(6)
    genotypes = [{"width": float(rng.random()), "other": int(rng.integers(2))} for _ in range(200)]
    scores = [one["width"] + 0.01 * float(rng.normal()) for one in genotypes]
    found = importance(genotypes, scores, [{"width": float(rng.random()), "other": 0} for _ in range(500)])
    assert found is not None
    assert found.decisions["width"].share > 0.95
