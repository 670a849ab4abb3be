"""The primitive operations: for each its output shape, parameters, multiply-adds, memory and window.

This is the one place that knows them; `base.Op` says what each states. A shape is a tuple without the batch:
`(channels, *map)` with one map size a spatial dimension, `(features,)` after flattening, or `Tokens`
`(number, features)` in a transformer.
"""

from nas.network.ops.attention import ClassToken, MeanToken, PositionEmbedding, SelfAttention, TakeToken, ToTokens
from nas.network.ops.base import (
    MAX_DIMS,
    Input,
    Ints,
    Kind,
    Op,
    Shape,
    Tokens,
    Window,
    kind_of,
    needs,
    needs_map,
)
from nas.network.ops.convolution import Blur, Conv, ConvTranspose, Linear
from nas.network.ops.normalisation import BatchNorm, GroupNorm, LayerNorm, LayerScale, LocalResponseNorm
from nas.network.ops.pointwise import ACTIVATIONS, Activation, ActivationName, Add, Dropout, DropPath, Scale, Zero
from nas.network.ops.pooling import AdaptiveAvgPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from nas.network.ops.rearrange import (
    ChannelPad,
    ChannelShuffle,
    Concat,
    Crop,
    Flatten,
    Pad,
    Upsample,
    UpsampleBilinear,
)

BUILT_IN: frozenset[type[Op]] = frozenset(
    kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, Op) and kind is not Op
)
"""The operations that come with nas, which state all that they do. Of any other what it does not state is unknown."""

__all__ = [
    "ACTIVATIONS",
    "BUILT_IN",
    "MAX_DIMS",
    "Activation",
    "ActivationName",
    "AdaptiveAvgPool",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Blur",
    "ChannelPad",
    "ChannelShuffle",
    "ClassToken",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Crop",
    "DropPath",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Input",
    "Ints",
    "Kind",
    "LayerNorm",
    "LayerScale",
    "Linear",
    "LocalResponseNorm",
    "MaxPool",
    "MeanToken",
    "Op",
    "Pad",
    "PositionEmbedding",
    "Scale",
    "SelfAttention",
    "Shape",
    "TakeToken",
    "ToTokens",
    "Tokens",
    "Upsample",
    "UpsampleBilinear",
    "Window",
    "Zero",
    "kind_of",
    "needs",
    "needs_map",
]
