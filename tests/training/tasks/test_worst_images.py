"""The images that a network is most wrong about are mistakes, the worst first."""

from __future__ import annotations

import numpy as np

from nas.training.scores_of_answers import scores_of_answers
from nas.training.scores_of_maps import scores_of_maps
from nas.training.tasks.registry import TASKS


def test_images_with_all_classes_right_are_not_among_them() -> None:
    answers = np.array([[0.51, 0.49], [0.9, 0.6], [0.4, 0.4], [0.2, 0.9]])
    targets = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], dtype=np.float32)
    found = scores_of_answers(TASKS["multilabel"], answers, targets, ["a", "b"])
    assert [(one.image, one.label, one.predicted) for one in found.worst] == [(3, "a", "b"), (1, "a", "a | b")]
    assert not scores_of_answers(TASKS["multilabel"], answers[:1], targets[:1], ["a", "b"]).worst


def test_numbers_that_are_just_right_are_not_among_them() -> None:
    answers, targets = np.array([[1.0], [2.5], [3.0]]), np.array([[1], [2], [4]], dtype=np.float32)
    found = scores_of_answers(TASKS["regression"], answers, targets, ["n"], deviations=[1.0], worst=24)
    assert [one.image for one in found.worst] == [2, 1]


def test_maps_without_a_wrong_pixel_that_counts_are_not_among_them() -> None:
    masks = np.array([[[0, 1]], [[0, 255]], [[1, 1]]], dtype=np.uint8)
    told = np.array([[[0, 1]], [[0, 1]], [[1, 0]]], dtype=np.uint8)
    assert [one.image for one in scores_of_maps(TASKS["segmentation"], told, masks, ["a", "b"]).worst] == [2]
    assert len(scores_of_maps(TASKS["segmentation"], 1 - masks, masks, ["a", "b"], worst=2).worst) == 2
