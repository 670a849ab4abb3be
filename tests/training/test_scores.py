"""Scores of a classifier, against values worked out by hand, scikit-learn, torchmetrics and scipy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    top_k_accuracy_score,
)
from torchmetrics.functional.classification import multiclass_calibration_error

from nas.statistics import proportion_interval
from nas.training.scores import Scores, scores_of


def _hand() -> Scores:
    """Four images of three classes; probabilities that are easy to follow."""
    shares = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.25, 0.15, 0.6]])
    return scores_of(np.log(shares), np.array([0, 1, 1, 0]), ("a", "b", "c"), names=("w", "x", "y", "z"), worst=5)


def test_by_hand() -> None:
    scores = _hand()
    assert (scores.images, scores.correct, scores.accuracy) == (4, 2, 0.5)
    assert scores.confusion == ((1, 0, 1), (1, 1, 0), (0, 0, 0))
    assert scores.log_loss == pytest.approx(-(np.log(0.7) + np.log(0.3) + np.log(0.8) + np.log(0.25)) / 4)
    found = [(one.name, one.images, one.precision, one.recall, one.f1) for one in scores.classes]
    assert found[0] == ("a", 2, 0.5, 0.5, 0.5)
    assert found[1][:4] == ("b", 2, 1.0, 0.5)
    assert found[1][4] == pytest.approx(2 / 3)
    assert found[2] == ("c", 0, 0.0, 0.0, 0.0)
    # The least probability of the image's own class first.
    mistakes = [(one.image, one.name, one.label, one.predicted) for one in scores.worst]
    assert mistakes == [(3, "z", "a", "c"), (1, "x", "b", "a")]
    assert [one.probability for one in scores.worst] == pytest.approx([0.6, 0.5])
    assert [one.of_label for one in scores.worst] == pytest.approx([0.25, 0.3])
    # The class without images counts in neither mean but for its one wrong answer in F1.
    assert scores.balanced_accuracy == pytest.approx((0.5 + 0.5) / 2)
    assert scores.macro_f1 == pytest.approx((0.5 + 2 / 3 + 0) / 3)
    assert scores.top5 == 1.0
    # Each confidence is in a bin of its own: |1 - 0.7|, |0 - 0.5|, |1 - 0.8|, |0 - 0.6|.
    assert scores.calibration_error == pytest.approx((0.3 + 0.5 + 0.2 + 0.6) / 4)


def test_as_other_libraries_have_it() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 500)
    logits = rng.normal(0, 1.5, (500, 5))
    logits[np.arange(500), labels] += 1.5
    scores = scores_of(logits, labels, [*"abcde"])
    predicted = logits.argmax(1)
    shares = F.softmax(torch.from_numpy(logits), 1)
    assert scores.accuracy == (predicted == labels).mean()
    assert scores.log_loss == pytest.approx(log_loss(labels, shares.numpy()))
    for what, theirs in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        found = [getattr(one, what) for one in scores.classes]
        assert found == pytest.approx(list(theirs(labels, predicted, average=None)))
    theirs = multiclass_calibration_error(shares.float(), torch.from_numpy(labels), num_classes=5, n_bins=15)
    assert scores.calibration_error == pytest.approx(float(theirs), abs=1e-5)
    assert sum(one.images for one in scores.bins) == 500
    assert np.array(scores.confusion).sum() == 500
    assert len(scores.worst) == 24
    of_label = [one.of_label for one in scores.worst]
    assert of_label == sorted(of_label)


def test_the_scores_for_uneven_classes_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice(8, 400, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01, 0.0])
    logits = rng.normal(0, 1, (400, 8))
    logits[np.arange(400), labels] += 1
    scores, predicted = scores_of(logits, labels, [*"abcdefgh"]), logits.argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one class is named and has no images
        assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert scores.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=range(8)))
    found = (scores.accuracy, scores.balanced_accuracy, scores.macro_f1, scores.top5)
    assert len({round(one, 3) for one in found}) == 4


def test_large_logits_and_certainty() -> None:
    scores = scores_of(np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([0, 0]), ("a", "b"))
    assert scores.log_loss == pytest.approx(5e3)
    assert scores.calibration_error == pytest.approx(0.5)
    assert scores.worst[0].probability == 1.0


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (9_153, 10_000)])
def test_the_interval_is_scipys(hits: int, count: int) -> None:
    theirs = binomtest(hits, count).proportion_ci(0.95, "exact")
    assert proportion_interval(hits, count) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_rule_of_three() -> None:
    """Of 30 without a hit: at most about 3 / 30, one-sided at 95 %; two-sided 1 - 0.025^(1/30)."""
    assert proportion_interval(0, 30) == pytest.approx((0, 1 - 0.025 ** (1 / 30)))
