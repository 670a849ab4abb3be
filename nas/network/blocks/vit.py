"""Vision transformer: Dosovitskiy et al. 2021, "An image is worth 16x16 words"."""

from __future__ import annotations

from typing import Literal

from nas.errors import ShapeError
from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, Heads, Rate, Ratio


@block
def patch_embed(
    g: GraphBuilder,
    x: Value,
    *,
    features: Channels,
    patch: Count = 16,
    class_token: bool = True,
    dropout: Rate = 0.0,
) -> Value:
    """Patches as tokens, a class token before them, positions added: (C, H, W) -> (1 + H W / patch^2, features).

    Section 3.1, equation 1. The projection is a convolution of kernel and stride `patch`.
    """
    x = g.conv(x, features, patch, stride=patch, padding=0, bias=True, name="project")
    x = g.add("tokens", ops.ToTokens(), x)
    if class_token:
        x = g.add("class_token", ops.ClassToken(features), x)
    x = g.add("position", ops.PositionEmbedding(x.shape[0], features), x)
    return g.dropout(x, dropout)


@block
def transformer_encoder(
    g: GraphBuilder,
    x: Value,
    *,
    heads: Heads,
    mlp_ratio: Ratio = 4.0,
    dropout: Rate = 0.0,
    drop_path: Rate = 0.0,
    activation: ActivationKind = "gelu",
) -> Value:
    """y = x + attention(norm(x)); y + mlp(norm(y)): (n, C) -> (n, C).

    Section 3.1, equations 2 and 3 (normalisation first). `mlp_ratio` is the hidden width as a multiple of C.
    """
    ops.needs("transformer_encoder", x.shape, "tokens")
    features = x.shape[-1]
    if features % heads:
        raise ShapeError(f"transformer_encoder: heads={heads} must divide the features {features}")
    with g.scope("attention"):
        y = g.add("norm", ops.LayerNorm(features, of_map=False), x)
        y = g.add("heads", ops.SelfAttention(heads), g.linear(y, 3 * features, name="qkv"))
        y = g.drop_path(g.dropout(g.linear(y, features, name="project"), dropout), drop_path)
        x = g.add("add", ops.Add(), y, x)
    with g.scope("mlp"):
        y = g.add("norm", ops.LayerNorm(features, of_map=False), x)
        y = g.activation(g.linear(y, round(mlp_ratio * features), name="expand"), activation)
        y = g.linear(g.dropout(y, dropout, name="dropout1"), features, name="reduce")
        return g.add("add", ops.Add(), g.drop_path(g.dropout(y, dropout, name="dropout2"), drop_path), x)


@block
def token_classifier(
    g: GraphBuilder, x: Value, *, pool: Literal["token", "mean"] = "token", dropout: Rate = 0.0
) -> Value:
    """linear(norm(x)) of the class token, or of the mean of all tokens: (n, C) -> (num_classes,). Equation 4."""
    ops.needs("token_classifier", x.shape, "tokens")
    features = x.shape[-1]
    x = g.add("norm", ops.LayerNorm(features, of_map=False), x)
    x = g.add("pool", ops.TakeToken() if pool == "token" else ops.MeanToken(), x)
    return g.linear(g.dropout(x, dropout), g.num_classes)
