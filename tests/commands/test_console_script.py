"""The console script `nas`: the commands of `python -m nas.X` as its subcommands."""

from __future__ import annotations

import json
import os
import pkgutil
import re
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from nas import __version__
from nas.commands.command import OptionsCommand, SettingsCommand
from nas.commands.conf_files import help_text
from nas.commands.console_script import main
from nas.commands.registry import COMMANDS, run_command
from nas.resources import resource_dir
from tests.run_command import run

ROOT = Path(__file__).resolve().parents[2]
OWN = {
    *("browse", "clean", "completion", "data", "diagnose", "evaluate", "export", "finish", "predict", "records"),
    *("lr", "report", "runs", "steer", "train"),
}
"""Commands that are there as `nas X` only."""
WITH_SETTINGS = [name for name, command in COMMANDS.items() if isinstance(command, SettingsCommand)]
WITH_OPTIONS = {name: command for name, command in COMMANDS.items() if isinstance(command, OptionsCommand)}


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` takes the words of the process, and lets signals end it."""
    monkeypatch.setattr(sys, "argv", ["nas"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def test_the_help_lists_every_command_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = re.findall(r"^  (\w+) +(.+)$", capsys.readouterr().out, re.MULTILINE)
    assert listed == [(name, command.line) for name, command in COMMANDS.items()]
    assert all(command.line[0].isupper() and len(command.line) <= 70 for command in COMMANDS.values())


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nas {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["serch", "+space=mbconv"], "nas: unknown command 'serch'. Did you mean 'search' or 'steer'?"),
        (["nothing-like-it"], "nas: unknown command 'nothing-like-it'. Known: advise, "),
        (["--verson"], "nas: unknown option '--verson'. Did you mean '--version'?"),
        ([], "usage: nas COMMAND"),
    ],
)
def test_what_is_no_command(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(message)


def test_what_is_no_command_is_told_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serch", "--json"]) == 2
    assert "unknown command 'serch'" in json.loads(capsys.readouterr().out)["error"]


def test_the_installed_script_is_main() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name: pkgutil.resolve_name(target) for name, target in scripts.items()} == {"nas": main}


def test_every_entry_starts_the_command_of_its_name() -> None:
    package = ROOT / "nas"
    files = [*package.glob("*.py"), *package.glob("*/__main__.py")]
    started = {file: re.findall(r'run_command\("(\w+)"\)', file.read_text()) for file in files}
    names = {file: file.parent.name if file.stem == "__main__" else file.stem for file in files}
    assert {names[file]: found for file, found in started.items() if found} == {
        name: [name] for name in COMMANDS if name not in OWN
    }


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_a_command_with_options_takes_those_of_its_parser(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--no-such-option"])
    with pytest.raises(SystemExit) as ended:
        run_command(name)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(WITH_OPTIONS[name].parser().format_usage())


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_the_help_is_that_of_hydra(name: str) -> None:
    # --resolve, which changes nothing in a help of plain text, is for Hydra alone.
    ours, hydras = run("nas", name, "--help"), run("nas", name, "--help", "--resolve")
    assert ours.stdout == f"{help_text(name)}\n"
    assert (ours.returncode, ours.stdout, ours.stderr) == (hydras.returncode, hydras.stdout, hydras.stderr)


def test_hydra_fills_in_what_a_help_text_leaves_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"open": "Settings: $CONFIG", "plain": "all of it"}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(f"hydra: {{help: {{template: '{text}'}}}}")
    (tmp_path / "without.yaml").write_text("seed: 0")
    monkeypatch.setattr("nas.commands.conf_files.resource_dir", lambda _: tmp_path)
    found = {name: help_text(name) for name in ("open", "plain", "without")}
    assert found == {"open": None, "plain": "all of it", "without": None}


def test_help_loads_nothing_that_a_command_works_with() -> None:
    code = f"""
import contextlib, io, sys
from nas.commands.console_script import main
for words in [["--help"], *([name, flag] for name in {list(COMMANDS)!r} for flag in ("--help", "-h"))]:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
    assert code == 0 and len(shown.getvalue()) > 300, words
heavy = ("torch", "optuna", "hydra", "omegaconf", "mlflow", "numpy", "rich", "nas.network", "nas.space", "nas.search")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("space", ["no_such_space"]),
        ("space", ["reference/lenet5"]),
        ("profile", ["reference/lenet5", "--", "--help"]),
        ("advise", ["--task", "x"]),
        ("search", ["+space=mbconv", "seed=x"]),
        ("search", ["resume"]),
        ("search", ["--cfg", "job", "search.trials=3"]),
        ("limits", ["+space=reference/lenet5"]),
        ("compare", ["strategies=[default]"]),
        ("spaces", ["compre", "mbconv"]),
        ("spaces", ["compare", "mbconv"]),
        ("scale", ["+space=reference/lenet5", "phi=[0]", "train=False", "records.dir=", "rule=x"]),
    ],
)
def test_both_ways_to_call_a_command_do_the_same(name: str, words: list[str], tmp_path: Path) -> None:
    module, script = run(f"nas.{name}", *words, cwd=tmp_path), run("nas", name, *words, cwd=tmp_path)
    assert (script.returncode, script.stdout, script.stderr) == (module.returncode, module.stdout, module.stderr)
    assert script.stdout + script.stderr
    assert script.returncode == (0 if words in (["reference/lenet5"], ["--cfg", "job", "search.trials=3"]) else 2)


@pytest.mark.parametrize("words", [["search"], ["space"]])
def test_an_interrupt_while_a_command_is_loaded_is_one_line(words: list[str], tmp_path: Path) -> None:
    interrupted = "import os, signal, time\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)\n"
    for package in ("hydra", "yaml"):
        (tmp_path / f"{package}.py").write_text(f"{interrupted}except BaseException:\n    raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "nas", *words],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"nas.{words[0]}: interrupted\n")


def test_every_command_with_settings_has_a_file_of_them() -> None:
    assert {path.stem for path in resource_dir("conf").glob("*.yaml")} == set(WITH_SETTINGS)


@pytest.mark.slow  # trains a network in a worker process
def test_workers_of_the_script_start(tmp_path: Path) -> None:
    """Worker processes read the script again that started them: it has no ending and is named like the package."""
    script = tmp_path / "bin" / "nas"
    script.parent.mkdir()
    script.write_text(
        "import sys\nfrom nas.commands.console_script import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    words = ["+space=mbconv", "search.trials=1", "train.epochs=1", "constraints.macs=2e6", "workers=1", "name=a"]
    done = subprocess.run(
        [sys.executable, script, "search", *words, "records.mlflow=false"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "a" / "best_architecture.json").exists()


def test_a_command_ends_without_a_search_for_garbage() -> None:
    code = """
        class Cycle:
            def __init__(self): self.own = self
            def __del__(self): print("searched")
        {begin}
        cycle = Cycle()
    """
    for begin, said in (("", "searched\n"), ('from nas.starting import end_at_once; end_at_once("x")', "")):
        text = textwrap.dedent(code).format(begin=begin)
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout == said
