"""How often the interval of a forecast holds, and how far forecasts are off, on laws that are known.

python -m benchmarks.scaling_law [--laws 500] [--noise 0.02] [--exponent 0.5] [--irreducible 0.3] [--beyond 4]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from nas.scale.forms import ASYMPTOTE
from nas.scale.law import Observation, fit_law


def main() -> None:
    """Print coverage and error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", type=int, default=500)
    parser.add_argument("--noise", type=float, default=0.02)
    parser.add_argument("--exponent", type=float, default=0.5)
    parser.add_argument("--irreducible", type=float, default=0.3)
    parser.add_argument("--scale", type=float, default=1.0, help="A, the reducible loss at the smallest size")
    parser.add_argument("--span", type=float, default=32.0)
    parser.add_argument("--sizes", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--beyond", type=float, default=4.0)
    parser.add_argument("--draws", type=int, default=400)
    options = parser.parse_args()
    sizes = np.geomspace(1, options.span, options.sizes)
    target = options.span * options.beyond
    truth = options.irreducible + options.scale * target**-options.exponent
    rng = np.random.default_rng(0)
    held, runs_held, off, widths = [], [], [], []
    started = time.perf_counter()
    for number in range(options.laws):
        observations = [
            Observation(
                (size,),
                float(
                    (options.irreducible + options.scale * size**-options.exponent)
                    * np.exp(options.noise * rng.normal())
                ),
                f"{size}-{seed}",
            )
            for size in sizes
            for seed in range(options.seeds)
        ]
        law = fit_law(observations, ASYMPTOTE, draws=options.draws, seed=number)
        found = law.forecast(target)
        held.append(found.low <= truth <= found.high)
        mean = truth * np.exp(options.noise * rng.normal(size=options.seeds)).mean()
        run = law.forecast(target, seeds=options.seeds)
        runs_held.append(run.low <= mean <= run.high)
        off.append(abs(found.loss / truth - 1))
        widths.append(found.width)
    seconds = time.perf_counter() - started
    print(
        f"{options.laws} laws: 90 % interval holds the law in {np.mean(held):.1%}, the mean of {options.seeds} runs in "
        f"{np.mean(runs_held):.1%}; median error {np.median(off):.2%}; median width {np.median(widths):.1%}; "
        f"{1e3 * seconds / options.laws:.0f} ms a law"
    )


if __name__ == "__main__":
    main()
