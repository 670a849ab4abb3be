"""Nothing that is shown can end a command, and signals end it once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

import pytest

from nas import console
from nas.console import run
from nas.errors import ConfigError, EvaluationError
from nas.starting import INTERRUPTED

ROOT = Path(__file__).parents[1]


_Stream = int | IO[bytes]


def _start(
    code: str, *, encoding: str = "utf-8", stdout: _Stream = subprocess.PIPE, stderr: _Stream = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Run Python code that has `run` of the console."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys, time, signal, os\nfrom nas.console import *\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": f"{encoding}:strict"},
        stdout=stdout,
        stderr=stderr,
    )


_TALKS = """
def work():
    for i in range(20_000):
        print("line", i, "x" * 100)
    print("and to the other", file=sys.stderr)
    with open(sys.argv[1], "w") as file:
        file.write("recorded")
sys.exit(run("test", work))
"""


def _talks(end: Path) -> str:
    return _TALKS.replace("sys.argv[1]", repr(str(end)))


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    process = _start(_talks(tmp_path / "end"))
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"line 0")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b"and to the other\n"
    assert process.wait() == 0
    assert (tmp_path / "end").read_text() == "recorded"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_disk_that_is_full_ends_nothing(tmp_path: Path, stream: str) -> None:
    with open("/dev/full", "wb") as full:
        talks = _talks(tmp_path / "end")
        process = _start(talks, stdout=full) if stream == "stdout" else _start(talks, stderr=full)
        process.communicate()
    assert process.returncode == 0
    assert (tmp_path / "end").read_text() == "recorded"


def test_streams_that_are_closed_from_the_start(tmp_path: Path) -> None:
    code = f"import os\nos.close(1)\nos.close(2)\nos.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])"
    talk = "import sys\nfrom nas.console import *\n" + _talks(tmp_path / "end")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", "-c", talk],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "end").read_text() == "recorded"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", rb"\xe9 \u20ac \ud800"), ("utf-8", "é €".encode() + rb" \ud800")]
)
def test_any_text_on_any_terminal(encoding: str, shown: bytes) -> None:
    process = _start(r"""sys.exit(run("test", lambda: print("\xe9 \u20ac \ud800")))""", encoding=encoding)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, shown + b"\n", b"")


def test_an_error_of_any_text_is_shown() -> None:
    process = _start(
        "from nas.errors import ConfigError\n"
        r"""def work(): raise ConfigError("caf\xe9 \udc80")"""
        "\nsys.exit(run('test', work))",
        encoding="ascii",
    )
    _, err = process.communicate()
    assert (process.returncode, err) == (2, rb"test: caf\xe9 \udc80" + b"\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("wrong"), 2),
        (OSError(28, "No space left on device"), 2),
        (EvaluationError("alike"), 1),
        (KeyboardInterrupt(), INTERRUPTED),
    ],
)
def test_exit_codes(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise error

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert run("test", work) == code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err.startswith("test: ")


def test_what_the_system_refuses_is_a_line_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        (tmp_path / "none" / "a\nb").read_text()

    assert run("test", work) == 2
    assert capsys.readouterr().err == f"test: {tmp_path}/none/a\\nb: No such file or directory\n"

    def wrong() -> None:
        raise OSError("a library's own, whose place is needed")

    with pytest.raises(OSError, match="a library's own"):
        run("test", wrong)


_WAITS = """
def work():
    print("working", flush=True)
    time.sleep(100)
sys.exit(run("test", work))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_command(number: signal.Signals) -> None:
    # Tests that run in the background inherit that Ctrl-C is ignored.
    process = _start(f"signal.signal(signal.SIGINT, signal.default_int_handler)\n{_WAITS}")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate()
    assert (process.returncode, err) == (INTERRUPTED, b"test: interrupted\n")


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As `nohup` has it."""
    process = _start(
        """signal.signal(signal.SIGHUP, signal.SIG_IGN)
def work():
    os.kill(os.getpid(), signal.SIGHUP)
    print("goes on")
sys.exit(run("test", work))
"""
    )
    assert process.communicate() == (b"goes on\n", b"")
    assert process.returncode == 0


def test_two_at_once_are_one() -> None:
    process = _start(
        """
def work():
    try:
        print("working", flush=True)
        time.sleep(100)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        print("ended", flush=True)
