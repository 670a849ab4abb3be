"""`python -m benchmarks.mutation`: changes the core in small ways, one at a time, and counts what its tests catch.

A seeded sample of places, stratified by package, is changed by an operator of Cosmic Ray (another comparison, another
number, a loop that never runs, ...). Each mutant is run against the quick tests that run its line, by coverage: those
of its own package first, then the quickest, as many as `--budget` seconds allow. What makes a test
fail, or runs too long, is caught. Mutants that `equivalent.toml` names do what the code did, and are left out.
"""

from __future__ import annotations

import argparse
import io
import json
import queue
import subprocess
import tarfile
import tomllib
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scipy.stats import binomtest

from benchmarks.mutation.covering import Covering, measure, read
from benchmarks.mutation.places import PACKAGES, Mutant, mutants, sample
from benchmarks.mutation.run import Result, run_mutant

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def main() -> None:
    """Run the sample, or what is left of it, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="copies of the tree that are tested at a time")
    parser.add_argument("--budget", type=float, default=60, help="seconds of tests a mutant")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "runs" / "mutation", help="keeps results; the same command goes on"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    copies = [_copy(options.folder / f"copy-{number}") for number in range(options.workers)]
    if not (options.folder / "coverage").exists():
        measure(copies[0], options.folder, options.workers)
    covering = read(copies[0], options.folder)
    every = {package: mutants(copies[0], package) for package in PACKAGES}
    chosen = sample(every, options.mutants, options.seed)
    log = options.folder / f"results-{options.seed}.jsonl"
    _run_all(chosen, log, copies, covering, options.budget)
    print(report(every, _results(log, chosen), _equivalent()))


def _copy(folder: Path) -> Path:
    """Return a copy of what is committed, where files can be changed."""
    if not folder.exists():
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
    return folder


def _run_all(chosen: Sequence[Mutant], log: Path, copies: Sequence[Path], covering: Covering, budget: float) -> None:
    done = {result.name for result in _results(log, chosen)}
    free: queue.Queue[Path] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def work(mutant: Mutant) -> Result:
        copy = free.get()
        try:
            return run_mutant(mutant, copy, covering.tests(mutant, budget), 60 + 5 * budget)
        finally:
            free.put(copy)

    left = [mutant for mutant in chosen if mutant.name not in done]
    with ThreadPoolExecutor(len(copies)) as pool, log.open("a") as file:
        for number, result in enumerate(pool.map(work, left), start=len(done) + 1):
            file.write(json.dumps(result.to_dict()) + "\n")
            file.flush()
            print(
                f"{number:4d} {'caught' if result.caught else 'SURVIVED':8s} {result.seconds:5.1f} s {result.name}",
                flush=True,
            )


def _results(log: Path, chosen: Iterable[Mutant]) -> list[Result]:
    names = {mutant.name for mutant in chosen}
    lines = log.read_text().splitlines() if log.exists() else []
    return [result for result in (Result(**json.loads(line)) for line in lines) if result.name in names]


def _equivalent() -> set[str]:
    """Return the changes that are known to change nothing."""
    listed = tomllib.loads(EQUIVALENT.read_text())["mutant"] if EQUIVALENT.exists() else []
    return {f"{entry['file']}\n{entry['change']}".strip() for entry in listed}


def report(every: dict[str, list[Mutant]], results: Sequence[Result], equivalent: Collection[str]) -> str:
    """Return a table in Markdown: what was caught by package, with exact (Clopper-Pearson) 95 % intervals."""
    lines = ["| package | places | sampled | equivalent | caught | share |", "| --- | --: | --: | --: | --: | --- |"]
    counted = [result for result in results if result.change not in equivalent]
    for package in (*PACKAGES, "all"):
        of = [result for result in results if package in (result.package, "all")]
        kept = [result for result in counted if package in (result.package, "all")]
        places = {
            (mutant.file, mutant.line, mutant.column)
            for name in every
            if package in (name, "all")
            for mutant in every[name]
        }
        caught = sum(result.caught for result in kept)
        share = "-"
        if kept:
            interval = binomtest(caught, len(kept)).proportion_ci(0.95)
            share = f"{caught / len(kept):.1%} ({interval.low:.1%} to {interval.high:.1%})"
        lines.append(f"| {package} | {len(places):,} | {len(of)} | {len(of) - len(kept)} | {caught} | {share} |")
    lines += ["", "Survivors:", ""]
    lines += [f"{result.name}\n{result.change}\n" for result in counted if not result.caught]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
