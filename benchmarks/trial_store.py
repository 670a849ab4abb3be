"""What it costs to keep a trial of 20 parameters.

    python benchmarks/trial_store.py --trials 100

Optuna's storages (ask, 20 suggestions, tell) beside the way of this project: the study in memory, and each trial a
synced line in the run folder. A random sampler proposes, so that the sampler costs next to nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import optuna
from optuna.distributions import IntDistribution
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from nas.cost import Cost
from nas.search.log import RunFolder
from nas.search.trial import State, Trial

NAMES = [f"stages.{i}.decision" for i in range(20)]


def _propose(study: optuna.Study) -> optuna.Trial:
    trial = study.ask()
    for name in NAMES:
        trial.suggest_int(name, 0, 9)
    return trial


def _study(storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(storage=storage, sampler=RandomSampler(seed=0))


def optuna_alone(storage: BaseStorage, trials: int) -> list[float]:
    """Milliseconds for each trial with an Optuna storage."""
    study, found = _study(storage), []
    for _ in range(trials):
        started = time.perf_counter()
        study.tell(_propose(study), 1.0)
        found.append(1e3 * (time.perf_counter() - started))
    return found


def with_log(folder: Path, trials: int) -> list[float]:
    """Milliseconds for each trial with the study in memory and a synced line in the run folder."""
    study, log, found = _study(InMemoryStorage()), RunFolder(folder), []
    history = tuple({"epoch": float(i), "val_accuracy": 0.9, "val_loss": 0.3} for i in range(10))
    for number in range(trials):
        started = time.perf_counter()
        handle = _propose(study)
        trial = Trial(
            number=number,
            state=State.COMPLETED,
            genotype=handle.params,
            arch_id="0" * 16,
            cost=Cost(1, 2, 3, 4),
            scores={"val_accuracy": 0.9},
            history=history,
        )
        log.append(trial, durable=True)
        study.tell(handle, 1.0)
        found.append(1e3 * (time.perf_counter() - started))
    log.close()
    return found


def rebuild(folder: Path) -> float:
    """Seconds to read the log back into a study."""
    started = time.perf_counter()
    study = _study(InMemoryStorage())
    distributions = {name: IntDistribution(0, 9) for name in NAMES}
    log = RunFolder(folder, resume=True)
    for trial in log.read_trials():
        study.add_trial(
            optuna.trial.create_trial(params=dict(trial.genotype), distributions=dict(distributions), value=1.0)
        )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    trials = parser.parse_args().trials
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        rows = {
            "Optuna in memory (nothing kept)": optuna_alone(InMemoryStorage(), trials),
            "Optuna journal file": optuna_alone(JournalStorage(JournalFileBackend(str(root / "journal"))), trials),
            "Optuna sqlite": optuna_alone(RDBStorage(f"sqlite:///{root}/optuna.db"), trials),
            "in memory + synced line in the run folder": with_log(root / "run", trials),
        }
        with_log(root / "long", 1000)
        (root / "long" / "study.json").write_text("{}")
        seconds = rebuild(root / "long")
    memory = statistics.median(rows["Optuna in memory (nothing kept)"])
    print("| store | ms a trial (median) | worst | times in-memory |\n| --- | --: | --: | --: |")
    for store, found in rows.items():
        print(
            f"| {store} | {statistics.median(found):.2f} | {max(found):.1f} | {statistics.median(found) / memory:.1f} |"
        )
    print(f"\nReading 1,000 trials back into a study: {seconds:.2f} s")


if __name__ == "__main__":
    main()
