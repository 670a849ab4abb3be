"""What a block is where a space says no more than it must: as its paper, or torch, has it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from nas.network.registry import block_kind, block_names

NORMAL: dict[str, Any] = {"norm": "batch", "activation": "relu"}

DEFAULTS: dict[str, dict[str, Any]] = {
    # torch.nn.AvgPool2d and MaxPool2d: the stride is the kernel, no padding, zeros of the padding count.
    "avg_pool": {"kernel": 2, "stride": 2, "padding": 0, "count_padding": True},
    "max_pool": {"kernel": 2, "stride": 2, "padding": 0, "ceil": False},
    "global_pool": {"kind": "avg"},
    # Zhang 2019, "Making convolutional networks shift-invariant again", section 3: the triangle of 3.
    "blur_pool": {"kernel": 3, "stride": 2},
    "max_blur_pool": {"kernel": 3, "stride": 2},
    "adaptive_pool": {},
    "auxiliary": {},
    "cell": {"output": "last"},
    "classifier": {
        "dropout": 0.0, "hidden": None, "hidden_layers": 1, "activation": "relu", "pool": "avg", "pool_size": 1,
    },
    "conv_classifier": {"dropout": 0.0, "activation": "relu"},
    "pixel_classifier": {"dropout": 0.0},
    "token_classifier": {"pool": "token", "dropout": 0.0},
    # The order of Ioffe & Szegedy 2015: convolution, normalisation, activation, and no bias before a norm.
    "conv": {
        "kernel": 3, "stride": 1, "padding": None, "dilation": 1, "groups": 1, "bias": None, "order": "conv_norm_act",
        **NORMAL,
    },
    # Liu et al. 2022, figure 4 and table 5: 7x7 depthwise, four times as wide inside, layer scale of 1e-6.
    "convnext": {
        "kernel": 7, "stride": 1, "expand_ratio": 4.0, "layer_scale": 1e-6, "drop_path": 0.0, "activation": "gelu",
    },
    # Huang et al. 2017, section 3: a bottleneck of 4k; transitions keep half of the channels (DenseNet-BC).
    "dense_layer": {"bottleneck": 4, "kernel": 3, "dropout": 0.0, **NORMAL},
    "transition": {"compression": 0.5, "stride": 2, **NORMAL},
    # Lin et al. 2017, section 3: 256 channels at every level.
    "feature_pyramid": {"out_channels": 256, "extra_level": False},
    # Iandola et al. 2016: ReLU, no normalisation, and the bypass only in a variant.
    "fire": {"bypass": False, "norm": None, "activation": "relu"},
    # Tan & Le 2021, table 4: SiLU, no squeeze-and-excitation in fused blocks, four times as wide inside.
    "fused_mbconv": {
        "kernel": 3, "stride": 1, "expand_ratio": 4.0, "se_ratio": 0.0, "activation": "silu", "drop_path": 0.0,
    },
    "identity": {"out_channels": None, "stride": 1},
    "zero": {"stride": 1},
    # Szegedy et al. 2015, figure 2b: 1x1, 3x3 and 5x5.
    "inception": {"large_kernel": 5, **NORMAL},
    "inception_a": {}, "inception_b": {}, "inception_c": {}, "inception_reduce_a": {}, "inception_reduce_b": {},
    "linear": {"activation": "relu", "dropout": 0.0},
    # Krizhevsky et al. 2012, section 3.3: n = 5, alpha = 1e-4, beta = 0.75, k = 2.
    "local_response_norm": {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2},
    # Sandler et al. 2018, section 5: an expansion of 6, ReLU6, linear at the end.
    "mbconv": {
        "kernel": 3, "stride": 1, "expand_ratio": 6.0, "hidden_channels": None, "se_ratio": 0.0, "se_of": "input",
        "se_divisor": 1, "se_activation": None, "se_gate": "sigmoid", "activation": "relu6", "drop_path": 0.0,
    },
    "norm_act": {"dropout": 0.0, **NORMAL},
    "parallel": {"join": "concat", "crop": False, "activation": None},
    # Dosovitskiy et al. 2021, section 3.1: patches of 16, a class token; four times as wide inside, GELU.
    "patch_embed": {"patch": 16, "class_token": True, "dropout": 0.0},
    "transformer_encoder": {"mlp_ratio": 4.0, "dropout": 0.0, "drop_path": 0.0, "activation": "gelu"},
    # He et al. 2016, "Identity mappings in deep residual networks".
    "preact_basic": {"kernel": 3, "stride": 1, "dropout": 0.0, "drop_path": 0.0, **NORMAL},
    "preact_bottleneck": {"kernel": 3, "stride": 1, "reduction": 4.0, "drop_path": 0.0, **NORMAL},
    # He et al. 2016, figure 5 and section 4.1: a quarter inside, projections where shapes change (option B). The stride
    # is in the 3x3 convolution, as in ResNet v1.5 of torchvision.
    "residual_basic": {
        "kernel": 3, "stride": 1, "shortcut": "projection", "se_ratio": 0.0, "se_divisor": 1, "dropout": 0.0,
        "drop_path": 0.0, "anti_alias": False, **NORMAL,
    },
    "residual_bottleneck": {
        "kernel": 3, "stride": 1, "reduction": 4.0, "groups": 1, "stride_in": "conv", "shortcut": "projection",
        "se_ratio": 0.0, "se_divisor": 1, "drop_path": 0.0, "anti_alias": False, **NORMAL,
    },
    "separable_conv": {"kernel": 3, "stride": 1, "dilation": 1, **NORMAL},
    "shuffle_unit": {"groups": 2, "reduce_groups": None, "kernel": 3, "stride": 1, "activation": "relu"},
    # Ronneberger et al. 2015, section 2: "a 2x2 convolution (up-convolution)".
    "up_conv": {"kernel": 2, "stride": 2, "padding": 0, "norm": None, "activation": None},
    "upsampled": {"mode": "nearest"},
}  # fmt: skip


def test_every_block_is_listed() -> None:
    assert set(DEFAULTS) == {name for name in block_names() if block_kind(name).function.__module__.startswith("nas.")}


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_is_not_said_is_as_published(name: str) -> None:
    parameters = block_kind(name).settings.items()
    found = {setting: one.default for setting, one in parameters if one.default is not inspect.Parameter.empty}
    assert found == DEFAULTS[name]
