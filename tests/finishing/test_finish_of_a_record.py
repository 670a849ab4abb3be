"""The whole of `nas finish` on the record of a search, with scores by a rule in place of training."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nas
from nas.commands.finish import finish_command
from nas.errors import ConfigError, DataError, HeldOutError, WorkerError
from nas.exporting.card import Score
from nas.finishing import session
from nas.finishing.report import Report
from nas.finishing.searched import read_searched
from nas.finishing.settings import FinishSettings
from nas.finishing.shipping import card_of
from nas.finishing.time_limit import in_words, needed_seconds, time_limit
from nas.held_out import without_test_split
from nas.json_output import json_document
from nas.search.config import Config
from nas.training.data.registry import MOVED
from nas.training.recipe import Recipe
from nas.training.recipe_files import read_recipe
from nas.training.tasks.classification import CLASSIFICATION
from tests.finishing import recorded
from tests.finishing.recorded import DATA, StubPool, finish, report_of, write_weights_name
from tests.logs import rewrite


def test_what_is_reported(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with json_document(True):
        assert finish(searched) == 0
    report, (out, printed) = report_of(searched), capsys.readouterr()
    home = searched / "finish"
    places = {"folder": str(home), "report": str(home / "report.md"), "model": str(home / "model")}
    assert json.loads(out) == {**report, **places}
    trials = [json.loads(line) for line in (searched / "trials.jsonl").read_text().splitlines()]
    best = sorted({trial["scores"]["val_accuracy"] for trial in trials if trial["state"] == "completed"})[-5:][::-1]
    assert [one["search_score"] for one in report["choosing"]["finalists"]] == best
    assert report["search"]["seconds"] == 60
    winner = report["final"]["winner"]
    expected = [0.8 + winner["params"] / 1e7 + (int(seed) % 100) / 1e4 for seed in winner["val"]["by_seed"]]
    assert [*winner["val"]["by_seed"].values()] == pytest.approx(expected)
    assert winner["val"]["mean"] - winner["test"]["mean"] == pytest.approx(0.01)
    assert winner["val"]["count"] == 8
    assert report["search_minus_final"] == pytest.approx(best[0] - winner["val"]["mean"])
    # Larger networks are better here, and published ones may be as large as the limit.
    baseline = report["baselines"]["published"]
    # It has the 60 s of the search, and those of choosing the winner: a second for each of 15 trainings.
    assert baseline["spent"] <= baseline["seconds"] == 75
    assert [rung["epochs"] for rung in baseline["rungs"]] == [1, 3, 9]
    assert report["sentence"] in printed
    text = (searched / "finish" / "report.md").read_text()
    assert report["sentence"] in text
    assert "The time, " not in text  # it was enough
    (chosen, score), *_ = baseline["rungs"][0]["trials"]
    assert f"trained, the best: {chosen}: {100 * score:.2f} %" in text
    for said in (text, printed):
        assert "1 epoch, " in said
        assert "3 epochs, " in said
        assert "1 epochs" not in said
    begun = [line for line in printed.splitlines() if line.endswith("...") and "Try it" not in line]
    assert begun == ["Reading the search ...", "Starting 1 worker, which read the data ...", "Writing the model ..."]
    # What ships has the weights of the first final seed of what is recommended.
    recommended = report["final"][report["recommended"]]
    assert (searched / "finish" / "model").read_text() == recommended["weights"][0]
    assert recommended["weights"][0].endswith(f"-{report['reporting_seeds'][0]}.safetensors")
    assert (report["model"], report["trouble"]) == ("model", "")
    assert {family for _, family, _ in report["candidates"]} >= {"CIFAR ResNet", "MobileNet", "VGG"}


@pytest.mark.parametrize(("better", "recommended"), [(0.05, "published"), (-0.05, "winner")])
def test_what_is_better_is_recommended(searched: Path, better: float, recommended: str) -> None:
    StubPool.better = better
    assert finish(searched) == 0
    report = report_of(searched)
    assert report["recommended"] == recommended
    assert report["comparisons"]["published"]["test"]["shown"]
    assert (report["comparisons"]["published"]["test"]["mean"] > 0) == (recommended == "winner")
    arch = nas.Architecture.from_json((searched / "finish" / "recommended.json").read_text())
    assert arch.arch_id == report["final"][recommended]["arch_id"]


def test_a_session_that_ends_at_any_time_changes_nothing(searched: Path, tmp_path: Path) -> None:
    assert finish(searched) == 0
    whole, tasks = (searched / "finish" / "report.json").read_text(), len(StubPool.tasks)
    for path in sorted((searched / "finish").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    StubPool.clock, StubPool.tasks = 0.0, []
    for after in (0, 1, 7, 20, 45, tasks - 30, tasks - 3):
        StubPool.dies_after = after
        assert finish_command({"run": str(searched), "workers": 1, "mlflow": False}) == 130
    StubPool.dies_after = 10**9
    assert finish_command({"run": str(searched), "workers": 1, "mlflow": False}) == 0
    assert (searched / "finish" / "report.json").read_text() == whole
    assert len(StubPool.tasks) == tasks  # nothing was done twice


def test_random_networks_beside_published_ones(searched: Path) -> None:
    assert finish(searched, baseline="random", top_k=2, final_seeds=2) == 0
    report = report_of(searched)
    assert set(report["final"]) == {"winner", "published", "random"}
    assert sum(kind == "random" for kind, _, _ in report["candidates"]) == 12  # all networks of the space
    assert set(report["comparisons"]) == {"published", "random"}


def test_limits_that_only_training_shows_are_said_to_be_untried(searched: Path) -> None:
    study = json.loads((searched / "study.json").read_text())
    study["constraints"]["int8_accuracy"] = [0.9, None]
    (searched / "study.json").write_text(json.dumps(study))
    assert finish(searched, top_k=2, final_seeds=2) == 0
    report = (searched / "finish" / "report.md").read_text()
    assert "hold params <= 30,000, macs <= 3e+06. Successive" in report
    assert "Nobody has tried whether they hold 0.9 <= int8_accuracy, which only training shows." in report


def test_without_a_baseline_it_says_that_nothing_is_known(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(searched, baseline="none", top_k=1, final_seeds=1) == 0
    report = report_of(searched)
    printed = capsys.readouterr().out
    assert "the only finalist" in printed
    assert "Choosing the winner" not in printed  # of one there is nothing to choose
    assert report["comparisons"] == {}
    assert "nothing tells whether it is better than a published network" in report["sentence"]
    assert (report["final"]["winner"]["val"]["low"], report["final"]["winner"]["val"]["std"]) == (None, None)


def test_more_minutes_go_on_where_the_time_was_up(searched: Path) -> None:
    assert finish(searched, minutes=0.3) == 0
    few = report_of(searched)["final"]["winner"]["val"]["count"]
    assert few < 8
    assert finish_command({"run": str(searched), "finish": {"minutes": 60.0}}, ["finish.minutes"]) == 0
    assert report_of(searched)["final"]["winner"]["val"]["count"] == 8


def test_what_may_not_change_is_refused(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(searched, final_seeds=2, baseline="none") == 0
    assert finish_command({"run": str(searched), "finish": {"final_seeds": 3}}, ["finish.final_seeds"]) == 2
    assert "finish.final_seeds was 2" in capsys.readouterr().err
    line = json.loads((searched / "trials.jsonl").read_text().splitlines()[-1])
    better = {**line, "number": 1000, "arch_id": "other", "scores": {"val_accuracy": 2.0}}
    with (searched / "trials.jsonl").open("a") as file:
        file.write(json.dumps(better) + "\n")
    assert finish_command({"run": str(searched)}) == 2
    assert "the search has gone on since" in capsys.readouterr().err


def test_the_time_follows_from_that_of_the_search(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(searched / "trials.jsonl", lambda number, values: {**values, "elapsed": 180.0})
    assert finish(searched, final_seeds=1, seeds=1) == 0
    assert report_of(searched)["limit_seconds"] == 720
    # 5 of 7 trainings choose, so that 8.57 of 12 min do; published networks have as much and the 3 min of the search.
    printed = capsys.readouterr().out
    assert (
        "It takes at most 23.6 min: 12 min to choose and report the winner (finish.minutes), and 11.6 min for"
        in printed
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (34, "34 s"), (59.4, "59 s"), (60, "1 min"), (215, "3.58 min"), (7200, "120 min")],
)
def test_a_time_limit_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("final_seeds", "workers", "reported", "seconds"),
    [
        # A training of 12 epochs takes 60 s; there is one for each of 5 finalists, and one a seed and network.
        (8, 1, 2, (5 + 3 * 2) * 60),
        (8, 1, 3, (5 + 3 * 3) * 60),
        (2, 1, 3, (5 + 2 * 3) * 60),
        (8, 2, 2, 600),
    ],
)
def test_a_few_seeds_are_expected_to_end_in_the_time(
    searched: Path, final_seeds: int, workers: int, reported: int, seconds: float
) -> None:
    history = [{"epoch": epoch} for epoch in range(10)]
    more = {"seconds": {"evaluation": 50.0}, "history": history}
    rewrite(searched / "trials.jsonl", lambda number, values: {**values, **more})
    settings, record = FinishSettings(final_seeds=final_seeds), read_searched(searched)
    needed = needed_seconds(settings, record, epochs=12, workers=workers, reported=reported)
    assert time_limit(settings, record, needed) == seconds
    assert time_limit(replace(settings, minutes=7.0), record, needed) == 420


def test_a_time_that_is_too_short_is_said_before_anything_begins(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = [{"epoch": epoch} for epoch in range(10)]
    more = {"seconds": {"evaluation": 50.0}, "history": history}
    rewrite(searched / "trials.jsonl", lambda number, values: {**values, **more})
    assert finish(searched, minutes=10.0, baseline="none", final_seeds=2) == 0
    # 5 finalists and 2 final seeds of 12 epochs, 5 s each.
    assert "need about 7 min, by what" not in capsys.readouterr().out
    assert finish_command({"run": str(searched), "mlflow": False, "finish": {"minutes": 6.5}}, ["finish.minutes"]) == 0
    assert "need about 7 min, by what the search's networks took (finish.minutes=7)" in capsys.readouterr().out


def test_a_finish_that_cannot_begin_keeps_its_settings(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finish(searched, minutes=3.0) == 0

    def fails(*args: object, **more: object) -> None:
        raise WorkerError("no worker starts")

    with monkeypatch.context() as patch:
        patch.setattr(session, "WorkerPool", fails)
        again = {"run": str(searched), "mlflow": False, "finish": {"minutes": 0.1}}
        assert finish_command(again, ["finish.minutes"]) == 2
    assert json.loads((searched / "finish" / "settings.json").read_text())["finish"]["minutes"] == 3.0


def test_short_time_is_said_with_what_it_was_enough_for(searched: Path) -> None:
    assert finish(searched, minutes=0.3) == 0
    report = report_of(searched)
    text = (searched / "finish" / "report.md").read_text()
    seeds = report["final"]["winner"]["val"]["count"]
    assert f"was enough for {seeds} of 8 final seeds of the winner" in text
    assert "finalists with up to 2 seeds to choose from" in text
    # The same command has no more time, and finds the same.
    tasks = len(StubPool.tasks)
    assert finish_command({"run": str(searched), "mlflow": False}) == 0
    assert (len(StubPool.tasks), report_of(searched)) == (tasks, report)


def test_no_second_look_is_said_where_there_was_no_first(searched: Path) -> None:
    assert finish(searched, minutes=1e-6, baseline="none") == 0
    assert report_of(searched)["final"]["winner"]["test"]["count"] == 0
    text = (searched / "finish" / "report.md").read_text()
    assert "more finish.minutes goes on." in text
    assert "second look" not in text


def test_a_winner_that_was_compared_with_nothing_ships_and_says_so(searched: Path) -> None:
    assert finish(searched, minutes=0.02) == 0
    report = report_of(searched)
    assert (report["recommended"], report["model"]) == (None, "model")
    assert "Recommended for now: the winner of the search" in report["sentence"]
    assert "compared with nothing: the time was up" in report["sentence"]
    assert (searched / "finish" / "model").read_text() == report["final"]["winner"]["weights"][0]
    arch = nas.Architecture.from_json((searched / "finish" / "recommended.json").read_text())
    assert arch.arch_id == report["final"]["winner"]["arch_id"]


def test_an_export_that_fails_costs_no_report(
    searched: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(report: Report, weights: Path) -> Path:
        raise ValueError("no such operation")

    with monkeypatch.context() as patch:
        patch.setattr(session, "ship", fails)
        assert finish(searched, final_seeds=2, baseline="none") == 2
    assert "could not be exported: ValueError: no such operation" in capsys.readouterr().err
    report = report_of(searched)
    assert report["final"]["winner"]["test"]["count"] == 2
    assert (report["model"], "no such operation" in report["trouble"]) == (None, True)
    assert finish_command({"run": str(searched), "mlflow": False}) == 0
    assert (report_of(searched)["model"], report_of(searched)["trouble"]) == ("model", "")


def test_from_python_it_is_the_same(searched: Path, tmp_path: Path) -> None:
    assert finish(searched, final_seeds=3, baseline="none") == 0
    by_command, tasks = report_of(searched), len(StubPool.tasks)
    for path in sorted((searched / "finish").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    StubPool.clock, StubPool.tasks = 0.0, []
    lines: list[str] = []
    report = nas.finish(searched, recipe=Recipe(), final_seeds=3, baseline="none", workers=1, say=lines.append)
    assert report.to_dict() == report_of(searched) == by_command
    assert len(StubPool.tasks) == tasks
    assert report.sentence() in "\n".join(lines)
    assert report.model == searched / "finish" / "model"
    # It goes on as it was begun, and refuses what it was not begun with.
    assert nas.finish(searched).to_dict() == by_command
    with pytest.raises(ConfigError, match=r"train.epochs was 12"):
        nas.finish(searched, recipe="standard")


@pytest.mark.parametrize("name", ["short", "standard"])
def test_a_recipe_is_given_by_its_name(searched: Path, name: str) -> None:
    report = nas.finish(searched, recipe=name, final_seeds=1, seeds=1, baseline="none", workers=1)
    assert report.to_dict()["recipe"] == asdict(read_recipe(name))


def test_a_process_that_searches_may_not_finish_a_search(searched: Path) -> None:
    with without_test_split(), pytest.raises(HeldOutError, match="this process searches"):
        nas.finish(searched)
    assert not (searched / "finish").exists()


def test_networks_are_measured_where_latency_is_limited(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the baseline's time at most goes into that, and is no time for training."""
    clock, measured = [0.0], list[str]()

    def measure(architecture: nas.Architecture) -> float:
        clock[0] += 7.0
        measured.append(architecture.arch_id)
        return 1.0 if len(measured) % 2 else 5.0

    monkeypatch.setattr(session._Session, "_meter", lambda self: measure)
    monkeypatch.setattr("nas.finishing.rivals.monotonic", lambda: clock[0])
    study = json.loads((searched / "study.json").read_text())
    study["constraints"]["latency_ms"] = [None, 2.0]
    study["deployment"] = {"runtime": "torch", "batch": 1, "threads": 1}
    (searched / "study.json").write_text(json.dumps(study))
    assert finish(searched, top_k=2, final_seeds=2) == 0
    report = report_of(searched)
    # 30 of 60 s, 7 s each: five are measured, of which every other one is fast enough.
    assert len(measured) == 5
    saved = json.loads((searched / "finish" / "candidates.json").read_text())
    assert [one["latency_ms"] for one in saved["candidates"]] == [1.0, 1.0, 1.0]
    assert report["measuring_seconds"] == {"published": 35.0}
    chosen = sum(len(one["scores"]) for one in report["choosing"]["finalists"])  # a second each
    assert report["baselines"]["published"]["seconds"] == 60 - 35 + chosen
    assert report["baselines"]["published"]["candidates"] == 9  # with three learning rates


