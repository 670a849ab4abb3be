"""What limits leave of spaces that were brought to them: the share that holds them, and how far that uses them.

    python -m benchmarks.fitted_spaces            # a line a case as it goes, then the table; some minutes
    python -m benchmarks.fitted_spaces vit        # of one space

A case is a space, an input and upper limits, from 10^4 to 10^7 parameters and 8 to 224 pixels. Shares and uses are of
1000 genotypes that the fit has not drawn, which itself draws 300. It did its work where a tenth to a half of them hold
the limits and the median of these uses half of the tightest.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import nas
from nas.cost import check, constraints_from, cost_of, value_of
from nas.errors import NasError
from nas.space.fit import LEAST_SHARE, LEAST_USE, MOST_SHARE, fit_to_limits

SPACES = ("mbconv", "resnet", "small_images", "vit")
PAIRS: tuple[tuple[tuple[int, ...], Mapping[str, float]], ...] = (
    ((1, 8, 8), {"params": 1e4}),
    ((1, 8, 8), {"params": 1e5}),
    ((3, 16, 16), {"params": 3e4, "macs": 1e6}),
    ((1, 28, 28), {"params": 5e4}),
    ((1, 28, 28), {"params": 2e5, "macs": 8e6}),
    ((3, 32, 32), {"params": 1e5}),
    ((3, 32, 32), {"params": 1e6, "macs": 5e7}),
    ((3, 64, 64), {"params": 3e5, "macs": 2e7}),
    ((3, 64, 64), {"params": 3e6}),
    ((3, 128, 128), {"params": 1e6, "macs": 1e8}),
    ((3, 224, 224), {"params": 3e6, "macs": 3e8}),
    ((3, 224, 224), {"params": 1e7}),
)
_DRAWS, _SEED = 1000, 1
"""Of the genotypes here; a fit draws its own with seed 0."""


@dataclass(frozen=True)
class Case:
    """What limits leave of a space before and after it was brought to them."""

    space: str
    shape: tuple[int, ...]
    limits: Mapping[str, float]
    multiplier: float
    before: float
    share: float
    use: float
    seconds: float
    """CPU time of the fit."""

    @property
    def fits(self) -> bool:
        """Whether the fit did its work."""
        return LEAST_SHARE <= self.share <= MOST_SHARE and self.use >= LEAST_USE

    def row(self) -> str:
        """Return its row of the table."""
        limits = ", ".join(f"{value:.0e} {name}".replace("e+0", "e") for name, value in self.limits.items())
        return (
            f"| {self.space} | {'x'.join(map(str, self.shape))} | {limits} | {self.multiplier:.3g} | {self.before:.1%} "
            f"| {self.share:.1%} | {self.use:.1%} | {'yes' if self.fits else '**no**'} | {self.seconds:.1f} |"
        )


def _left(space: nas.SearchSpace, limits: Mapping[str, float]) -> tuple[float, float]:
    """Return the share of random genotypes that hold limits, and what of the tightest their median uses."""
    rng, used, constraints = random.Random(_SEED), list[float](), constraints_from(limits)
    for _ in range(_DRAWS):
        try:
            cost = cost_of(space.decode(space.sample(rng)))
        except NasError:  # no network
            continue
        if not any(violation.rejects for violation in check(cost, constraints)):
            used.append(max(value_of(cost, limit.metric) / limit.high for limit in constraints))
    return len(used) / _DRAWS, median(used) if used else 0.0


def cases(spaces: tuple[str, ...]) -> Iterator[Case]:
    """Yield the cases of some spaces."""
    for name in spaces:
        for shape, limits in PAIRS:
            space = nas.load_space(name).for_data(shape, 10)
            begun = time.process_time()
            fit = fit_to_limits(space, constraints_from(limits))
            seconds = time.process_time() - begun
            share, use = _left(fit.space, limits)
            yield Case(name, shape, limits, fit.multiplier, _left(space, limits)[0], share, use, seconds)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spaces", nargs="*", default=list(SPACES), metavar="SPACE")
    found = []
    print("| space | input | limits | widths times | share before | share | use | fits | s |")
    print("| --- | --- | --- | --: | --: | --: | --: | --- | --: |")
    for case in cases(tuple(parser.parse_args().spaces)):
        found.append(case)
        print(case.row(), flush=True)
    print(
        f"\n{sum(case.fits for case in found)} of {len(found)} fit; {median(one.seconds for one in found):.1f} s each"
    )


if __name__ == "__main__":
    main()
