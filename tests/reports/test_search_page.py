"""The page of a search: what stands in it, read back, against the trials."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.cost import Violation
from nas.errors import ConfigError
from nas.reports.search_page import search_page
from nas.reports.search_record import read_record
from nas.reports.write import report_or_say, write_report, write_search_report
from nas.search.budgets.pruning import Pruning
from nas.search.study import Study
from nas.search.trial import State, Trial
from tests.logs import rewrite
from tests.reports.pages import Element, places, read_page, rows
from tests.reports.studies import NASTY, NASTY_NAME, score_of_kernels, searched
from tests.reports.studies import trial as made

FIXTURES = Path(__file__).resolve().parents[1] / "same_results" / "before"


def _page(folder: Path, study: Study | None = None) -> Element:
    return read_page(search_page(read_record(folder, study)))


def _table(page: Element) -> list[dict[str, str]]:
    return rows(page.all("table", id_="trials")[0])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    searched(folder, constraints={"params": 15_000, "macs": [1e3, 1e7]}, baseline_fraction=0.3)
    return folder


def test_the_table_has_every_trial_with_its_values(run: Path) -> None:
    study, table = nas.load_study(run), _table(_page(run))
    assert len(table) == len(study.trials)
    by_number = {int(row["trial"]): row for row in table}
    for trial in study.trials:
        row = by_number[trial.number]
        assert trial.cost is not None
        assert int(row["params"].replace(",", "")) == trial.cost.params
        assert int(row["macs"].replace(",", "")) == trial.cost.macs
        assert row["val_accuracy"] == (f"{trial.scores['val_accuracy']:.4f}" if trial.scores else "")
        assert row["decisions"] == " ".join(f"{name}={value}" for name, value in trial.genotype.items())
        assert row["reason"] == trial.reason
    done = [float(row["val_accuracy"]) for row in table if row["state"] == "completed"]
    assert done == sorted(done, reverse=True)
    assert table[0]["state"] == "completed"


def test_marks_are_where_their_values_are(run: Path) -> None:
    study, page = nas.load_study(run), _page(run)
    charts = [figure.all("svg", role="img")[0] for figure in page.all("figure")[:3]]
    done = {trial.number: trial for trial in study.trials if trial.state is State.COMPLETED}
    for chart, metric in zip(charts[:2], ("params", "macs"), strict=True):
        found = places(chart)
        assert found.keys() == done.keys()
        x, y = np.array([found[number] for number in done]).T
        costs = np.array([getattr(one.cost, metric) for one in done.values()], float)
        scores = np.array([one.scores["val_accuracy"] for one in done.values()])
        _assert_affine(scores, y, sign=-1)
        _assert_affine(costs if _fits(costs, x) else np.log(costs), x, sign=1)
    order = sorted(done, key=lambda number: done[number].finished)
    x = np.array([places(charts[2])[number][0] for number in order])
    _assert_affine(np.arange(len(order), dtype=float), x, sign=1)


def _fits(values: np.ndarray, at: np.ndarray) -> bool:
    return float(np.abs(np.polyval(np.polyfit(values, at, 1), values) - at).max()) < 0.2


def _assert_affine(values: np.ndarray, at: np.ndarray, sign: int) -> None:
    assert _fits(values, at)
    assert np.sign(np.polyfit(values, at, 1)[0]) == sign


def test_rejections_and_the_best_are_told(run: Path) -> None:
    study, page = nas.load_study(run), _page(run)
    best, text = study.best(1)[0], page.text
    assert f"The best is trial {best.number} with val_accuracy {best.scores['val_accuracy']:.4f}" in text
    assert page.all("h1")[0].text == f"run: best val_accuracy {best.scores['val_accuracy']:.4f}"
    table = next(one for one in map(rows, page.all("table")) if "nearest miss" in one[0])
    counted = {row["limit"]: int(row["rejected"]) for row in table}
    assert counted == study.rejections()
    over = [one for one in study.trials for v in one.violations if v.metric == "params" and v.rejects]
    nearest = min(over, key=lambda one: one.cost.params if one.cost else 0)
    row = next(row for row in table if row["limit"] == "params")
    assert nearest.cost is not None
    assert int(row["nearest miss"].replace(",", "")) == nearest.cost.params
    ticks = [m for m in page.all("figure")[0].all("path", class_="reject") if m.attributes.get("data-trial")]
    assert 0 < len(ticks) <= study.counts()["rejected"]
    assert len(page.all("figure")[0].all("rect", class_="forbidden")) == 1


def test_nothing_is_loaded_and_only_our_script_runs(run: Path) -> None:
    text = search_page(read_record(run))
    page = read_page(text)
    policy = page.all("meta", content="default-src")[0].attributes["content"] or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = page.all("script")
    assert len(scripts) == 1
    assert len(scripts[0].text) < 15_000
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(one.startswith(("#", "data:")) for one in addresses)
    assert set(re.findall(r"https?://[^\"' <]*", text)) == {"http://www.w3.org/2000/svg"}  # the name of SVG


@pytest.mark.parametrize("name", ["search", "asha", "trained"])
def test_earlier_records_have_a_page(name: str, tmp_path: Path) -> None:
    for file in ("study.json", "trials.jsonl"):
        (tmp_path / file).write_bytes((FIXTURES / name / file).read_bytes())
    page, study = _page(tmp_path), nas.load_study(tmp_path)
    assert len(_table(page)) == len(study.trials)
    assert (len(page.all("h2", id_="rungs")) == 1) == (study.rungs > 1)


def test_a_search_in_which_nothing_held_the_limits(tmp_path: Path) -> None:
    run = tmp_path / "run"
    searched(run, trials=3, constraints={"params": 1}, max_rejections=20)
    page = _page(run)
    assert "so there is no best network" in page.text
    assert "nothing can be said of what matters" in page.text
    assert {row["state"] for row in _table(page)} == {"rejected"}


def test_a_single_trial(tmp_path: Path) -> None:
    study = searched(tmp_path / "run", trials=1)
    page = _page(tmp_path / "run", study)
    assert "Too few networks to tell" in page.text
    assert len(_table(page)) == 1
    assert page.all("h2", id_="winner")


def test_failed_and_infinite_scores(tmp_path: Path) -> None:
    def moody(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        if seed % 3 == 0:
            raise RuntimeError(NASTY)
        return float("nan") if seed % 3 == 1 else 0.5

    study = searched(tmp_path / "run", moody, trials=12)
    table = _table(_page(tmp_path / "run", study))
    assert {row["state"] for row in table} >= {"failed", "completed"}
    assert any("window.hacked=1" in row["reason"] for row in table)


def test_text_of_others_is_text(tmp_path: Path) -> None:
    run = tmp_path / "run<b>'&"
    searched(tmp_path / "run", constraints={"params": 15_000}, notes={"data": {"name": NASTY}})
    (tmp_path / "run").rename(run)
    saved = json.loads((run / "study.json").read_text())
    saved["space"]["name"], saved["sampler"] = NASTY_NAME, NASTY
    saved["notes"]["config"] = {"workers": NASTY, "data": {"name": NASTY}, "evaluator": {"name": NASTY}}
    saved["notes"]["versions"] = {NASTY: NASTY}
    (run / "study.json").write_text(json.dumps(saved))

    def change(number: int, values: dict[str, object]) -> dict[str, object]:
        return {**values, "reason": NASTY, "design": NASTY}

    rewrite(run / "trials.jsonl", change)
    files = write_report([run])
    page = read_page(files[0].read_text())
    assert [one.name for one in page.all("script")] == ["script"]
    assert [one.attributes["src"] for one in page.all("img")] == []
    assert NASTY_NAME in page.text
    shown = NASTY.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    assert all(row["reason"] == shown for row in _table(page))
    assert page.all("h1")[0].text.startswith("run<b>'&")
    assert shown in page.text.split("Which decisions matter")[0]


def test_several_objectives_have_front_knee_and_hypervolume(tmp_path: Path) -> None:
    study = searched(tmp_path / "run", objective=["val_accuracy", "macs"], trials=25)
    page = _page(tmp_path / "run", study)
    assert f"The front has {len(study.front())} networks" in page.text
    worst_to_best = np.ptp(np.array([study.values(one) for one in study.scored]), axis=0)
    share = study.hypervolume()[-1] / worst_to_best.prod()
    assert f"as good in all objectives as {100 * share:.0f} %" in page.text
    assert "How much the front covers" in page.text


def test_rungs_have_their_correlation(tmp_path: Path) -> None:
    study = searched(tmp_path / "run", pruner=Pruning(name="asha"), budget=nas.Budget(epochs=9), trials=20)
    page = _page(tmp_path / "run", study)
    assert "Rung 1 against rung 2" in page.text
    assert "Kendall's tau over all 20 trials of rung 1" in page.text


def test_a_finish_that_is_there_is_named_in_place_of_the_command_for_one(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    assert "trained anew:" not in write_search_report(folder)[0].read_text()
    (folder / "finish").mkdir()
    (folder / "finish" / "report.md").write_text("# Finish of run\n")
    text = write_search_report(folder)[0].read_text()
    assert "What its best networks are worth, trained anew:" in text
    assert f"nas report {folder}/finish" in text
    assert "nas finish" not in text[text.index("trained anew:") :]


def test_an_error_of_the_report_is_said_in_one_line(tmp_path: Path) -> None:
    said: list[str] = []

    def broken() -> list[Path]:
        raise RuntimeError("one\ntwo")

    report_or_say(broken, said.append)
    assert said == ["The report could not be written, which changes nothing of the rest: RuntimeError: one two"]
    searched(tmp_path / "run", score_of_kernels, trials=2)
    report_or_say(lambda: write_search_report(tmp_path / "run"), said.append)
    assert said[1].endswith("report.html")


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    searched(tmp_path / "run", trials=2)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "run" / "report.html").symlink_to(victim)
    with pytest.raises(ConfigError, match="is a link"):
        write_report([tmp_path / "run"])
    assert victim.read_text() == "mine"


def test_the_pictures_are_png(run: Path) -> None:
    files = write_report([run])
    assert [file.name for file in files] == ["report.html", "report_costs.png", "report_progress.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files[1:])
    elsewhere = write_report([run], run.parent / "mine.html")
    assert [file.name for file in elsewhere] == ["mine.html", "mine_costs.png", "mine_progress.png"]


_INT8 = Violation("int8_latency_ms", math.inf, 0.0, 1.0)
"""Of a network that cannot be had in 8 bits."""
_ODD = {
    "no latency in 8 bits": [made(0, 0.5), made(1, 0.4, state=State.OVER_LIMIT, violations=(_INT8,))],
    "losses without end": [made(0, 1e308), made(1, -1e308), made(2, 0.5)],
    "hardly anything": [made(0, 1e-320), made(1, 2e-320), made(2, 0.0)],
    "costs without end": [made(0, 0.5, macs=2**62), made(1, 0.6, macs=0, params=0)],
}


@pytest.mark.parametrize("trials", _ODD.values(), ids=_ODD)
def test_odd_numbers_cost_no_report(trials: list[Trial], tmp_path: Path) -> None:
    run = tmp_path / "run"
    searched(run, trials=1)
    study = replace(nas.load_study(run), trials=trials)
    page = read_page(search_page(read_record(run, study)))
    assert len(_table(page)) == len(trials)
    for mark in page.all("path"):
        assert not re.search(r"nan|inf", mark.attributes.get("transform") or mark.attributes["d"] or "")
    assert len(write_search_report(run, study)) == 3


def test_settings_of_another_form_cost_no_report(tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = {"space": NASTY, "pruner": NASTY, "data": 3, "search": {"trials": "x"}}
    study = searched(run, trials=1, notes={"config": config})
    text = _page(run, study).text
    assert "its settings cannot be read any more: the settings in " in text


def test_a_score_that_is_no_number_is_told(tmp_path: Path) -> None:
    run = tmp_path / "run"
    searched(run, trials=3)
    rewrite(run / "trials.jsonl", lambda _, values: values | {"scores": {"val_accuracy": math.nan}})
    with pytest.raises(ConfigError, match="trial 0 has no finite val_accuracy"):
        write_search_report(run)
