"""Do limits hold? Ten searches with tight limits in three spaces, then twenty of their networks measured anew.

python -m benchmarks.limits_hold --records /tmp/limits
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import nas
from nas.cost import check, constraints_from, cost_of, value_of
from nas.cost.metrics import Workload
from nas.errors import NasError
from nas.latency.deployment import deployment
from nas.latency.measure import Meter

DATA = ("data=synthetic", "data.resolution=32", "data.samples=600")
SEARCHES: list[tuple[str, dict[str, float]]] = [
    # Limits as the share of random networks that each leaves.
    ("mbconv", {"params": 0.02}),
    ("mbconv", {"macs": 0.02}),
    ("mbconv", {"latency_ms": 0.05}),
    ("mbconv", {"params": 0.2, "macs": 0.1, "latency_ms": 0.1}),
    ("resnet", {"peak_memory_mib": 0.05}),
    ("resnet", {"latency_ms": 0.05}),
    ("resnet", {"params": 0.1, "inference_memory_mib": 0.1, "latency_ms": 0.2}),
    ("mobilenet_v3", {"latency_ms": 0.05}),
    ("mobilenet_v3", {"size_int8_mib": 0.05, "training_memory_mib": 0.3}),
    ("mobilenet_v3", {"macs": 0.1, "latency_ms": 0.1}),
]


def bounds(name: str, shares: dict[str, float], meter: Meter) -> dict[str, float]:
    """Turn shares into limits: of counted metrics by 400 random networks, of latency by 40 measured ones."""
    space, rng = nas.load_space(name).for_data((3, 32, 32), 10), random.Random(1)
    drawn: list[tuple[nas.Architecture, nas.Cost]] = []
    while len(drawn) < 400:
        arch = space.decode(space.sample(rng))
        try:
            drawn.append((arch, cost_of(arch)))
        except NasError:
            continue
    found = {}
    for metric, share in shares.items():
        if metric == "latency_ms":
            values = [one.ms for one in meter.measure_all([arch for arch, _ in drawn[:40]])]
        else:
            values = [value_of(cost, metric, Workload()) for _, cost in drawn]
        found[metric] = float(f"{np.quantile(values, share):.3g}")
    return found


def search(number: int, name: str, limits: dict[str, float], options: argparse.Namespace) -> dict[str, Any]:
    """Run one search and check its record."""
    given = [f"constraints.{metric}={bound}" for metric, bound in limits.items()]
    command = [sys.executable, "-m", "nas.search", f"+space={name}", *DATA, *given, "train.epochs=1"]
    command += [f"search.trials={options.trials}", f"name=search-{number}", f"records.dir={options.records}"]
    code = subprocess.run(command, check=False, capture_output=True, text=True).returncode
    folder = Path(options.records) / f"search-{number}"
    space = nas.load_space(name).for_data((3, 32, 32), 10)
    trials = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    trained = [trial for trial in trials if trial["state"] in ("completed", "failed") or trial["out_of_memory"]]
    over = 0
    for trial in trained:
        counted = check(cost_of(space.decode(trial["genotype"])), constraints_from(limits), Workload())
        late = "latency_ms" in limits and not trial["latency"]["ms"] <= limits["latency_ms"]
        over += late or any(one.rejects for one in counted)
    states = [trial["state"] for trial in trials]
    rejected = [trial for trial in trials if trial["state"] == "rejected"]
    reasons: dict[str, int] = {}
    for trial in rejected:
        names = [v["metric"] for v in trial["violations"] if v["excess"] > 0] or ["no valid network"]
        for one in names:
            reasons[one] = reasons.get(one, 0) + 1
    whole = sorted(trial["number"] for trial in trials) == list(range(len(trials)))
    assert sum(map(states.count, set(states))) == len(trials)
    measured = [trial for trial in trials if trial["latency"]]
    return {
        "space": name, "limits": limits, "code": code, "trials": trials, "trained": len(trained), "over": over,
        "rejected": len(rejected), "reasons": reasons, "whole": whole, "measured": len(measured),
        "guided": sum(bool(trial["guided"]) for trial in trials),
        "duplicates": states.count("duplicate"), "failed": states.count("failed"),
    }  # fmt: skip


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", required=True, help="takes the run folders; devices/ in it may hold a profile")
    parser.add_argument("--trials", type=int, default=6)
    options = parser.parse_args()
    meter = Meter(deployment())
    print(f"{meter.device.hardware}, {meter.device.cores} cores, {meter.deployment}\n")
    print(
        "| space | limits | exit | proposals | trained | over a limit | rejected by | measured | guided | duplicates |"
    )
    print("| --- | --- | --: | --: | --: | --: | --- | --: | --: | --: |")
    done = []
    for number, (name, shares) in enumerate(SEARCHES):
        found = search(number, name, bounds(name, shares, meter), options)
        done.append(found)
        assert found["whole"], "every proposal has its line, and none has two"
        assert found["trained"] + found["rejected"] + found["duplicates"] == len(found["trials"])
        reasons = ", ".join(f"{metric} {count}" for metric, count in found["reasons"].items())
        limits = ", ".join(f"{metric} <= {bound:,g}" for metric, bound in found["limits"].items())
        columns = ("code", "trials", "trained", "over", "reasons", "measured", "guided", "duplicates")
        cells = {**found, "trials": len(found["trials"]), "reasons": reasons}
        print(f"| {name} | {limits} | {' | '.join(str(cells[column]) for column in columns)} |", flush=True)
    again(done, options)


def again(done: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Measure accepted networks in a new process each, and compare with their limit."""
    accepted = [
        (one, trial)
        for one in done
        if "latency_ms" in one["limits"]
        for trial in one["trials"]
        if trial["state"] == "completed"
    ]
    print(
        "\n| space | limit ms | recorded ms | measured anew ms | share of the limit |\n| --- | --: | --: | --: | --: |"
    )
    within = 0
    chosen = random.Random(0).sample(accepted, min(20, len(accepted)))
    for one, trial in chosen:
        space = nas.load_space(one["space"]).for_data((3, 32, 32), 10)
        path = Path(options.records) / "again.json"
        path.write_text(space.decode(trial["genotype"]).to_json())
        command = [sys.executable, "-m", "nas.profile", str(path), "--latency", "--json"]
        ms = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["latency"]["ms"]
        limit = one["limits"]["latency_ms"]
        within += ms <= 1.05 * limit
        print(
            f"| {one['space']} | {limit:g} | {trial['latency']['ms']:.4f} | {ms:.4f} | {ms / limit:.1%} |", flush=True
        )
    print(f"\n{within} of {len(chosen)} within the limit + 5 %")


if __name__ == "__main__":
    main()
