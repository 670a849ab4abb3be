"""Parts of a network by depth, what learns when, and the last layer by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

import nas
from nas.errors import ConfigError
from nas.training.transfer.features import FeatureBatches, split_before_last_layer
from nas.training.transfer.parts import parameter_groups, parts_by_depth, trained_parts
from nas.training.transfer.settings import Transfer
from tests.training.test_fit import ARCH, RECIPE
from tests.training.transfer.test_published_weights import reference


def test_parts_go_from_the_input_to_the_last_layer() -> None:
    network = nas.build(reference("mobilenet_v2", 32))
    parts = parts_by_depth(network)
    assert [name for part in parts for name in part] == [name for name, _ in network.named_parameters()]
    firsts = [next(iter(part)) for part in parts]
    assert firsts[:3] == ["stem.0.conv.weight", "stages.0.blocks.0.depthwise.conv.weight",
                          "stages.1.blocks.0.expand.conv.weight"]  # fmt: skip
    assert [*parts[-2]] == ["head.0.conv.weight", "head.0.norm.weight", "head.0.norm.bias"]
    assert [*parts[-1]] == ["head.1.linear.weight", "head.1.linear.bias"]
    assert len(parts) == 1 + 17 + 2  # of Sandler et al. 2018, table 2: blocks 1 + 2 + 3 + 4 + 3 + 3 + 1


def test_auxiliary_classifiers_learn_with_the_last_layer() -> None:
    network = nas.build(nas.load_space("reference/googlenet", auxiliary=1).for_data((3, 64, 64), 5).decode({}))
    last = parts_by_depth(network)[-1]
    assert {name.partition(".")[0] for name in last} == {"auxiliary", "head"}
    assert all(not name.startswith("auxiliary") for part in parts_by_depth(network)[:-1] for name in part)


def test_a_network_of_another_kind_is_one_part() -> None:
    assert [[*part] for part in parts_by_depth(nn.Linear(2, 2))] == [["weight", "bias"]]


def test_learning_rates_fall_with_depth() -> None:
    network = nas.build(ARCH)  # stem, a block, and the last layer
    recipe = replace(RECIPE, lr=0.1, weight_decay=0.3)
    groups = parameter_groups(network, recipe, Transfer(weights="w", lr_decay=0.5))
    names = {id(value): name for name, value in network.named_parameters()}
    rates = {names[id(value)]: (group["lr"], group["weight_decay"]) for group in groups for value in group["params"]}
    assert rates.keys() == set(names.values())
    assert rates["head.0.linear.weight"] == (0.1, 0.3)
    assert rates["head.0.linear.bias"] == (0.1, 0.0)
    assert rates["stages.0.blocks.0.expand.conv.weight"] == (pytest.approx(0.05), 0.3)
    assert rates["stem.0.conv.weight"] == (pytest.approx(0.025), 0.3)
    assert rates["stem.0.norm.bias"] == (pytest.approx(0.025), 0.0)
    assert "lr" not in parameter_groups(network, recipe, Transfer(weights="w"))[0]


@pytest.mark.parametrize(
    ("share", "counts"),
    [
        (0.5, [1, 2, 3, 4, 5, 5, 5, 5]),
        (1.0, [1, 1, 2, 2, 3, 4, 4, 5]),
        (0.0, [5] * 8),
        (0.125, [1, 5, 5, 5, 5, 5, 5, 5]),
    ],
)
def test_parts_are_added_evenly(share: float, counts: list[int]) -> None:
    assert [trained_parts(5, epoch, 8, share) for epoch in range(8)] == counts


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1", "vit_tiny_16"])
def test_both_halves_give_what_the_network_gives(name: str) -> None:
    network = nas.build(reference(name, 32)).eval()
    backbone, last = split_before_last_layer(network)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(last(backbone(x)), network(x))
    weights = [key for key, _ in last.named_parameters()]
    assert weights == [key for key, _ in network.named_parameters()][-2:]
    assert last.get_parameter(weights[0]) is network.get_parameter(weights[0])
    assert not {*weights} & {key for key, _ in backbone.named_parameters()}


def test_dropout_is_in_the_second_half_and_auxiliary_classifiers_in_none() -> None:
    network = nas.build(nas.load_space("reference/googlenet", auxiliary=1).for_data((3, 64, 64), 5).decode({}))
    backbone, last = split_before_last_layer(network)
    assert any(isinstance(module, nn.Dropout) for module in last.modules())
    assert isinstance(last.train()(backbone.train()(torch.randn(2, 3, 64, 64))), torch.Tensor)


def test_batches_of_features_come_in_an_order_of_their_epoch() -> None:
    features, labels, epoch = torch.arange(10.0)[:, None], torch.arange(10), [0]

    def walk(batches: FeatureBatches) -> list[int]:
        found = [(x[:, 0].tolist(), y.tolist()) for x, y in batches]
        assert all(x == y for x, y in found)
        assert len(found) == len(batches) == 3
        return [label for _, y in found for label in y]

    plain = FeatureBatches(features, labels, 4)
    assert walk(plain) == [*range(10)]
    shuffled = FeatureBatches(features, labels, 4, 7, lambda: epoch[0])
    first = walk(shuffled)
    assert sorted(first) == [*range(10)] != first
    assert walk(shuffled) == first
    epoch[0] = 1
    assert walk(shuffled) != first
    uneven = torch.tensor([0] * 9 + [1])
    drawn = [y for _, ys in FeatureBatches(features, uneven, 4, 7, lambda: 0, balanced=True) for y in ys.tolist()]
    assert Counter(drawn)[1] > 1


def test_settings_of_a_transfer_need_weights() -> None:
    with pytest.raises(ConfigError, match=r"transfer.style=features is for .*: give transfer.weights=FILE"):
        Transfer(style="features")
    with pytest.raises(ConfigError, match=r"transfer.style: unknown 'feature'. Did you mean 'features'"):
        Transfer(weights="w", style="feature")
    with pytest.raises(ConfigError, match="lr_decay"):
        Transfer(weights="w", lr_decay=0.0)
