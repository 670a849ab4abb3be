"""Which way a score is better: by its name, or by what the user says, never by a guess."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import get_scorer_names

import nas
from nas.cost import METRICS
from nas.errors import ConfigError
from nas.evaluators.proxies.names import PROXY_NAMES
from nas.search.directions import direction_of
from nas.search.objectives import objectives_from
from nas.training.data.registry import DATA_SETS
from tests.search.conftest import SMALL


def _names(text: str) -> list[str]:
    return text.split()


# `higher_is_better` in the documentation of torchmetrics.
HIGHER = _names(
    "accuracy auroc average_precision f1_score fbeta_score recall precision specificity dice_score cohen_kappa psnr "
    "ssim r2_score bleu_score mean_average_precision sensitivity"
)
LOWER = _names(
    "mean_squared_error mean_absolute_error mean_absolute_percentage_error mean_squared_log_error perplexity "
    "word_error_rate char_error_rate kl_divergence hinge_loss calibration_error lpips fid log_cosh_error "
    "symmetric_mean_absolute_percentage_error minkowski_error"
)
SHORT = _names(
    "error_rate rmse mae nll mse RMSE wer ppl err Loss logloss valLoss top1Err dice_loss cross_entropy bits_per_dim"
)
UNSAID = _names(
    "fit value latency energy top1 error_reduction accuracy_gap accuracy_drop neg_mse 1-accuracy -loss one_minus_acc "
    "loss_std entropy accuracy_vs_error error_accuracy_tradeoff Güte feature_map_size 5-shot-accuracy "
    # What a word that is not known makes of a measure.
    "time_to_accuracy seconds_to_accuracy epochs_to_accuracy steps_to_success energy_per_accuracy map_time fid_time "
    "accuracy_degradation accuracy_deficit accuracy_decline accuracy_deterioration accuracy_fall accuracy_hit "
    "wrong_accuracy lost_accuracy lostaccuracy negated_accuracy missing_accuracy unaccuracy loss_accuracy "
    "error_detection_rate error_correction error_robustness error_coverage loss_resistance errors_fixed calibration "
    "score_of_loss cost_accuracy"
)


@pytest.mark.parametrize("name", [*HIGHER, "acc", "acc@5", "mIoU", "mAP@0.5", "valAccuracy", "score", *PROXY_NAMES])
def test_better_large(name: str) -> None:
    assert direction_of(name) == "maximize"


@pytest.mark.parametrize("name", [*LOWER, *SHORT, "false_positive_rate", "neg_log_likelihood", *METRICS])
def test_better_small(name: str) -> None:
    assert direction_of(name) == "minimize"


@pytest.mark.parametrize("before", ["", "val_", "test_", "top5_", "cifar10-", "night.", "Val "])
@pytest.mark.parametrize("after", ["", "_mean", "_top5", "@1", "_per_token", "_at_10", "_final", "_ema"])
@pytest.mark.parametrize(("word", "direction"), [("accuracy", "maximize"), ("error", "minimize"), ("rmse", "minimize")])
def test_what_stands_around_a_word_changes_nothing(before: str, after: str, word: str, direction: str) -> None:
    assert direction_of(before + word + after) == direction


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_the_name_of_a_data_set_changes_nothing(data_set: str) -> None:
    assert direction_of(f"{data_set}_val_accuracy") == "maximize"
    assert direction_of(f"val_loss_{data_set}") == "minimize"


@pytest.mark.parametrize("name", UNSAID)
def test_what_a_name_does_not_say_is_asked_for(name: str) -> None:
    assert direction_of(name) is None
    with pytest.raises(ConfigError, match=r"search\.direction.*direction='minimize'"):
        nas.run_search(nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=1, objective=name)
    assert objectives_from(name, "maximize")[0].sign == 1


def test_scikit_learn_turns_errors_round_by_neg() -> None:
    """Its scorers are all better large, and `neg_` marks those that were errors: none of these may be minimized."""
    for name in get_scorer_names():
        assert direction_of(name) != "minimize", name
    assert {direction_of(name.removeprefix("neg_")) for name in get_scorer_names() if name.startswith("neg_mean")} == {
        "minimize",
    }


WORDS = st.text(string.ascii_lowercase, min_size=4, max_size=9).map(lambda word: f"x{word}")


@given(WORDS, st.sampled_from([*HIGHER, *LOWER]), st.booleans())
def test_no_word_that_is_not_known_stands_beside_a_measure(word: str, measure: str, first: bool) -> None:
    assert direction_of(f"{word}_{measure}" if first else f"{measure}_{word}") is None


@given(st.text(st.sampled_from(string.ascii_letters + "_-@. 019é"), max_size=20))
def test_any_name_gets_an_answer(name: str) -> None:
    assert direction_of(name) in ("maximize", "minimize", None)


def test_the_smallest_error_is_the_best(space: nas.SearchSpace) -> None:
    def wrong(arch: nas.Architecture, *_: Any) -> dict[str, float]:
        return {"top5_error_rate": nas.cost_of(arch).params / 1e6}

    study = nas.run_search(space, wrong, trials=15, objective="top5_error_rate", seed=0)
    errors = [trial.scores["top5_error_rate"] for trial in study.trials]
    assert study.best(1)[0].scores["top5_error_rate"] == min(errors) < max(errors)


def test_each_objective_has_a_direction_of_its_own() -> None:
    with pytest.raises(ConfigError, match=r"search\.direction=\[maximize,minimize,minimize\]"):
        objectives_from(["val_accuracy", "macs", "joules"])
    with pytest.raises(ConfigError, match="one for each of the objectives"):
        objectives_from(["joules", "macs"], "minimize")  # it might be meant for one of them only
    with pytest.raises(ConfigError, match="Did you mean 'minimize'"):
        objectives_from("joules", "minimise")


def test_an_old_study_keeps_the_direction_that_it_began_with(space: nas.SearchSpace, tmp_path: Path) -> None:
    """Names that were maximized unasked, and names that say nothing, go on as recorded."""
    for name, folder in (("error", tmp_path / "a"), ("fit", tmp_path / "b")):
        same: dict[str, Any] = {"objective": name, "seed": 0, "run_dir": folder}
        nas.run_search(space, lambda arch, *_: float(nas.cost_of(arch).params), trials=3, direction="maximize", **same)
        assert json.loads((folder / "study.json").read_text())["direction"] == ["maximize"]
        study = nas.run_search(space, lambda arch, *_: float(nas.cost_of(arch).params), trials=9, resume=True, **same)
        assert study.best(1)[0].scores[name] == max(trial.scores[name] for trial in study.trials)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("hingeloss", "minimize"),
        ("focalerror", "minimize"),
        ("valaccuracy", "maximize"),
        ("hingeaccuracy", None),  # a kind of loss, which no accuracy has
    ],
)
def test_words_that_are_written_together(name: str, direction: str | None) -> None:
    assert direction_of(name) == direction
