"""Loss, callbacks and logger of the user's own: what they are given, what they must be, and where they fail."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import nas
from nas import own_code
from nas.errors import ConfigError, TrainingError
from nas.evaluators.training import TrainingEvaluator
from nas.own_code import load_own
from nas.search.trial import State
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.devices import check_devices
from nas.training.fit import fit
from nas.training.own_training import check_own_training, own_logger, own_loss
from nas.training.probe import training_times
from nas.training.recipe import Recipe
from nas.training.tasks.task import Scale
from nas.workers.processes import WorkerPool
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE

SOURCE = '''
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.loggers import CSVLogger

HERE = Path(__file__).parent


def each(outputs, targets, label_smoothing=0.0, class_weights=None):
    return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing, reduction="none")


def mean(outputs, targets):
    return F.cross_entropy(outputs, targets)


class Focal(torch.nn.Module):
    def forward(self, outputs, targets):
        return F.cross_entropy(outputs, targets, reduction="none") * 2


focal = Focal()


class Listener(pl.Callback):
    SEEN = []

    def __init__(self):
        self.epochs = 0

    def on_train_epoch_end(self, trainer, pl_module):
        self.epochs += 1
        self.SEEN.append((self.epochs, {name: float(value) for name, value in trainer.callback_metrics.items()}))

    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]


class Fails(pl.Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise KeyError("mine")


class FailsAtWide(pl.Callback):
    """With one network of a search alone."""

    def on_fit_start(self, trainer, pl_module):
        assert next(pl_module.parameters()).shape[0] != 16, "too wide"


def logger(arch_id, seed):
    return CSVLogger(HERE / "logs", name=arch_id, version=seed)
'''


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data(DATA)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path / "mine.py"


def _recipe(file: Path, **names: Any) -> Recipe:
    given: dict[str, Any] = {
        key: [nas.own(f"{file}:{one}") for one in name] if isinstance(name, list) else nas.own(f"{file}:{name}")
        for key, name in names.items()
    }
    return replace(RECIPE, epochs=2, **given)


def _history(data: ImageData, recipe: Recipe, **settings: Any) -> list[dict[str, float]]:
    return [dict(row) for row in fit(ARCH, data, recipe, seed=3, **settings).history]


# The loss


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.2}, {"mixup": 0.3, "cutmix": 0.5}], ids=str)
def test_a_cross_entropy_of_ones_own_trains_as_that_of_nas(file: Path, data: ImageData, settings: Any) -> None:
    expected = _history(data, replace(RECIPE, epochs=2, **settings))
    found = _history(data, replace(_recipe(file, loss="each"), **settings))
    assert found == [pytest.approx(row, rel=1e-4) for row in expected]  # torch adds a smoothed mean up in another order


def test_a_loss_may_return_the_mean(file: Path, data: ImageData) -> None:
    assert _history(data, _recipe(file, loss="mean")) == _history(data, replace(RECIPE, epochs=2))


def test_validation_keeps_the_loss_of_the_task(file: Path, data: ImageData) -> None:
    """Twice the loss is another training, whose scores can be compared all the same."""
    rows = _history(data, _recipe(file, loss="focal"))
    loss = own_loss(_recipe(file, loss="focal"))
    assert loss is not None
    outputs, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    assert torch.allclose(loss(outputs, labels, "mean"), 2 * F.cross_entropy(outputs, labels))
    assert torch.allclose(loss(outputs, labels, "sum"), 2 * F.cross_entropy(outputs, labels, reduction="sum"))
    plain = _history(data, replace(RECIPE, epochs=2))
    assert rows[0]["train_loss"] > 1.5 * plain[0]["train_loss"]
    assert rows[0]["val_loss"] < 1.5 * plain[0]["val_loss"]


def test_a_loss_of_numbers_is_given_them_standardised(file: Path) -> None:
    file.write_text("def squares(outputs, targets):\n    return ((outputs - targets) ** 2).mean(1)\n")
    loss = own_loss(_recipe(file, loss="squares"), Scale((10.0,), (2.0,)))
    assert loss is not None
    assert loss(torch.tensor([[1.0], [0.0]]), torch.tensor([[14.0], [10.0]]), "none").tolist() == [1.0, 0.0]


def test_weights_of_classes_reach_a_loss_that_takes_them(file: Path, data: ImageData) -> None:
    file.write_text(
        "import torch.nn.functional as F\nSEEN = []\ndef weighed(outputs, targets, class_weights):\n"
        "    SEEN.append(class_weights.tolist())\n    return F.cross_entropy(outputs, targets)\n"
    )
    recipe = _recipe(file, loss="weighed")
    fit(ARCH, data, replace(recipe, epochs=1), seed=0, balance="weights")
    seen = load_own(nas.own(f"{file}:SEEN"), "x")
    counts = torch.bincount(data.train.labels).double()
    assert seen[0] == pytest.approx((counts.sum() / (len(counts) * counts)).tolist())
    file.write_text(SOURCE)
    other = _recipe(file, loss="mean")
    with pytest.raises(ConfigError, match=r"data\.balance=weights does nothing with mine\.py:mean"):
        check_own_training(other, data, "weights")


LOSSES = {
    "no tensor": ("return 1.0", TrainingError, "as a tensor of torch, but got float"),
    "a shape": (
        "return outputs",
        TrainingError,
        r"\(4,\), or their mean, a scalar, but got a tensor of shape \(4, 4\)",
    ),
    "no gradient": ("return outputs.detach().mean()", TrainingError, "has no gradient: a loss must be made of"),
    "of none of the outputs": ("return torch.ones((), requires_grad=True)", TrainingError, "does not look at them"),
    "not a number": ("return outputs.mean() * float('nan')", TrainingError, "mine.py:f is nan of random outputs"),
    "a bad gradient": ("return (outputs - outputs).abs().sqrt().sum()", TrainingError, "a gradient that is no number"),
    "it fails": ("return outputs[:, 99].mean()", TrainingError, r"mine\.py:4, in f: IndexError: .*\(mine\.py:f\)"),
}


@pytest.mark.parametrize("what", LOSSES)
def test_what_is_no_loss_is_told_before_training(tmp_path: Path, data: ImageData, what: str) -> None:
    line, kind, message = LOSSES[what]
    file = tmp_path / "mine.py"
    file.write_text(f"import torch\n\ndef f(outputs, targets):\n    {line}\n")
    with pytest.raises(kind, match=message):
        check_own_training(_recipe(file, loss="f"), data, "none")


SIGNATURES = {
    "one argument": ("def f(outputs): ...", r"train\.loss: mine\.py:f\(outputs\) does not fit: too many positional"),
    "a third": ("def f(outputs, targets, gamma): ...", r"missing a required argument: 'gamma'\. It is given outputs, "),
    "a class": ("class f:\n    def __init__(self, a, b): ...", r"mine\.py:f is a class; name a function, or an object"),
    "a number": ("f = 3", r"train\.loss: mine\.py:f must be a function or a class, but is int: 3"),
}


@pytest.mark.parametrize("what", SIGNATURES)
def test_other_arguments_are_refused(tmp_path: Path, data: ImageData, what: str) -> None:
    source, message = SIGNATURES[what]
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(ConfigError, match=message):
        check_own_training(_recipe(file, loss="f"), data, "none")


def test_settings_that_a_loss_does_not_take_are_refused(file: Path, data: ImageData) -> None:
    with pytest.raises(ConfigError, match=r"train\.label_smoothing=0\.1 does nothing with mine\.py:mean"):
        check_own_training(replace(_recipe(file, loss="mean"), label_smoothing=0.1), data, "none")
    with pytest.raises(TrainingError, match=r"returns one number, but train\.mixup and train\.cutmix need"):
        check_own_training(replace(_recipe(file, loss="mean"), mixup=0.1), data, "none")
    with pytest.raises(ConfigError, match=r"train\.loss: code of your own is for a training in one process"):
        check_devices(2, _recipe(file, loss="mean"))


def test_a_loss_that_diverges_is_told_by_name(tmp_path: Path, data: ImageData) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch.nn.functional as F\nCOUNT = [0]\ndef f(outputs, targets):\n    COUNT[0] += 1\n"
        "    return F.cross_entropy(outputs, targets) * (float('inf') if COUNT[0] > 3 else 1)\n"
    )
    with pytest.raises(TrainingError, match=r"the loss \(mine\.py:f\) is inf at epoch 1, step 4"):
        fit(ARCH, data, _recipe(file, loss="f"), seed=0)


def test_the_time_of_a_loss_is_in_the_outlook(tmp_path: Path, data: ImageData) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch.nn.functional as F\nCOUNT = [0]\ndef f(outputs, targets):\n    COUNT[0] += 1\n"
        "    return F.cross_entropy(outputs, targets)\n"
    )
    training_times(ARCH, data, _recipe(file, loss="f"), seed=0, seconds=0.0)
    assert load_own(nas.own(f"{file}:COUNT"), "x")[0] >= 5


# Callbacks


def test_callbacks_hear_each_epoch_and_have_a_state(file: Path, data: ImageData, tmp_path: Path) -> None:
    recipe = _recipe(file, callbacks=["Listener"])
    seen = load_own(nas.own(f"{file}:Listener"), "x").SEEN
    seen.clear()
    plain = _history(data, replace(RECIPE, epochs=2))
    assert _history(data, recipe) == plain
    assert seen == [(1, pytest.approx(plain[0])), (2, pytest.approx(plain[1]))]
    seen.clear()
    budget = nas.Budget(epochs=1, schedule_epochs=2, checkpoint=str(tmp_path / "state.ckpt"))
    fit(ARCH, data, recipe, budget, seed=3)
    fit(ARCH, data, recipe, replace(budget, epochs=2), seed=3)
    assert [epoch for epoch, _ in seen] == [1, 2]  # the second training went on from the state of the first


def test_a_callback_that_fails_says_its_line(file: Path, data: ImageData) -> None:
    with pytest.raises(TrainingError, match=r"mine\.py:\d+, in Fails\.on_train_epoch_start: KeyError: 'mine'"):
        fit(ARCH, data, _recipe(file, callbacks=["Fails"]), seed=0)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_callback_that_fails_ends_its_trial_alone(file: Path, workers: int) -> None:
    evaluator = TrainingEvaluator(DATA, replace(_recipe(file, callbacks=["FailsAtWide"]), epochs=1))
    study = nas.run_search(SPACE, evaluator, trials=3, workers=workers, sampler="grid")
    states = {trial.genotype["stem.0.out_channels"]: trial.state for trial in study.trials}
    assert states == {4: State.COMPLETED, 8: State.COMPLETED, 16: State.FAILED}
    (failed,) = [trial for trial in study.trials if trial.state is State.FAILED]
    assert failed.reason is not None
    assert "mine.py:" in failed.reason
    assert "in FailsAtWide.on_fit_start: AssertionError: too wide" in failed.reason


CALLBACKS = {
    "an argument": ("class C:\n    def __init__(self, x): ...", r"train\.callbacks: mine\.py:C\(x\) does not fit"),
    "no callback": ("def C():\n    return 3", r"mine\.py:C must make a pytorch_lightning Callback, but got 3"),
    "it fails": ("def C():\n    return 1 / 0", r"mine\.py:2, in C: ZeroDivisionError: division by zero"),
    "of the other package": (
        "B = type('B', (), {'__module__': 'lightning.pytorch.callbacks'})\nclass C(B): ...",
        "that is of the package lightning: import pytorch_lightning as pl",
    ),
}


@pytest.mark.parametrize("what", CALLBACKS)
def test_what_is_no_callback_is_refused(tmp_path: Path, data: ImageData, what: str) -> None:
    source, message = CALLBACKS[what]
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(ConfigError, match=message):
        check_own_training(_recipe(file, callbacks=["C"]), data, "none")


# The logger


def test_a_logger_is_told_each_epoch(file: Path, data: ImageData) -> None:
    rows = _history(data, _recipe(file, logger="logger"))
    folder = file.parent / "logs" / ARCH.arch_id / "version_3"
    with (folder / "metrics.csv").open(newline="") as written:
        found = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(written)]
    assert [{name: row[name] for name in rows[0]} for row in found] == [pytest.approx(row) for row in rows]
    assert [row["step"] for row in found] == [0, 1]
    assert "lr: 0.003" in (folder / "hparams.yaml").read_text()


def test_a_logger_is_not_made_before_training(file: Path, data: ImageData) -> None:
    check_own_training(_recipe(file, logger="logger"), data, "none")
    assert not (file.parent / "logs").exists()
    file.write_text("def f(path): ...\ndef g(): ...\n")
    with pytest.raises(ConfigError, match=r"train\.logger: mine\.py:f\(path\) does not fit.*It is given arch_id, seed"):
        check_own_training(_recipe(file, logger="f"), data, "none")
    with pytest.raises(ConfigError, match="must make a pytorch_lightning Logger, but got None"):
        own_logger(_recipe(file, logger="g"), arch_id="a", seed=0)


# Where it is run


@pytest.mark.slow  # a process that loads torch
def test_workers_run_what_was_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what has become of the file since, nor from the place where it was."""
    module = file.with_name("my_data.py")
    module.write_text(
        "from sklearn.datasets import load_digits\nclass Set:\n    classes = ['0', '1', '2', '3']\n"
        "    def train(self):\n        bunch = load_digits(n_class=4)\n"
        "        return [(p.astype('uint8'), k) for p, k in zip(bunch.images, bunch.target)]\n"
    )
    config = DataConfig(name="own", module=nas.own(f"{module}:Set"))
    evaluator = TrainingEvaluator(config, replace(_recipe(file, loss="each"), epochs=1))
    for one in (file, module):
        one.unlink()
    pool = WorkerPool(evaluator, 1)
    try:
        study = nas.run_search(SPACE.for_data((1, 8, 8), 4), pool=pool, trials=1)
    finally:
        pool.close()
    assert study.trials[0].state is State.COMPLETED, study.trials[0].reason
    # A process that has neither the files nor what was sent cannot.
    monkeypatch.setattr(own_code, "_SOURCES", {})
    with pytest.raises(ConfigError, match="there is no file"):
        TrainingEvaluator(config, evaluator.recipe).prepare()


