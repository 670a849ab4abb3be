"""Files of the user's own: named, trusted by their content, run once, and told of by line where they fail."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest

import nas
from nas import own_code
from nas.commands.command_line import with_own_code
from nas.errors import ConfigError, TrainingError
from nas.own_code import check_own, load_own, named, sent, take, telling_place
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.worker import PickledEvaluator

SOURCE = """\
from pathlib import Path

with Path(__file__).with_name("ran").open("a") as file:
    file.write("x")


def answer():
    return 42


def fails():
    return 1 / 0
"""


@pytest.fixture(autouse=True)
def _of_this_test_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_code, "_SOURCES", {})
    monkeypatch.setattr(own_code, "_MODULES", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path / "mine.py"


def _as_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_code, "_SOURCES", {})
    monkeypatch.setattr(own_code, "_MODULES", {})


def _runs(file: Path) -> int:
    return len(file.with_name("ran").read_text()) if file.with_name("ran").exists() else 0


def test_a_reference_has_path_and_content(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    expected = f"{file}:answer#{hashlib.sha256(SOURCE.encode()).hexdigest()}"
    assert nas.own("mine.py:answer") == nas.own(f"{file}:answer") == nas.own(expected) == expected
    assert _runs(file) == 0  # to name a file is not to run it


def test_a_file_runs_once_a_process(file: Path) -> None:
    text = nas.own(f"{file}:answer")
    assert load_own(text, "x")() == 42
    assert load_own(nas.own(f"{file}:fails"), "x").__name__ == "fails"
    assert _runs(file) == 1


def test_what_was_named_once_runs_in_later_commands(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = nas.own(f"{file}:answer")
    _as_another_process(monkeypatch)
    check_own(text, "train.loss")
    assert _runs(file) == 0
    assert load_own(text, "train.loss")() == 42


def test_what_nobody_has_named_is_never_run(file: Path) -> None:
    """As where a run folder comes from a stranger, with a file beside it."""
    text = f"{file}:answer#{hashlib.sha256(SOURCE.encode()).hexdigest()}"
    for use in (check_own, load_own):
        with pytest.raises(ConfigError, match=r"mine\.py:answer was never named by you.*train\.loss=.*mine\.py:answer"):
            use(text, "train.loss")
    for make in (lambda word: Recipe(loss=word), lambda word: DataConfig(name="own", module=word)):
        with pytest.raises(ConfigError, match=r"run only where you name it: on the command line, .*nas\.own\("):
            make(f"{file}:answer")
    assert _runs(file) == 0


def test_what_is_called_of_a_file_must_be_named_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = nas.own(f"{file}:answer")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"mine\.py:fails was never named by you"):
            load_own(text.replace(":answer#", ":fails#"), "train.loss")
        _as_another_process(monkeypatch)
    nas.own(f"{file}:fails")
    assert load_own(text.replace(":answer#", ":fails#"), "train.loss").__name__ == "fails"


def test_a_file_that_was_changed_is_another_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = nas.own(f"{file}:answer")
    changed = SOURCE.replace("42", "43")
    file.write_text(changed)
    assert load_own(text, "x")() == 42  # this process goes on with what it was given
    _as_another_process(monkeypatch)
    was, now = (hashlib.sha256(source.encode()).hexdigest() for source in (SOURCE, changed))
    for use in (check_own, load_own, named):
        with pytest.raises(ConfigError, match=f"has been changed since it was named: its SHA-256 was {was}, is {now}"):
            use(text, "x")
    assert load_own(nas.own(f"{file}:answer"), "x")() == 43


class Evaluator:
    """Runs what it was told of."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        return float(load_own(self.text, "x")())


