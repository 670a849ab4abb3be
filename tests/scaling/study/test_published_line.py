"""EfficientNet's published line."""

import dataclasses

import nas
from nas.scaling.study.published_efficientnet import applies, published_family, published_lines

# Tan & Le 2019, "EfficientNet", table 2: top-1 accuracy, parameters and multiply-adds as the paper rounds them.
TABLE_2 = {
    "efficientnet_b0": (0.771, 5.3e6, 0.39e9),
    "efficientnet_b1": (0.791, 7.8e6, 0.70e9),
    "efficientnet_b2": (0.801, 9.2e6, 1.0e9),
    "efficientnet_b3": (0.816, 12e6, 1.8e9),
    "efficientnet_b4": (0.829, 19e6, 4.2e9),
    "efficientnet_b5": (0.836, 30e6, 9.9e9),
    "efficientnet_b6": (0.840, 43e6, 19e9),
    "efficientnet_b7": (0.843, 66e6, 37e9),
}


def test_it_is_the_paper_s_table() -> None:
    found = {one.name: one for one in published_family()}
    assert found.keys() == TABLE_2.keys()
    for name, (top1, params, macs) in TABLE_2.items():
        assert abs(1 - found[name].error - top1) < 1e-9
        assert abs(found[name].cost.params / params - 1) < 0.04, name
        assert abs(found[name].cost.macs / macs - 1) < 0.06, name
    assert len(published_lines(list(found.values()))) == 4 + len(TABLE_2)


def test_it_stands_beside_networks_for_the_same_task_only() -> None:
    arch = nas.load_space("reference/resnet18").decode({})
    assert applies([arch])
    assert not applies([arch, dataclasses.replace(arch, num_classes=10)])
    assert not applies([dataclasses.replace(arch, input_shape=(1, 224, 224))])
    assert not applies([dataclasses.replace(arch, input_shape=(3, 224))])
