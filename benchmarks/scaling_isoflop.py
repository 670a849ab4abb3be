"""How often the interval of the best size for a cost of training holds it, on laws that are known.

`python -m benchmarks.scaling_law` prints the table, with `--only isoflop` alone.

Three budgets of training (1, 2 and 4), five sizes each, two runs of each with 2 % noise. Off centre: the best size of
the middle budget is at a quarter of the range of the sizes, in logarithms. The parabola stands beside it as a check.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.coverage import share, simulated
from nas.errors import NasError
from nas.scaling.laws.observations import Observation
from nas.scaling.laws.optimum import best_size, growth_exponent, joint_law, parabola_minimum

BUDGETS = (1.0, 2.0, 4.0)
NOISE, SIZES, RUNS = 0.02, 5, 2


@dataclass(frozen=True)
class Condition:
    """Where sizes are, and the law: 0.3 + A N^-a + B D^-b, whose best N at N D = 2 is `best`."""

    name: str
    span: float
    place: float
    """Of the best size for the middle budget, as a share of the range of sizes in logarithms."""
    exponents: tuple[float, float] = (0.5, 0.4)

    @property
    def best(self) -> float:
        """The best size for the middle budget, where the smallest is 1."""
        return float(self.span**self.place)

    def loss(self, size: float, data: float) -> float:
        """Slopes of both terms are alike at the best size and the data that it leaves."""
        a, b = self.exponents
        return float(0.3 + 0.3 * (size / self.best) ** -a + 0.3 * a / b * (data * self.best / 2) ** -b)

    def truth(self, budget: float) -> float:
        """The best size for a budget: a A N^-a = b B D^-b under N D = budget."""
        a, b = self.exponents
        return float(self.best * (budget / 2) ** (b / (a + b)))


CONDITIONS = tuple(
    Condition(f"isoflop over {span:g} x, {where}", span, place)
    for span in (8.0, 36.0)
    for where, place in (("centred", 0.5), ("off centre", 0.25))
)


@dataclass(frozen=True)
class Outcome:
    """What came of one study."""

    refused: bool = False
    held: tuple[bool, ...] = ()
    """For each budget."""
    grows: bool = False
    """The power of the growth was inside its interval."""
    width: float = 0.0
    """Of the middle budget's interval, as a factor between its ends."""
    off: float = 0.0
    parabola_off: float = 0.0


def simulate(place: int, number: int, seed: int) -> Outcome:
    """Fit one study of a condition."""
    condition = CONDITIONS[place]
    rng = np.random.default_rng((seed, 100 + place, number))
    sizes = np.geomspace(1, condition.span, SIZES).tolist()
    losses = {
        budget: {
            size: [condition.loss(size, budget / size) * float(np.exp(NOISE * rng.normal())) for _ in range(RUNS)]
            for size in sizes
        }
        for budget in BUDGETS
    }
    observations = [
        Observation((size, budget / size), loss, f"{budget} {size} {run}")
        for budget, own in losses.items()
        for size, every in own.items()
        for run, loss in enumerate(every)
    ]
    try:
        law = joint_law(observations)
    except NasError:
        return Outcome(refused=True)
    found = {budget: best_size(law, budget) for budget in BUDGETS}
    a, b = condition.exponents
    power, middle, truth = growth_exponent(law), found[2.0], condition.truth(2.0)
    least = parabola_minimum(sizes, [float(np.exp(np.mean(np.log(every)))) for every in losses[2.0].values()])
    return Outcome(
        held=tuple(one.low <= condition.truth(budget) <= one.high for budget, one in found.items()),
        grows=power.low <= b / (a + b) <= power.high,
        width=middle.high / max(middle.low, 1e-9),
        off=abs(np.log(middle.value / truth)),
        parabola_off=abs(np.log(least / truth)) if least else 9.0,
    )


def row(condition: Condition, found: Sequence[Outcome]) -> str:
    """A condition's row of the table."""
    tried = [one for one in found if not one.refused]
    held = " | ".join(share(sum(one.held[i] for one in tried), len(tried)) for i in range(len(BUDGETS)))
    grows = f"{np.mean([one.grows for one in tried]):.1%}"
    middle = f"{np.median([one.width for one in tried]):.2f}"
    off, other = (np.median([getattr(one, name) for one in tried]) for name in ("off", "parabola_off"))
    return f"| {condition.name} | {len(found) - len(tried)} | {held} | {grows} | {middle} | {off:.1%} | {other:.1%} |"


def table(laws: int, only: str, seed: int, workers: int) -> None:
    """Print a row a condition whose name has `only`."""
    started = time.perf_counter()
    budgets = " | ".join(f"holds the best size of budget {budget:g}" for budget in BUDGETS)
    print(f"| sizes | refused | {budgets} | holds the growth | high end / low end | median error | of the parabola |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for place, condition in enumerate(CONDITIONS):
        if only in condition.name:
            print(row(condition, simulated(simulate, place, laws, seed, workers)), flush=True)
    print(f"{laws} studies each, seed {seed}, {time.perf_counter() - started:.0f} s")
