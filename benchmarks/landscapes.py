"""The default sampler on landscapes of 430 million networks, of which limits may leave next to none.

    python -m benchmarks.landscapes --tightest 0.01 --write now.json       # a minute of CPU
    python -m benchmarks.landscapes --tightest 0.01 --against before.json  # written so by the code of another commit

A table as small as NAS-Bench-Macro has 66 networks under a limit that one in a hundred holds, so that any search is
soon through. Here networks are four stages of inverted residuals, each with a width, depth, kernel and expansion, whose
costs are counted by a formula. A landscape, one for each seed, scores them: a curve over multiply-adds and parameters,
effects of single decisions and of 16 pairs of them, and a rest that no model can know. Its optimum is not known, so
that searches are compared by what they found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import time
from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from nas.search.samplers.domain import Domain, Params, Proposal, random_new
from nas.search.samplers.history import History, Result
from nas.search.samplers.predictor import PredictorSampler
from nas.statistics import Array, median_interval, paired

Genotype = tuple[int, ...]
"""The index of the option of each decision."""

_WIDTHS = ((16, 24, 32, 48), (24, 40, 56, 80), (40, 64, 96, 128), (80, 112, 160, 224))
_NAMES = tuple(f"{name}{stage}" for stage in range(4) for name in ("width", "depth", "kernel", "expand"))
_OPTIONS = tuple(option for widths in _WIDTHS for option in (widths, (1, 2, 3, 4), (3, 5, 7), (1, 3, 6)))
_RANDOM_TRIALS = 8
_PLACES = (20, 30, 45, 60)


def _costs(genotype: Genotype) -> tuple[float, ...]:
    """Return the logarithms of parameters, multiply-adds and activations, and the depth; 32x32 images, 16 channels."""
    channels, pixels, params, macs, activations, blocks = 16, 32, 0, 0, 0, 0
    values = [option[index] for option, index in zip(_OPTIONS, genotype, strict=True)]
    for stage in range(4):
        width, depth, kernel, expand = values[4 * stage : 4 * stage + 4]
        pixels = pixels // 2 if stage else pixels
        for _ in range(depth):
            middle = channels * expand
            weights = channels * middle + middle * kernel**2 + middle * width
            params += weights
            macs += weights * pixels**2
            activations += (2 * middle + width) * pixels**2
            channels = width
        blocks += depth
    return math.log1p(params), math.log1p(macs), math.log1p(activations), float(blocks)


def _drawn(rng: random.Random) -> Genotype:
    return tuple(rng.randrange(len(option)) for option in _OPTIONS)


class Landscape:
    """What networks score."""

    def __init__(self, seed: int) -> None:
        """Draw a landscape."""
        self._seed = seed
        rng = np.random.default_rng(1000 + seed)
        counts = [len(option) for option in _OPTIONS]
        self._single = [rng.normal(0, 0.006, count) for count in counts]
        pairs = [sorted(rng.choice(len(counts), 2, replace=False)) for _ in range(16)]
        self._pairs = [(i, j, rng.normal(0, 0.006, (counts[i], counts[j]))) for i, j in pairs]
        self._of_macs, self._of_params = rng.uniform(0.02, 0.04), rng.uniform(0.0, 0.02)

    def score(self, genotype: Genotype) -> float:
        """Return the score of a network, without noise."""
        params, macs, *_ = _costs(genotype)
        rest = int.from_bytes(hashlib.blake2b(repr((self._seed, genotype)).encode(), digest_size=6).digest()) / 2**48
        return (
            0.8
            + self._of_macs * (macs - 17)
            - 0.004 * (macs - 17) ** 2
            + self._of_params * (params - 13)
            + sum(float(effects[index]) for effects, index in zip(self._single, genotype, strict=True))
            + sum(float(effects[genotype[i], genotype[j]]) for i, j, effects in self._pairs)
            + 0.004 * (rest - 0.5)
        )


class Networks:
    """The networks as a domain of proposals; those over the limit on parameters are none."""

    def __init__(self, max_log_params: float) -> None:
        """Take the limit."""
        self._limit = max_log_params
        self._tried: set[Hashable] = set()
        self._known: dict[Genotype, Proposal] = {}
        self._distributions = {name: CategoricalDistribution(o) for name, o in zip(_NAMES, _OPTIONS, strict=True)}

    def observe(self, trial: FrozenTrial) -> None:
        """Do nothing: there are no trials of Optuna's."""

    def mark_tried(self, number: int, proposal: Proposal) -> None:
        """Take note of what is evaluated."""
        self._tried.add(proposal.key)

    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Return the options of each decision."""
        return self._distributions

    def recipe_distributions(self) -> Mapping[str, BaseDistribution]:
        """Return nothing: all decisions are of the network."""
        return {}

    def decisions_in(self, params: Params) -> Params | None:
        """Return all of them."""
        return params

    def genotype(self, params: Params) -> Genotype:
        """Return decisions as indices."""
        return tuple(option.index(params[name]) for name, option in zip(_NAMES, _OPTIONS, strict=True))

    def proposal(self, params: Params) -> Proposal:
        """Return decisions as a proposal."""
        return self._proposal(self.genotype(params))

    def _proposal(self, genotype: Genotype) -> Proposal:
        if genotype not in self._known:
            params = {n: option[i] for n, option, i in zip(_NAMES, _OPTIONS, genotype, strict=True)}
            self._known[genotype] = Proposal(params, genotype, cost_features=_costs(genotype))
        return self._known[genotype]

    def _if_feasible(self, genotype: Genotype) -> Proposal | None:
        proposal = self._proposal(genotype)
        return proposal if proposal.cost_features[0] <= self._limit else None

    def sample(self, rng: random.Random) -> Proposal | None:
        """Draw one."""
        return self._if_feasible(_drawn(rng))

    def sample_feasible(self, rng: random.Random) -> Proposal:
        """Draw 50; where none holds the limit, the smallest is mutated until it does."""
        draws = []
        for _ in range(50):
            draws.append(_drawn(rng))
            if self._if_feasible(draws[-1]):
                return self._proposal(draws[-1])
        smallest = min(draws, key=lambda genotype: _costs(genotype)[0])
        while not self._if_feasible(smallest):
            other = self._mutated(smallest, rng, rng.choice((1, 1, 1, 2, 2, 3)))
            smallest = other if _costs(other)[0] <= _costs(smallest)[0] else smallest
        return self._proposal(smallest)

    def _mutated(self, genotype: Genotype, rng: random.Random, num_changes: int) -> Genotype:
        changed = list(genotype)
        for place in rng.sample(range(len(changed)), num_changes):
            count = len(_OPTIONS[place])
            changed[place] = (changed[place] + rng.randrange(1, count)) % count
        return tuple(changed)

    def mutate(self, proposal: Proposal, rng: random.Random, num_changes: int) -> Proposal | None:
        """Change decisions to other options."""
        return self._if_feasible(self._mutated(self.genotype(proposal.params), rng, num_changes))

    def crossover(self, first: Proposal, second: Proposal, rng: random.Random) -> Proposal | None:
        """Take each decision from one of two."""
        parents = zip(self.genotype(first.params), self.genotype(second.params), strict=True)
        return self._if_feasible(tuple(rng.choice(indices) for indices in parents))

    def is_new(self, proposal: Proposal) -> bool:
        """Whether it was not evaluated."""
        return proposal.key not in self._tried

    def of_new_networks(self) -> Domain:
        """Return itself: decisions are those of a network."""
        return self

    def sample_untried(self, rng: random.Random) -> None:
        """Return None: there are too many to go through."""


def limit_of(share: float | None) -> float:
    """Return the logarithm of the parameters that so large a share of 20,000 random networks have at most."""
    if share is None:
        return math.inf
    rng = random.Random(7)
    return float(np.quantile([_costs(_drawn(rng))[0] for _ in range(20_000)], share))


def search(limit: float, seed: int, trials: int) -> list[float]:
    """Let the default sampler search the landscape of a seed; return the best score after each trial."""
    landscape, domain, sampler = Landscape(seed), Networks(limit), PredictorSampler(seed)
    history = History(domain)
    history.signs = [1.0]
    for number in range(trials):
        rng = random.Random(f"{seed}-{number}")
        history.trial_number = number
        wanted = sampler._best_child(history, domain, rng) if number >= _RANDOM_TRIALS else random_new(domain, rng)
        assert wanted is not None
        domain.mark_tried(number, wanted)
        history.results.append(Result(number, wanted.params, (landscape.score(domain.genotype(wanted.params)),)))
    return [float(best) for best in np.maximum.accumulate(history.values[:, 0])]


def main() -> None:
    """Search, and write the curves down or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tightest", type=float, help="limit parameters to those of this share of the networks")
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--write", type=Path, help="write the curves of the searches to this file")
    parser.add_argument("--against", type=Path, help="compare with the curves in this file")
    given = parser.parse_args()
    started, limit = time.process_time(), limit_of(given.tightest)
    curves = np.array([search(limit, seed, given.trials) for seed in range(given.seeds)])
    print(f"{given}: {(time.process_time() - started) / curves.size * 1e3:.1f} ms of CPU a trial")
    if given.write:
        given.write.write_text(json.dumps(curves.tolist()))
    if given.against:
        print("\n".join(compared(curves, np.array(json.loads(given.against.read_text())))))


def compared(curves: Array, before: Array) -> list[str]:
    """Return the lines of a table: how far below the better of two last scores each is, and their difference.

    Args:
        curves: `(seeds, trials)`.
        before: as `curves`, of other code with the same seeds.
    """
    best = np.maximum(curves[:, -1], before[:, -1])
    lines = [
        "| after | before | now | better by, median | by, mean | ahead : behind, p |",
        "| --: | --: | --: | --- | --- | --- |",
    ]
    for place in [place for place in _PLACES if place <= curves.shape[1]]:
        now, then = curves[:, place - 1], before[:, place - 1]
        gap, mean, error = paired(now, then), (now - then).mean(), 1.96 * (now - then).std(ddof=1) / len(now) ** 0.5
        cells = [
            f"{median_interval(best - values)[0]:.4f}, mean {(best - values).mean():.4f}" for values in (then, now)
        ]
        lines.append(
            f"| {place} | {cells[0]} | {cells[1]} | {gap.median:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) | "
            f"{mean:+.4f} ({mean - error:+.4f} to {mean + error:+.4f}) | {gap.ahead} : {gap.behind}, p {gap.p:.2g} |"
        )
    return lines


if __name__ == "__main__":
    main()
