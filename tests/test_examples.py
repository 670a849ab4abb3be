"""The search in one file does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

import nas
from examples import mini_nas

FILE = Path(mini_nas.__file__)
LIMITS = {"params": 5e5, "macs": 2e6}
WORDS = ["--trials", "2", "--epochs", "1"]


def test_it_can_be_read_in_ten_minutes() -> None:
    assert len(FILE.read_text().splitlines()) <= 300


@pytest.mark.parametrize("sampler", ["default", pytest.param("random", marks=pytest.mark.slow)])
def test_a_search(sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    study = mini_nas.main([*WORDS, "--sampler", sampler])
    trained = [trial for trial in study.trials if "architecture" in trial.user_attrs]
    assert len(trained) == 2
    for trial in study.trials:
        over = {name for name, excess in trial.constraints.items() if excess > 0}
        assert set(trial.constraints) == set(LIMITS)
        assert (trial.state is TrialState.PRUNED) == bool(over)
        assert bool(over) <= ("architecture" not in trial.user_attrs)
    (train, _), (_, labels) = mini_nas.digits()
    space = nas.load_space("mbconv").for_data(tuple(train.shape[1:]), 10)
    for trial in trained:
        architecture = nas.Architecture.from_json(trial.user_attrs["architecture"])
        assert space.decode(trial.params) == architecture
        assert architecture.arch_id == trial.user_attrs["arch_id"]
        cost = nas.cost_of(architecture)
        assert cost.params <= LIMITS["params"]
        assert cost.macs <= LIMITS["macs"]
        assert trial.constraints["params"] == pytest.approx(cost.params / LIMITS["params"] - 1)
        assert sum(p.numel() for p in nas.build(architecture).parameters()) == cost.params
        assert trial.value is not None
        assert round(trial.value * len(labels), 3) % 1 == 0  # a share of the validation split
    best = max(trained, key=lambda trial: trial.value or 0.0)
    assert study.best_value == best.value
    cost = nas.cost_of(nas.Architecture.from_json(best.user_attrs["architecture"]))
    shown = capsys.readouterr().out
    assert (
        f"Best: trial {best.number}, validation accuracy {best.value:.4f}, arch_id {best.user_attrs['arch_id']}"
        in shown
    )
    assert f"{cost.params:,} params, {cost.macs:,} MACs" in shown
    assert shown.count("over a limit") == len(study.get_trials(states=[TrialState.PRUNED]))

    # The samplers of nas know the limits; random choice does not.
    assert (len(study.trials) == len(trained)) == (sampler == "default")


@pytest.mark.slow  # three searches
def test_the_same_seed_gives_the_same_trials() -> None:
    first, second, other = (
        mini_nas.search(trials=1, epochs=1, limits=LIMITS, sampler="random", seed=seed).trials for seed in (1, 1, 2)
    )
    assert [(trial.params, trial.values) for trial in first] == [(trial.params, trial.values) for trial in second]
    assert first[0].params != other[0].params


def test_its_splits_share_no_image_and_leave_the_test_split_out() -> None:
    (train, train_labels), (val, val_labels) = mini_nas.digits()
    assert (len(train), len(val)) == (1149, 288)  # of 1,797; 360 are the test split
    assert train.shape[1:] == val.shape[1:] == (1, 8, 8)
    assert abs(float(train.mean())) < 1e-5
    for labels in (train_labels, val_labels):
        assert sorted(set(labels.tolist())) == list(range(10))
    assert not {image.numpy().tobytes() for image in train} & {image.numpy().tobytes() for image in val}


def test_limits_that_nothing_holds_end_it() -> None:
    with pytest.raises(SystemExit, match="no network of the space was found that holds"):
        mini_nas.main(["--trials", "1", "--params", "10", "--sampler", "random"])