def test_a_search_says_at_its_start_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f(outputs, targets):\n    return 3\n")
    evaluator = TrainingEvaluator(DATA, _recipe(file, loss="f"))
    with pytest.raises(TrainingError, match="as a tensor of torch, but got int"):
        evaluator.prepare()


# A training


def test_a_training_is_gone_on_with_by_the_same_code(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(_recipe(file, loss="each", callbacks=["Listener"]), epochs=1)
    nas.train(ARCH, DATA, recipe, folder=tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "settings.json").read_text())["job"]["train"]
    assert saved["loss"] == recipe.loss
    assert saved["callbacks"] == [*(recipe.callbacks or ())]
    again = nas.train(ARCH, DATA, recipe, folder=tmp_path / "run", seeds=2, resume=True)
    assert [*again.evaluations] == [0, 1]
    file.write_text(SOURCE + "\n# another\n")
    with pytest.raises(ConfigError, match=r"resume: train\.loss was .*mine\.py:each#.* but is now .*mine\.py:each#"):
        nas.train(
            ARCH,
            DATA,
            replace(_recipe(file, loss="each", callbacks=["Listener"]), epochs=1),
            folder=tmp_path / "run",
            resume=True,
        )
    monkeypatch.setattr(own_code, "_SOURCES", {})
    with pytest.raises(ConfigError, match=r"train\.loss: .*mine\.py has been changed since it was named"):
        nas.train(ARCH, DATA, recipe, folder=tmp_path / "run", resume=True)