def test_data_that_are_others_now_are_refused(
    searched: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(DATA, "split_fingerprint", "g")
    assert finish(searched) == 2
    assert "their fingerprint was f, is g. Where the data were moved, root=FOLDER says where" in capsys.readouterr().err

    def gone(pool: StubPool) -> None:
        raise DataError(f"data idx: no folder x. {MOVED}")

    monkeypatch.setattr(StubPool, "describe", gone)
    assert finish(searched) == 2
    assert capsys.readouterr().err == (
        "nas.finish: data idx: no folder x. Where the data were moved, root=FOLDER says where they are now\n"
    )


def test_a_search_that_does_not_train_has_no_finish() -> None:
    values = {"space": "mbconv", "finish": True, "evaluator": {"name": "proxy"}, "search": {"objective": "naswot"}}
    assert not Config.from_values({**values, "finish": False}).finish
    with pytest.raises(ConfigError, match="finish=true trains the best networks anew, which evaluator=proxy does not"):
        Config.from_values(values)


def test_a_damaged_log_is_named_with_what_to_do(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(searched, baseline="none", final_seeds=2) == 0
    log = searched / "finish" / "trials.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], lines[1].replace('"seed":', '"seeds":'), *lines[2:]]) + "\n")
    assert finish_command({"run": str(searched)}) == 2
    assert "trials.jsonl:2: not a trial of a finish" in capsys.readouterr().err


@pytest.mark.parametrize("equal", [True, False])
def test_the_card_has_an_interval_where_the_final_seeds_differ(
    searched: Path, monkeypatch: pytest.MonkeyPatch, equal: bool
) -> None:
    """Two that score the same have none, and ship all the same."""
    data: Any = SimpleNamespace(val=SimpleNamespace(labels=range(287)), record=dict, task=CLASSIFICATION)
    scores: list[Score] = []

    def ship(report: Report, weights: Path) -> Path:
        scores.extend(card_of(report, data, len(data.val.labels)).scores)
        return write_weights_name(report, weights)

    monkeypatch.setattr(session, "ship", ship)
    if equal:
        monkeypatch.setattr(recorded, "_true_score", lambda architecture, seed: 0.9)
    assert finish(searched, top_k=1, seeds=1, final_seeds=2, baseline="none") == 0
    means = [score for score in scores if score.how.startswith("mean of 2 fresh seeds")]
    assert [score.split for score in means] == ["test", "validation"]
    assert [score.low is None for score in means] == [score.high is None for score in means] == [equal] * 2
    assert [score.how.endswith("; 95 % interval over seeds") for score in means] == [not equal] * 2
    if equal:
        assert [score.value for score in means] == pytest.approx([0.89, 0.9])
