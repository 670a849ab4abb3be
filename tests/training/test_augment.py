"""Erased rectangles and mixed pairs, against values worked out by hand and plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.training.augment import Mixed, erased, mixed
from nas.training.tasks.classification import CLASSIFICATION


def _images(count: int, channels: int = 2, size: tuple[int, int] = (12, 10)) -> tuple[Tensor, Tensor]:
    """Image number i is all i + 1, so that a pixel says which image it comes from."""
    inputs = torch.arange(1.0, count + 1).view(-1, 1, 1, 1).expand(count, channels, *size).clone()
    return inputs, torch.arange(count)


class _Fixed(np.random.Generator):
    """Gives the numbers that a test says, in place of random ones."""

    def __init__(self, share: list[float], order: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self._share, self._order = share, order

    def beta(self, *_: object, **__: object) -> np.ndarray:  # type: ignore[override]
        return np.array(self._share)

    def permutation(self, *_: object, **__: object) -> np.ndarray:
        return np.array(self._order)


def test_mixup_is_the_sum_by_shares() -> None:
    """Zhang et al. 2018, equation 1: lambda x_i + (1 - lambda) x_j, and the same of the labels."""
    inputs, labels = _images(3)
    found = mixed(inputs, labels, mixup=0.2, cutmix=0, rng=_Fixed([0.25, 1.0, 0.5], [2, 0, 1]))
    # 0.25 * 1 + 0.75 * 3, 1 * 2, 0.5 * 3 + 0.5 * 2
    expected = torch.tensor([2.5, 2.0, 2.5]).view(-1, 1, 1, 1).expand_as(inputs)
    assert torch.equal(found.inputs, expected)
    assert found.partners is not None
    assert found.partners.tolist() == [2, 0, 1]
    assert found.share is not None
    assert found.share.tolist() == [0.25, 1.0, 0.5]
    assert found.larger.tolist() == [2, 1, 2]


def test_the_loss_of_a_mixture_is_that_of_soft_labels() -> None:
    """Cross-entropy with class probabilities, which torch has itself."""
    torch.manual_seed(0)
    logits, labels, partners = torch.randn(4, 5), torch.tensor([0, 1, 2, 3]), torch.tensor([4, 1, 0, 3])
    share = torch.tensor([0.3, 0.8, 1.0, 0.5])
    soft = share[:, None] * F.one_hot(labels, 5) + (1 - share)[:, None] * F.one_hot(partners, 5)
    for smoothing in (0.0, 0.1):
        expected = F.cross_entropy(logits, soft, label_smoothing=smoothing)
        found = Mixed(torch.empty(0), labels, partners, share).loss(logits, CLASSIFICATION.loss(None, smoothing))
        torch.testing.assert_close(found, expected)
        plain = Mixed(torch.empty(0), labels).loss(logits, CLASSIFICATION.loss(None, smoothing))
        torch.testing.assert_close(plain, F.cross_entropy(logits, labels, label_smoothing=smoothing))


@pytest.mark.parametrize("size", [(12, 10), (1, 7), (32, 32)])
def test_cutmix_pastes_one_rectangle_and_counts_its_pixels(size: tuple[int, int]) -> None:
    inputs, labels = _images(64, size=size)
    found = mixed(inputs, labels, mixup=0, cutmix=1.0, rng=np.random.default_rng(3))
    assert found.partners is not None
    assert found.share is not None
    for i in range(64):
        own, other = i + 1.0, float(found.partners[i]) + 1
        values = set(found.inputs[i].flatten().tolist())
        assert values <= {own, other}
        if own != other:
            pasted = found.inputs[i] == other
            assert torch.equal(pasted[0], pasted[1]), "every channel at the same place"
            rows, columns = pasted[0].any(1), pasted[0].any(0)
            assert torch.equal(pasted[0], rows[:, None] & columns[None]), "a rectangle"
            assert found.share[i] == pytest.approx(1 - pasted[0].float().mean().item(), abs=1e-6)


def test_a_rectangle_of_cutmix_has_its_share_where_it_is_not_cut() -> None:
    """Lambda 0.75 leaves a quarter to the other image: half of each side (Yun et al. 2019, equation 2)."""
    inputs, labels = _images(400, size=(16, 16))
    order = [*range(1, 400), 0]
    found = mixed(inputs, labels, mixup=0, cutmix=1.0, rng=_Fixed([0.75] * 400, order))
    assert found.share is not None
    assert found.share.min() == 0.75  # 8 by 8 of 16 by 16; those at the edges are cut
    assert (found.share == 0.75).float().mean() > 0.2
    assert found.share.max() < 1


def test_with_both_each_image_is_mixed_by_one() -> None:
    inputs, labels = _images(400)
    found = mixed(inputs, labels, mixup=1.0, cutmix=1.0, rng=np.random.default_rng(0))
    assert found.partners is not None
    assert found.share is not None
    kinds = [len(set(image.flatten().tolist())) for image in found.inputs]
    blended = [
        kind == 1 and value not in (own + 1, other + 1)
        for kind, value, own, other in zip(
            kinds, found.inputs[:, 0, 0, 0].tolist(), labels.tolist(), found.partners.tolist(), strict=True
        )
    ]
    assert 120 < sum(blended) < 280
    assert sum(kind == 2 for kind in kinds) > 100
    for image, share, own, other in zip(found.inputs, found.share, labels + 1, found.partners + 1, strict=True):
        # Either way the mean of an image is that of the two by their shares.
        assert image.mean().item() == pytest.approx((share * own + (1 - share) * other).item(), rel=1e-4)


def test_shares_are_of_a_beta_distribution() -> None:
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1))."""
    inputs, labels = _images(20_000, channels=1, size=(1, 1))
    share = mixed(inputs, labels, mixup=0.2, cutmix=0, rng=np.random.default_rng(0)).share
    assert share is not None
    assert share.mean().item() == pytest.approx(0.5, abs=0.012)
    assert share.var().item() == pytest.approx(1 / (4 * 1.4), abs=0.004)


