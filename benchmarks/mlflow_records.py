"""What it costs to write a study to MLflow.

    python benchmarks/mlflow_records.py --trials 3000 --epochs 10

Networks of mbconv for 1x8x8 with made-up scores and curves, the same for a seed; written first trial by trial, with the
calls of MLflow's client that make one run, then as the search writes them. Milliseconds of time and of computing.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import nas
from nas.evaluation import Evaluation
from nas.records.store import experiment_id, log_values, open_client
from nas.records.tracker import MlflowTracker
from nas.records.trials import record_of
from nas.search.study import Study


def made_up(trials: int, epochs: int, seed: int, run_dir: Path | None = None) -> Study:
    """A study whose networks are real and whose training is not; in a run folder, where one is given."""
    rng = random.Random(seed)

    def evaluate(*_: object) -> Evaluation:
        rows = tuple(
            {"epoch": float(epoch), **{name: rng.random() for name in ("val_accuracy", "val_loss", "train_loss", "lr")}}
            for epoch in range(1, epochs + 1)
        )
        return Evaluation({"val_accuracy": rng.random(), "val_loss": rng.random()}, rows, {"train_steps": rng.random()})

    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    return nas.run_search(space, evaluate, trials=trials, sampler="random", seed=seed, run_dir=run_dir)


def alone(study: Study, root: Path) -> tuple[float, float]:
    """Seconds to write each trial with calls of its own: time, and computing."""
    client = open_client(root / "mlflow.db")
    experiment = experiment_id(client, "alone", (root / "artifacts").as_uri())
    parent = client.create_run(experiment).info.run_id
    started, computed = time.perf_counter(), time.process_time()
    for trial in study.trials:
        record = record_of(study, trial)
        tags = {"mlflow.parentRunId": parent, **record.tags}
        run = client.create_run(experiment, start_time=record.started, tags=tags, run_name=record.name)
        log_values(client, run.info.run_id, record.values)
        client.set_terminated(run.info.run_id, status=record.status, end_time=record.ended)
    return time.perf_counter() - started, time.process_time() - computed


def together(study: Study, root: Path) -> tuple[float, float, int]:
    """Seconds to write a study as the search does, and the bytes of the database."""
    tracker = MlflowTracker(root)
    tracker.wait_until_loaded()
    started, computed = time.perf_counter(), time.process_time()
    tracker.begin(study)
    tracker.end(study)
    assert not tracker.trouble, tracker.trouble
    took = time.perf_counter() - started, time.process_time() - computed
    return *took, (root / "mlflow.db").stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--alone", type=int, default=200, help="trials that are written one by one")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    study = made_up(options.trials, options.epochs, options.seed)
    few = made_up(min(options.alone, options.trials), options.epochs, options.seed)
    print("| way | trials | ms a trial | of computing | KiB a trial |\n| --- | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        took, computed = alone(few, Path(one))
        count = len(few.trials)
        print(f"| trial by trial | {count} | {1e3 * took / count:.1f} | {1e3 * computed / count:.1f} | |", flush=True)
        took, computed, size = together(study, Path(other))
        count = len(study.trials)
        each = f"{1e3 * took / count:.1f} | {1e3 * computed / count:.1f} | {size / 1024 / count:.1f}"
        print(f"| together | {count} | {each} |")


if __name__ == "__main__":
    main()