sys.exit(run("test", work))
"""
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)  # a signal within `print` has it print once more
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (INTERRUPTED, b"ended\n", b"test: interrupted\n")


_PATIENT = """
def work():
    with defer_signals("ending") as deferred:
        try:
            print("working", flush=True)
            time.sleep(3)  # past the time within which several are one
            print("in order", flush=True)
            CHECK
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            time.sleep(1)
    print("goes on", flush=True)
sys.exit(run("test", work))
"""


@pytest.mark.parametrize(
    ("check", "code", "shown", "said"),
    [
        ("deferred.check()", 0, b"in order\ninterrupted\ngoes on\n", b""),
        ("pass", INTERRUPTED, b"in order\n", b"test: interrupted\n"),
    ],
)
def test_signals_wait_where_something_is_done_patiently(check: str, code: int, shown: bytes, said: bytes) -> None:
    process = _start(_PATIENT.replace("CHECK", check))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (code, shown, b"\nending; Ctrl-\\ ends at once\n" + said)


def test_what_takes_long_ends_at_once() -> None:
    process = _start(_PATIENT.replace("time.sleep(3)", "with interrupt_at_once(): time.sleep(1000)"))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == (b"interrupted\ngoes on\n", b"")
    assert process.returncode == 0


_LOADED = {
    **dict.fromkeys(("search", "compare", "spaces", "scale", "limits"), "hydra"),
    **dict.fromkeys(("proxies", "calibrate"), "numpy"),
    **dict.fromkeys(("advise", "profile", "space"), "yaml"),
}
"""By command, something that it loads first."""


@pytest.mark.parametrize(
    ("command", "number"),
    [("space", signal.SIGTERM), ("space", signal.SIGHUP), *((name, signal.SIGINT) for name in _LOADED)],
)
def test_a_command_that_still_loads_is_interrupted_in_one_line(
    tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """In the middle of an import, which hides what is raised in it."""
    lines = ["import os, time", "try:", f"    os.kill(os.getpid(), {number})", "    time.sleep(60)"]
    (tmp_path / f"{_LOADED[command]}.py").write_text(
        "\n".join([*lines, "except BaseException:", "    raise ImportError"])
    )
    done = subprocess.run(
        [sys.executable, "-m", f"nas.{command}"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"nas.{command}: interrupted\n")


def test_what_a_library_makes_of_an_interrupt_is_one() -> None:
    code = """
def work():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except BaseException:
        raise ImportError("a part of it cannot be loaded")
sys.exit(run("test", work))
"""
    process = _start(code)
    assert process.communicate() == (b"", b"test: interrupted\n")
    assert process.returncode == 130


def test_handlers_of_signals_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run("test", lambda: None) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_long_step_says_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_SILENT_SECONDS", 0.02)
    said: list[str] = []
    heard = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            heard.set()

    with console.long_step("Writing the model", say):
        assert said[0] == "Writing the model ..."
        assert heard.wait(60)
    assert all(re.fullmatch(r"Writing the model: \d+ s by now \.\.\.", line) for line in said[1:])
    count = len(said)
    assert not any(thread.name == "nas-long-step" for thread in threading.enumerate())
    with pytest.raises(ValueError, match="no"), console.long_step("Reading", say):
        raise ValueError("no")
    assert not any(thread.name == "nas-long-step" for thread in threading.enumerate())
    assert said[count] == "Reading ..."


def test_a_command_that_prints_nothing_says_now_and_then_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_SILENT_SECONDS", 0.02)
    monkeypatch.setattr(console, "_LOOK_SECONDS", 0.01)
    said: list[str] = []
    heard = threading.Event()

    def hear(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            heard.set()

    monkeypatch.setattr(console, "_print", hear)
    assert run("nas.test", lambda: print(heard.wait(60))) == 0
    assert capsys.readouterr().out == "True\n"
    assert all(re.fullmatch(r"nas\.test goes on: \d+ s by now \.\.\.", line) for line in said)
    assert not any(thread.name == "nas-silence" for thread in threading.enumerate())
    threads: list[str] = []
    assert run("nas.test", lambda: threads.extend(one.name for one in threading.enumerate()), may_be_silent=True) == 0
    assert threads
    assert "nas-silence" not in threads


def test_what_is_written_puts_that_off() -> None:
    code = """
console._SILENT_SECONDS = 3600.0
def work():
    console._GuardedFile.last_write -= 10_000.0
    print("a line", flush=True)
    before = console._GuardedFile.last_write
    print(time.monotonic() - before < 3600)
sys.exit(run("test", work))
"""
    assert _start("from nas import console\n" + code).communicate()[0] == b"a line\nTrue\n"
