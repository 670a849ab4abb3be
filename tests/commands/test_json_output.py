"""`--json`: every command prints one JSON document on standard output, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.commands import registry
from nas.commands.candidates import candidates
from nas.commands.command import OptionsCommand
from nas.commands.command_line import check_json
from nas.commands.conf_files import help_text
from nas.commands.registry import COMMANDS
from nas.commands.search_facts import search_facts
from nas.console import run as run_work
from nas.errors import ConfigError, EvaluationError
from nas.json_output import FLAG, add_facts, json_document, part_of_document, plain_values, print_document
from tests.run_command import Started, run
from tests.search.conftest import SMALL

WITH_FACTS = [name for name in COMMANDS if name != "completion"]
_WRONG = {
    "advise": ["--task", "nothing"],
    "space": ["mbcnov"],
    "limits": ["+space=mbconv"],
    "search": ["+space=mbcnov"],
    "profile": ["reference/lenet5", "--runtime", "torch"],
    "calibrate": ["--minutes", "0"],
    "compare": ["+space=mbcnov"],
    "spaces": ["compare", "mbconv"],
    "train": [],
    "evaluate": ["split=val"],
    "diagnose": ["seeds=2"],
    "scale": ["+space=mbconv"],
    "predict": ["nowhere", "a.png"],
}
"""By command, words that it refuses; the others refuse a folder that is not there."""


def _help(name: str) -> str:
    command = COMMANDS[name]
    return command.parser().format_help() if isinstance(command, OptionsCommand) else help_text(name) or ""


@pytest.mark.parametrize("name", WITH_FACTS)
def test_every_command_knows_the_flag(name: str) -> None:
    assert FLAG in _help(name)
    assert candidates(f"nas {name} --js") == [f"{FLAG} "]


def test_completion_prints_a_script_and_no_facts() -> None:
    assert FLAG not in _help("completion")
    assert candidates("nas completion --js") == []


@pytest.mark.parametrize("name", WITH_FACTS)
def test_an_error_is_a_document_and_a_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *_WRONG.get(name, ["nowhere"]), FLAG])
    try:
        code = registry.run_command(name)
    except SystemExit as ended:
        code = int(str(ended.code))
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert code == 2
    assert document["error"]
    assert document["error"] in err
    assert list(document) == ["error"]


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("space", ["--nothing"], "usage: "),
        ("space", ["--seed", "one"], "usage: "),
        ("search", ["--nothing"], "nas.search: unknown flag "),
        ("train", ["a", "b"], "nas.train: one word comes before the settings"),
    ],
)
def test_what_is_no_command_line_is_a_document_too(
    name: str, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, FLAG, *words])
    with pytest.raises(SystemExit, match="2"):
        registry.run_command(name)
    out, err = capsys.readouterr()
    assert words[0] in json.loads(out)["error"] in err
    assert err.startswith(said)


@pytest.mark.parametrize("flag", ["--multirun", "-m", "--cfg=job", "--hydra-help"])
def test_flags_with_which_there_is_not_one_document(flag: str) -> None:
    with pytest.raises(ConfigError, match=f"{FLAG} prints .* but {flag.partition('=')[0]} "):
        check_json(["+space=mbconv", FLAG, flag])
    assert check_json(["+space=mbconv", flag]) == ["+space=mbconv", flag]
    assert check_json([FLAG, "+space=mbconv"]) == ["+space=mbconv"]


def test_help_is_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["search", FLAG, "--help"])
    assert registry.run_command("search") == 0
    assert capsys.readouterr().out == f"{help_text('search')}\n"


def _facts(capsys: pytest.CaptureFixture[str], work: Callable[[], None]) -> tuple[int, Any, str]:
    """Run a command's work with `--json`; returns its exit code, its document and standard error."""
    code = run_work("test", work, json=True)
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def test_lines_for_people_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        print("working")
        add_facts({"latency_ms": 1.5})
        with part_of_document("model"):
            add_facts({"files": (Path("/a"), "b")})
        add_facts({"params": np.int64(3), "latency_ms": 2.5})

    facts = {"latency_ms": 2.5, "model": {"files": ["/a", "b"]}, "params": 3}
    assert _facts(capsys, work) == (0, facts, "working\n")
    assert run_work("test", work) == 0
    assert capsys.readouterr() == ("working\n", "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("wrong"), 2, "wrong"),
        (EvaluationError("alike"), 1, "alike"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_facts_from_before_an_error_stay(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with part_of_document("part"):
            add_facts({"a": 1})
            raise error

    assert _facts(capsys, work) == (code, {"part": {"a": 1}, "error": message}, f"test: {message}\n")


def test_what_nobody_foresaw_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError):
        run_work("test", work, json=True)
    assert json.loads(capsys.readouterr().out) == {"error": "RuntimeError: a mistake of ours"}


def test_an_exit_code_without_a_reason_is_an_error_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["space", FLAG])
    monkeypatch.setattr("nas.commands.space.main", lambda: 7)
    assert registry.run_command("space") == 7
    assert json.loads(capsys.readouterr().out) == {"error": "exit code 7; standard error says more"}


def test_a_document_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        add_facts({"address": "here"})
        print_document()
        assert json.loads(capsys.readouterr().out) == {"address": "here"}
        print("served")
        raise ConfigError("the server has ended")

    assert run_work("test", work, json=True) == 2
    assert capsys.readouterr() == ("", "served\ntest: the server has ended\n")


def test_processes_that_are_started_write_to_standard_error_too() -> None:
    code = """
import os, subprocess, sys
from nas.console import run
from nas.json_output import add_facts
def work():
    os.write(1, b"written ")
    subprocess.run(["echo", "echoed"], check=True)
    add_facts({"a": 1})
sys.exit(run("test", work, json=True))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (json.loads(done.stdout), done.stderr) == ({"a": 1}, "written echoed\n")


class _Word(StrEnum):
    ONE = "one"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (nan, None),
        (-inf, None),
        (np.float32(0.5), 0.5),
        (np.array([[1.0, nan]]), [[1.0, None]]),
        (10**400, None),
        (2**70, 2**70),
        (True, True),
        ({1: _Word.ONE, "b": (None,)}, {"1": "one", "b": [None]}),
        (Path("a"), os.path.join(os.getcwd(), "a")),
    ],
)
def test_values_are_as_json_has_them(value: object, plain: object) -> None:
    assert plain_values(value) == plain
    json.dumps(plain_values(value), allow_nan=False)


def test_what_json_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="object is no value of JSON"):
        plain_values({"a": [object()]})


def test_a_document_within_another_is_that_one(capsys: pytest.CaptureFixture[str]) -> None:
    with json_document(True):
        assert run_work("test", lambda: add_facts({"a": 1}), json=True) == 0
        assert capsys.readouterr().out == ""
    assert json.loads(capsys.readouterr().out) == {"a": 1}


# What commands say


def _document(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, *words: str) -> Any:
    monkeypatch.setattr(sys, "argv", [name, *words, FLAG])
    assert registry.run_command(name) == 0
    return json.loads(capsys.readouterr().out)


def test_the_facts_of_a_space(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    space = nas.load_space("nasbench_macro")
    found = _document(capsys, monkeypatch, "space", "nasbench_macro", "--samples", "5")
    assert (found["space"], found["genotypes"]) == ("nasbench_macro", 3**8)
    assert found["decisions"] == {path: [*choice.values] for path, choice in space.decisions().items()}
    smallest, largest = (nas.cost_of(space.decode(found[name]["genotype"])).params for name in ("smallest", "largest"))
    assert smallest == found["smallest"]["cost"]["params"] < found["largest"]["cost"]["params"] == largest
    assert found["sample"]["costs"]["params"]["min"] <= found["sample"]["costs"]["params"]["max"]
    assert "reference/lenet5" in _document(capsys, monkeypatch, "space")["spaces"]
    assert "conv" in _document(capsys, monkeypatch, "space", "--blocks")["blocks"]
    assert _document(capsys, monkeypatch, "space", "--block", "conv")["settings"]["stride"]["default"] == 1


_TABLE = ("evaluator=table", "evaluator.file=table.csv", "evaluator.scores={val_accuracy: accuracy}")


def test_the_facts_of_a_search(folder: Path) -> None:
    words = ["+space=small.yaml", *_TABLE, "sampler=random", "name=run", "records.mlflow=false", "search.trials=9"]
    several = ["search.objective=[val_accuracy,macs]", "constraints.params=20000"]
    done = run("nas.search", *words, *several, FLAG, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Ended: 9 trials done" in done.stderr
    found, study = json.loads(done.stdout), nas.load_study(folder / "runs" / "run")
    assert found["stop_reason"] == "9 trials done"
    assert found["counts"]["completed"] == 9
    assert found["counts"]["rejected"] == found["rejections"]["params"] == study.rejections()["params"] > 0
    assert found["winner"] == study.knee().number  # type: ignore[union-attr]
    assert [one["trial"] for one in found["best"]] == [trial.number for trial in study.best(9)]
    for one in found["best"]:
        cost = nas.cost_of(study.space.decode(one["genotype"]))
        assert (one["cost"]["params"], one["objectives"]["macs"]) == (cost.params, cost.macs)
    assert found["hypervolume"] == pytest.approx(study.hypervolume()[-1])
    for name in ("run_folder", "best_architecture", "pareto_front", "report"):
        assert Path(found[name]).exists()
    assert "error" not in found


def test_a_search_without_a_network_says_why(tmp_path: Path) -> None:
    def evaluate(architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        raise RuntimeError("no memory at all")

    study = nas.run_search(nas.SearchSpace.from_dict(SMALL), evaluate, trials=9, constraints={"params": 20_000})
    found = plain_values(search_facts(study, tmp_path, files=(), notes=["a note"]))
    assert "no memory at all" in found["error"] == found["stop_reason"]
    assert (found["best"], found["winner"], found["best_architecture"], found["report"]) == ([], None, None, None)
    assert found["counts"]["failed"] == sum(trial.state == "failed" for trial in study.trials) > 0
    assert found["notes"] == ["a note"]


def test_an_interrupted_search_says_what_it_found(folder: Path) -> None:
    words = ["+space=small.yaml", *_TABLE, "sampler=random", "name=run", "records.mlflow=false", "search.trials=900"]
    process = Started("nas.search", *words, FLAG, cwd=folder)
    while "trial" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    found = json.loads(process.communicate()[0])
    assert process.poll() == 130
    assert found["error"] == found["stop_reason"] == "interrupted"
    assert found["counts"]["completed"] == len(nas.load_study(folder / "runs" / "run").scored) > 0
    assert found["best"][0]["scores"]["val_accuracy"] > 0
    assert "resume=runs/run search.trials=900" in found["go_on"]


@pytest.mark.parametrize(("where", "code"), [("> /dev/full", 2), ("| head -c 0", 0), ("> out.json", 0)])
def test_a_document_that_is_not_whole_is_no_success(tmp_path: Path, where: str, code: int) -> None:
    """As on a full disk. Who has read enough has lost nothing."""
    words = f'"{sys.executable}" -m nas advise --params 1e5 --json'
    command = f"{{ {words}; echo code $? >&2; }} {where}"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(nas.__file__).parents[1])},
    )
    assert done.stderr.endswith(f"code {code}\n")
    assert ("nas.advise: what it printed is not whole: No space left on device" in done.stderr) == bool(code)