def test_nothing_is_mixed_or_erased_where_nothing_is_asked_for() -> None:
    inputs, labels = _images(4)
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    found = mixed(erased(inputs, 0.0, rng), labels, mixup=0, cutmix=0, rng=rng)
    assert found.inputs is inputs
    assert found.labels is labels
    assert rng.bit_generator.state == before


def test_erased_rectangles_have_the_sizes_of_the_paper() -> None:
    inputs, _ = _images(2000, size=(40, 40))
    found = erased(inputs, 0.5, np.random.default_rng(1))
    assert torch.equal(inputs, _images(2000, size=(40, 40))[0]), "what is given stays as it is"
    gone = found == 0
    assert torch.equal(gone[:, 0], gone[:, 1])
    gone = gone[:, 0]
    assert torch.equal(found[~gone[:, None].expand_as(found)], inputs[~gone[:, None].expand_as(inputs)])
    rows, columns = gone.any(2), gone.any(1)
    assert torch.equal(gone, rows[:, :, None] & columns[:, None, :])
    some = gone.any((1, 2))
    assert 0.45 < some.float().mean() < 0.55
    area = gone[some].float().mean((1, 2))
    assert area.min() > 0.015
    assert area.max() < 0.345
    assert 0.15 < area.mean() < 0.2  # (0.02 + 0.33) / 2, less where a side is cut off
    aspect = rows[some].sum(1) / columns[some].sum(1)
    assert 0.25 < aspect.min() < 0.5
    assert 2 < aspect.max() < 4.0
    # Every place can go.
    assert gone.float().mean(0).min() > 0


def test_the_same_numbers_give_the_same_batch() -> None:
    inputs, labels = _images(16)
    runs = [
        mixed(erased(inputs, 0.5, rng), labels, mixup=0.4, cutmix=1.0, rng=rng).inputs
        for rng in (np.random.default_rng(s) for s in (1, 1, 2))
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
