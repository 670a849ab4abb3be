"""Transformers on images: a map as tokens, what is added to them, and attention among them.

Dosovitskiy et al. 2021, "An image is worth 16x16 words", section 3.1. Tokens have the shape (tokens, features).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nas.errors import ShapeError
from nas.network.ops.base import Op, Saved, Shape, Tokens, Window, needs, needs_map


@dataclass(frozen=True, slots=True)
class ToTokens(Op):
    """Each position of a map as a token: (C, *map) -> (positions, C)."""

    memory = "view"

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (positions, C)."""
        channels, size = needs_map("to_tokens", shapes[0])
        return Tokens((prod(size), channels))


def _tokens(op: str, shape: Shape) -> Shape:
    needs(op, shape, "tokens")
    return shape


@dataclass(frozen=True, slots=True)
class ClassToken(Op):
    """One learned token before the others."""

    features: int
    """Of each token."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(n, C) -> (n + 1, C)."""
        number, features = _tokens("class_token", shapes[0])
        return Tokens((number + 1, features))

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """The token: (1, 1, C)."""
        return ((1, 1, self.features),)


@dataclass(frozen=True, slots=True)
class PositionEmbedding(Op):
    """A learned vector for each position, added to its token."""

    tokens: int
    """Number of tokens, a class token among them."""
    features: int
    """Of each token."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(n, C) -> (n, C)."""
        return _tokens("position_embedding", shapes[0])

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """A vector a token: (1, n, C)."""
        return ((1, self.tokens, self.features),)


@dataclass(frozen=True, slots=True)
class SelfAttention(Op):
    """softmax(Q K^T / sqrt(d)) V in each head, from queries, keys and values side by side: (n, 3 C) -> (n, C).

    Vaswani et al. 2017, "Attention is all you need", section 3.2. Without parameters: the projections are `Linear`.
    """

    saved = ("inputs", "output")

    heads: int
    """Number of heads, which divides the features."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(n, 3 C) -> (n, C); raises `ShapeError` where the heads do not divide C."""
        number, features = _tokens("self_attention", shapes[0])
        if features % (3 * self.heads):
            raise ShapeError(f"self_attention: heads={self.heads} must divide the features {features // 3}")
        return Tokens((number, features // 3))

    def attention_macs(self, out_shape: Shape) -> int:
        """Q K^T and the weighted sum of V: n x n x C each."""
        number, features = out_shape
        return 2 * number * number * features

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Every token depends on all."""
        return (Window(0),)

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """The logarithm of each row's sum of exponentials."""
        return 4 * self.heads * out_shape[0]

    def saved_of_scattered(self, in_shape: Shape, out_shape: Shape) -> tuple[tuple[Saved, ...], int]:
        """Torch writes the scores out then: scaled queries and keys, and the weights of each head."""
        return ("inputs",), 4 * (2 * prod(out_shape) + self.heads * out_shape[0] ** 2)


@dataclass(frozen=True, slots=True)
class TakeToken(Op):
    """The first token alone: (n, C) -> (C,)."""

    memory = "view"

    def out_shape(self, *shapes: Shape) -> Shape:
        """(n, C) -> (C,)."""
        return (_tokens("take_token", shapes[0])[1],)


@dataclass(frozen=True, slots=True)
class MeanToken(Op):
    """The mean of all tokens: (n, C) -> (C,)."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(n, C) -> (C,)."""
        return (_tokens("mean_token", shapes[0])[1],)
