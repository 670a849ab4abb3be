"""Whoever reads an interval is told what it is of: wherever one is, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from nas.evaluation import Evaluation
from nas.training.card import card_of_training
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.recipe import Recipe
from nas.training.scores import scores_of
from nas.training.scores_of_answers import scores_of_answers
from nas.training.scores_of_maps import scores_of_maps
from nas.training.tasks.registry import TASKS

RIGHT = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]


def _evaluated(task: str) -> dict[str, object]:
    names = ["a", "b", "c"]
    if task == "classification":
        return scores_of(RIGHT.astype(np.float64), RIGHT.argmax(1), names).to_dict()
    if task == "segmentation":
        maps = RIGHT.argmax(1).astype(np.uint8).reshape(2, 1, 3)
        return scores_of_maps(TASKS[task], maps, maps, names).to_dict()
    return scores_of_answers(TASKS[task], RIGHT.astype(np.float64), RIGHT, names, deviations=[1.0] * 3).to_dict()


@pytest.mark.parametrize("task", TASKS)
def test_an_evaluation_says_what_its_intervals_are_of(task: str) -> None:
    found = _evaluated(task)
    said = found["interval"]
    if task == "regression":
        assert (said, found["intervals"]) == ("none of these scores has an interval", {})
    else:
        assert "over the images" in str(said)
        assert found.get("intervals") or {"low", "high"} <= found.keys()


@pytest.mark.parametrize(
    ("accuracies", "over"),
    [([0.9], "images"), ([0.9, 0.9], "images"), ([0.9, 0.8], "seeds"), ([1.0, 1.0, 1.0], "images")],
)
def test_a_card_of_a_training_says_what_its_interval_is_over(accuracies: list[float], over: str) -> None:
    trained = {seed: Evaluation(scores={"val_accuracy": value}) for seed, value in enumerate(accuracies)}
    card = card_of_training("x", Recipe(), load_data(DataConfig()), trained, settings=DataConfig(), images=300)
    first, *others = card.scores
    assert first.low is not None
    assert first.how.endswith(f"; interval over {over}")
    assert all(one.how.endswith("; interval over images") for one in others)


def test_a_card_speaks_of_no_interval_where_there_is_none() -> None:
    from nas.training.summary import score_of

    found = score_of(TASKS["segmentation"].score("mean_iou"), [0.5, 0.5], 20)
    assert (found["low"], found["high"]) == (None, None)
    assert "Student" not in found["interval"]
    assert "one training tells none" in found["interval"]
    assert "came to the same" in found["interval"]
