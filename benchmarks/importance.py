"""How well the report of a search says which decisions matter, on objectives whose shares are known.

    python -m benchmarks.importance                          # 100 searches of 60 trials, 6 decisions: 20 minutes
    python -m benchmarks.importance --space large --repetitions 20
    python -m benchmarks.importance --optuna                 # the evaluators of Optuna on the same trials

Each repetition draws four decisions, one of them conditional, with effects of their options drawn from a normal
distribution and scaled to shares of .5, .25, .12 and .06 of the variance over the space; noise has .07. The trials are
those of a search with the default sampler, which hardly tries anything but the best options: of 60 trials about 53 have
the best option of the first decision. Counted are the repetitions in which the two decisions with the largest shares
come first, in their order, and those in which the 95 % interval holds the true share.

--optuna: PED-ANOVA with its defaults, which takes decisions that are not always active, and fANOVA, which does not,
with an option of its own for those.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

import nas
from nas.reports.importance import importance
from nas.search.trial import State

SHARES = (0.5, 0.25, 0.12, 0.06)
NOISE = 0.07
_CONDITIONAL = "stages.0.block.mbconv.expand_ratio"
_KIND: dict[str, Any] = {"choose": {"conv": {}, "mbconv": {"expand_ratio": {"choose": [1, 2, 3, 4]}}}}
_ASSUME = {"channels": 1, "resolution": 16, "num_classes": 10}
SPACES: Mapping[str, dict[str, Any]] = {
    "small": {
        "assume": _ASSUME,
        "stem": {"block": "conv", "out_channels": 8},
        "stages": [
            {"block": _KIND, "kernel": {"choose": [3, 5, 7]}, "out_channels": 16},
            {
                "block": "mbconv",
                "depth": {"range": [1, 3]},
                "out_channels": {"choose": [16, 24, 32]},
                "stride": 2,
                "se_ratio": {"choose": [0, 0.25]},
            },
        ],
        "head": {"block": "classifier"},
    },
    "large": {
        "assume": _ASSUME,
        "stem": {"block": "conv", "out_channels": {"choose": [8, 16]}},
        "stages": [
            {
                "block": _KIND,
                "depth": {"choose": [1, 2, 3]},
                "out_channels": {"choose": [8, 16, 24, 32]},
                "kernel": {"choose": [3, 5, 7]},
            },
            {
                "block": "mbconv",
                "depth": {"range": [1, 3]},
                "out_channels": {"choose": [16, 24, 32]},
                "stride": 2,
                "expand_ratio": {"choose": [1, 2, 4]},
                "se_ratio": {"choose": [0, 0.25]},
                "kernel": {"choose": [3, 5]},
            },
        ],
        "head": {"block": "classifier", "dropout": {"choose": [0, 0.2]}},
    },
}
"""6 and 12 decisions."""


@dataclass(frozen=True)
class Searched:
    """The trials of one search, and the decisions of the objective by their shares, the largest first."""

    names: list[str]
    genotypes: list[dict[str, Any]]
    scores: list[float]


def searched(space: nas.SearchSpace, drawn: Sequence[Mapping[str, Any]], seed: int, trials: int) -> Searched:
    """Search for an objective of known shares."""
    rng = np.random.default_rng(seed)
    always = [name for name in drawn[0] if all(name in genotype for genotype in drawn)]
    first, second, fourth = (str(name) for name in rng.permutation(always)[:3])
    names = [first, second, _CONDITIONAL, fourth]
    effects = {name: _effects(name, share, drawn, rng) for name, share in zip(names, SHARES, strict=True)}

    def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        genotype = space.encode(arch)
        noise = np.sqrt(NOISE) * float(np.random.default_rng(seed).normal())
        return 0.7 + 0.05 * float(sum(effects[name].get(genotype.get(name), 0.0) for name in names) + noise)

    study = nas.run_search(space, score, trials=trials, seed=seed, workers=0)
    done = [trial for trial in study.trials if trial.state is State.COMPLETED]
    return Searched(names, [dict(trial.genotype) for trial in done], [trial.scores["val_accuracy"] for trial in done])


def _effects(name: str, share: float, drawn: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> dict[Any, float]:
    """Draw an effect for each option, with a mean of 0 where the decision is active and a variance of its share."""
    options = sorted({genotype[name] for genotype in drawn if name in genotype}, key=str)
    often = np.array([sum(one.get(name) == option for one in drawn) for option in options]) / len(drawn)
    effects = rng.normal(size=len(options))
    effects -= often @ effects / often.sum()
    return dict(zip(options, effects * np.sqrt(share / (often @ effects**2)), strict=True))


def _repetitions(given: argparse.Namespace, space: nas.SearchSpace, drawn: list[Any]) -> Iterator[Searched]:
    """Yield the searches, those that are in the file as they are there."""
    file = Path(given.file)
    done = [Searched(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
    yield from done[: given.repetitions]
    for seed in range(len(done), given.repetitions):
        one = searched(space, drawn, seed, given.trials)
        with file.open("a") as out:
            out.write(json.dumps(asdict(one)) + "\n")
        yield one


def _ours(repetitions: Sequence[Searched], drawn: Sequence[Mapping[str, Any]]) -> None:
    right, held, means = [], [], []
    for one in repetitions:
        found = importance(one.genotypes, one.scores, drawn)
        assert found is not None
        shares = [*(found.decisions[name] for name in one.names), found.rest]
        right.append(list(found.decisions)[:2] == one.names[:2])
        held.append([share.low <= true <= share.high for share, true in zip(shares, (*SHARES, NOISE), strict=True)])
        means.append([share.share for share in shares])
    print(f"ours: first two right in {sum(right)} of {len(right)}")
    for name, true, shares, inside in zip("1234n", (*SHARES, NOISE), np.array(means).T, np.array(held).T, strict=True):
        print(f"  {name}: true {true}, mean {shares.mean():.3f}, sd {shares.std():.3f}, held in {inside.sum()}")


def _optunas(repetitions: Sequence[Searched], drawn: Sequence[Mapping[str, Any]]) -> None:
    names = sorted({name for genotype in drawn for name in genotype})
    options = {name: sorted({str(genotype.get(name, "-")) for genotype in drawn}) for name in names}

    def study(one: Searched, *, filled: bool) -> optuna.Study:
        made = optuna.create_study(direction="maximize")
        for genotype, score in zip(one.genotypes, one.scores, strict=True):
            params = {name: str(genotype.get(name, "-")) for name in names if filled or name in genotype}
            kinds: dict[str, Any] = {name: CategoricalDistribution(options[name]) for name in params}
            made.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=score))
        return made

    for label, evaluator, filled in (
        ("PED-ANOVA", PedAnovaImportanceEvaluator(), False),
        ("PED-ANOVA over the space", PedAnovaImportanceEvaluator(evaluate_on_local=False), False),
        ("fANOVA", FanovaImportanceEvaluator(seed=0), True),
    ):
        found = [evaluator.evaluate(study(one, filled=filled)) for one in repetitions]
        right = sum(list(values)[:2] == one.names[:2] for values, one in zip(found, repetitions, strict=True))
        means = np.mean(
            [[values[name] for name in one.names] for values, one in zip(found, repetitions, strict=True)], axis=0
        )
        print(f"{label}: first two right in {right} of {len(found)}; mean importances {means.round(3)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=[*SPACES], default="small")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--file", default="importance_trials.jsonl", help="where the trials are kept, to go on with")
    parser.add_argument("--optuna", action="store_true", help="Optuna's evaluators too")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = nas.SearchSpace.from_dict({"name": given.space, **SPACES[given.space]})
    drawn = [space.sample(seed) for seed in range(4000)]
    repetitions = list(_repetitions(given, space, drawn))
    _ours(repetitions, drawn[:1000])
    if given.optuna:
        _optunas(repetitions, drawn)


if __name__ == "__main__":
    main()
