"""Scaling rules by name: how depth, width and resolution grow together with `phi`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from nas.errors import NasError, nearest
from nas.network.architecture import Architecture
from nas.scaling.rounding import EFFICIENTNET_ROUNDING, Rounding
from nas.scaling.scale import scaled

MAX_PHI = 32.0
"""Sizes are searched from -32 to 32 `phi`."""


@dataclass(frozen=True)
class Multipliers:
    """Depth, width and resolution as multiples of the base's."""

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0
    dropout: float | None = None
    """Dropout rate of the head; None keeps the base's."""


BASE = Multipliers()
"""The base itself."""


@dataclass(frozen=True)
class Rule:
    """A one-dimensional family of multipliers: `phi` 0 is the base, and the ideal cost grows with it."""

    name: str
    formula: str
    """The multipliers as functions of `phi`, with the source, for reports."""
    multipliers: Callable[[float], Multipliers]
    """Gives the multipliers at a `phi`, unchecked."""
    listed: tuple[float, ...] = ()
    """The only values that `phi` may have; empty where it may be any number."""

    def at(self, phi: float) -> Multipliers:
        """Return the multipliers at `phi`; raises `NasError` for a `phi` that is no number or not a listed one."""
        if isinstance(phi, bool) or not isinstance(phi, int | float) or not isfinite(phi) or abs(phi) > 64:
            raise NasError(f"phi must be a number from -64 to 64, but got {phi!r}")
        if self.listed and phi not in self.listed:
            raise NasError(
                f"rule {self.name!r} has phi {', '.join(f'{listed:g}' for listed in self.listed)}, not {phi:g}"
            )
        return self.multipliers(phi)

    def apply(self, base: Architecture, phi: float, rounding: Rounding = EFFICIENTNET_ROUNDING) -> Architecture:
        """Return the base at `phi`; raises `NasError` as `nas.scale` does."""
        return scale_by(base, self.at(phi), rounding)


def scale_by(base: Architecture, by: Multipliers, rounding: Rounding = EFFICIENTNET_ROUNDING) -> Architecture:
    """Return the base scaled by some multipliers, its resolution rounded to a multiple of `rounding.resolution`."""
    size = max(base.input_shape[1:])
    pixels = rounding.pixels(size, by.resolution)
    resolution = None if pixels == size else pixels
    return scaled(base, by.depth, by.width, resolution, rounding=rounding, dropout=by.dropout)


# Tan & Le 2019, "EfficientNet", as published with the code: (width, depth, resolution, dropout) of B0 to B7.
_OFFICIAL = (
    (1.0, 1.0, 224, 0.2),
    (1.0, 1.1, 240, 0.2),
    (1.1, 1.2, 260, 0.3),
    (1.2, 1.4, 300, 0.3),
    (1.4, 1.8, 380, 0.4),
    (1.6, 2.2, 456, 0.4),
    (1.8, 2.6, 528, 0.5),
    (2.0, 3.1, 600, 0.5),
)


def _official(phi: float) -> Multipliers:
    width, depth, resolution, dropout = _OFFICIAL[int(phi)]
    return Multipliers(depth, width, resolution / _OFFICIAL[0][2], dropout)


def compound(alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> Rule:
    """Return compound scaling: depth alpha^phi, width beta^phi, resolution gamma^phi.

    Tan & Le 2019, section 3.3, equation 3; theirs are alpha 1.2, beta 1.1, gamma 1.15, whose alpha beta^2 gamma^2 is
    1.92, not 2.

    Raises:
        NasError: a coefficient below 1, or all of them 1.
    """
    for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 4:
            raise NasError(f"{name} must be from 1 to 4, but got {value!r}")
    if alpha == beta == gamma == 1:
        raise NasError("alpha, beta and gamma are all 1: nothing would be scaled")
    return Rule(
        "compound",
        f"depth {alpha!r}^phi, width {beta!r}^phi, resolution {gamma!r}^phi (Tan & Le 2019)",
        lambda phi: Multipliers(alpha**phi, beta**phi, gamma**phi),
    )


def fast(alpha: float = 0.8) -> Rule:
    """Return fast compound scaling, "dWr": a share `alpha` of the cost to the width, the rest to depth and resolution.

    Dollar et al. 2021, "Fast and accurate model scaling", section 4.3: at s times the multiply-adds, depth is
    s^((1 - alpha) / 2), width s^(alpha / 2) and resolution s^((1 - alpha) / 4).

    Raises:
        NasError: a share outside [0, 1].
    """
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise NasError(f"alpha, the share of the width in rule dWr, must be from 0 to 1, but got {alpha!r}")
    rest = 1 - alpha
    return Rule(
        "dWr",
        f"depth 2^({rest / 2:g} phi), width 2^({alpha / 2:g} phi), resolution 2^({rest / 4:g} phi) "
        "(Dollar et al. 2021)",
        lambda phi: Multipliers(2 ** (rest / 2 * phi), 2 ** (alpha / 2 * phi), 2 ** (rest / 4 * phi)),
    )


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        compound(),
        Rule("depth", "depth 2^phi", lambda phi: Multipliers(depth=2**phi)),
        Rule("width", "width 2^(phi/2)", lambda phi: Multipliers(width=2 ** (phi / 2))),
        Rule("resolution", "resolution 2^(phi/2)", lambda phi: Multipliers(resolution=2 ** (phi / 2))),
        Rule(
            "depth_width",
            "depth 2^(phi/2), width 2^(phi/4): half the cost each",
            lambda phi: Multipliers(depth=2 ** (phi / 2), width=2 ** (phi / 4)),
        ),
        fast(),
        Rule(
            "official_efficientnet",
            "the published B0 to B7 at phi 0 to 7, a table (Tan & Le 2019)",
            _official,
            tuple(range(len(_OFFICIAL))),
        ),
    )
}
"""The rules by name, with their published coefficients."""


def rule(name: str, **coefficients: float) -> Rule:
    """Return a rule by name, with other coefficients where they are given.

    `compound` has alpha, beta and gamma, `dWr` has alpha, the others have none.

    Raises:
        NasError: an unknown rule or coefficient, or one outside its range.
    """
    makers: dict[str, tuple[Callable[..., Rule], Sequence[str]]] = {
        "compound": (compound, ("alpha", "beta", "gamma")),
        "dWr": (fast, ("alpha",)),
    }
    if name not in RULES:
        raise NasError(f"unknown scaling rule {name!r}. {nearest(name, RULES)}")
    if not coefficients:
        return RULES[name]
    make, coefficient_names = makers.get(name, (None, ()))
    for coefficient in coefficients:
        if make is None or coefficient not in coefficient_names:
            has = f"it has {', '.join(coefficient_names)}" if coefficient_names else "it has none"
            raise NasError(f"rule {name!r} has no coefficient {coefficient!r}: {has}")
    assert make is not None
    return make(**coefficients)