def test_code_goes_with_an_evaluator(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a machine that has neither the file nor the mark of its user."""
    evaluator = PickledEvaluator(Evaluator(nas.own(f"{file}:answer")))
    packed = pickle.dumps(evaluator)
    file.unlink()
    _as_another_process(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(file.parent / "elsewhere"))
    opened = pickle.loads(packed).open()
    assert opened(None, None, 0) == 42


def test_sources_that_arrive_run_as_they_were_sent(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = nas.own(f"{file}:answer")
    sources = sent()
    file.write_text(SOURCE.replace("42", "43"))
    _as_another_process(monkeypatch)
    take(sources)
    assert load_own(text, "x")() == 42


def test_a_cache_that_cannot_be_written_costs_only_memory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "a_file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file.parent / "a_file"))
    text = nas.own(f"{file}:answer")
    assert load_own(text, "x")() == 42
    _as_another_process(monkeypatch)
    with pytest.raises(ConfigError, match="never named by you"):
        load_own(text, "x")


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("x = 1\ndef f(:\n", "f", r"mine\.py:2: SyntaxError: .*invalid syntax"),
        ("def focal(): pass\n", "focl", r"mine\.py has no 'focl'\. Did you mean 'focal'\?"),
        ("", "f", r"mine\.py has no 'f'\. Known: none"),
        ("class A:\n    def f(self): pass\n", "f", r"has no 'f'\. Known: A\."),
        (b"x = '\xff'\n", "x", r"mine\.py.*: SyntaxError"),
        (b"\0", "x", r"mine\.py.*null bytes"),
    ],
)
def test_what_is_wrong_is_said_without_running_it(tmp_path: Path, source: str | bytes, name: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises(ConfigError, match=message):
        nas.own(f"{file}:{name}")


@pytest.mark.parametrize(
    "source",
    [
        "if True:\n    f = 1\n",
        "try:\n    from math import pi as f\nexcept Exception: pass\n",
        "from math import *\nf = 1\n",
        "(e, f) = 1, 2\n",
        "for f in [1]: pass\n",
    ],
)
def test_a_name_may_come_in_many_ways(tmp_path: Path, source: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    assert load_own(nas.own(f"{tmp_path / 'mine.py'}:f"), "x")


def test_an_error_of_a_file_says_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f():\n    return {}['key']\n\n\nf()\n")
    text = nas.own(f"{file}:f")
    with pytest.raises(ConfigError, match=r"train\.loss: .*mine\.py:2: KeyError: 'key'"):
        load_own(text, "train.loss")
    file.write_text("from math import *\n")
    with pytest.raises(ConfigError, match=r"has no 'sinn'\. Did you mean 'sin"):
        load_own(nas.own(f"{file}:sinn"), "train.loss")


def test_an_error_that_comes_through_a_file_says_its_line(file: Path) -> None:
    fails = load_own(nas.own(f"{file}:fails"), "x")
    message = r"mine\.py:12, in fails: ZeroDivisionError: division by zero \(a loss\)"
    with pytest.raises(TrainingError, match=message), telling_place(TrainingError, "a loss"):
        fails()
    with pytest.raises(ZeroDivisionError), telling_place(TrainingError):
        _ = 1 / 0  # of others
    with pytest.raises(MemoryError), telling_place(TrainingError):
        raise MemoryError


@pytest.mark.parametrize("text", ["mine.py", "mine:f", "mine.py:", "mine.py:f.g", "mine.py:f#12", 3, None])
def test_other_forms_are_refused(text: object) -> None:
    with pytest.raises(ConfigError, match=r"train\.loss must be FILE\.py:NAME, but got"):
        named(text, "train.loss")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        nas.own(f"{tmp_path / 'none.py'}:f")
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(ConfigError, match="there is no file"):
        nas.own(f"{tmp_path / 'pipe.py'}:f")


def _words(*words: str) -> list[str]:
    return with_own_code(words, {"train.loss": False, "train.callbacks": True})


def test_a_command_line_names_files(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    answer, fails = nas.own("mine.py:answer"), nas.own("mine.py:fails")
    assert _words("seed=1", "++train.loss=mine.py:answer", "train.lr=1") == [
        "seed=1",
        f"train.loss={answer}",
        "train.lr=1",
    ]
    assert _words("train.callbacks=[mine.py:answer, 'mine.py:fails']") == [f"train.callbacks=['{answer}','{fails}']"]
    assert _words("train.loss=null", "train.callbacks=null") == ["train.loss=null", "train.callbacks=null"]
    assert _words("-m", "train.loss=mine.py:answer,mine.py:fails") == ["-m", f"train.loss={answer},{fails}"]
    with pytest.raises(ConfigError, match=r"train\.callbacks is a list, train\.callbacks=\[FILE"):
        _words("train.callbacks=mine.py:answer")


@pytest.fixture
def one(file: Path) -> str:
    return nas.own(f"{file}:answer")


def test_recipes_with_code_are_values(one: str) -> None:
    recipe = Recipe(loss=one, callbacks=[one, one], logger=one)
    assert recipe.callbacks == (one, one)
    assert hash(recipe) == hash(Recipe(loss=one, callbacks=(one, one), logger=one))
    assert [where for where, _ in recipe.own_code] == [
        "train.loss",
        "train.logger",
        "train.callbacks",
        "train.callbacks",
    ]
    assert Recipe(callbacks=[]) == Recipe()


def test_a_copy_elsewhere_is_a_file_of_its_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("f = __file__\n")
        assert load_own(nas.own(f"{tmp_path / folder / 'mine.py'}:f"), "x") == str(tmp_path / folder / "mine.py")
