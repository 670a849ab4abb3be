"""`nas.scale`: a larger or smaller network of the same kind, by depth, width and resolution."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import lcm, prod

from nas.errors import NasError, ShapeError
from nas.network.architecture import Architecture
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph, block_kind
from nas.network.rounding import resized
from nas.network.section import Section
from nas.scaling.deepen import Repeat, deepen
from nas.scaling.nested import all_blocks
from nas.scaling.rounding import (
    EFFICIENTNET_ROUNDING,
    HeadRule,
    RepeatRule,
    Rounding,
    StemRule,
    round_channels,
    round_repeats,
)
from nas.scaling.widen import Shapes, groups_in, widen

MAX_MULTIPLIER = 1024.0
"""No multiplier is larger: a bound keeps a typing slip from asking for terabytes."""
DROPOUT, DROP_PATH = "dropout", "drop_path"
_PROBE = 16


def scale(
    arch: Architecture,
    depth: float = 1.0,
    width: float = 1.0,
    resolution: int | None = None,
    *,
    divisor: int = 8,
    stem: StemRule = "scale",
    head: HeadRule = "ratio",
    repeats: RepeatRule = "up",
    dropout: float | None = None,
    drop_path: float | None = None,
) -> Architecture:
    """Return the network with more or fewer blocks, channels and inputs (Tan & Le 2019, "EfficientNet", section 3).

    Warns (`UserWarning`) where a depth or width other than 1 changes nothing after rounding.

    Args:
        arch: any network; nothing in it is changed.
        depth: multiplier of the repeats in every stage; stem and head keep theirs.
        width: multiplier of the channels, which are rounded to `divisor`, never below 90 %. Times 1 or less no count
            of channels grows, also where `divisor` is larger than it. Convolutions keep their groups.
        resolution: size of the input in pixels, or steps of a series; of the longest side where they differ.
        divisor: channels are a multiple of it; 1 rounds to whole numbers.
        stem: `scale` its channels as all others (EfficientNet), or `keep` them (EfficientNet-Lite).
        head: keep the `ratio` of its channels to those of the last stage (torchvision), `scale` them as all others, or
            `keep` them.
        repeats: round those of each stage `up` (EfficientNet), or those of all stages together to the `nearest`.
        dropout: rate of the head; None keeps it.
        drop_path: rate of the last block; those before rise evenly from 0 (Huang et al. 2016, "Deep networks with
            stochastic depth", section 3). None keeps each block's own.

    Raises:
        NasError: a number out of its range, a network with nothing that `depth` could repeat, with channels that no
            setting gives or that cannot stay multiples of their groups, or one that the new input is too small for.
    """
    rounding = Rounding(divisor, stem=stem, head=head, repeats=repeats)
    network = scaled(arch, depth, width, resolution, rounding=rounding, dropout=dropout, drop_path=drop_path)
    if depth != 1 and scaled(arch, depth, rounding=rounding) == arch:
        warnings.warn(f"nas.scale: depth={depth:g} changes no number of blocks here", stacklevel=2)
    if width != 1 and scaled(arch, width=width, rounding=rounding) == arch:
        warnings.warn(f"nas.scale: width={width:g} changes no channels here, at divisor={divisor}", stacklevel=2)
    return network


def scaled(
    arch: Architecture,
    depth: float = 1.0,
    width: float = 1.0,
    resolution: int | None = None,
    *,
    rounding: Rounding = EFFICIENTNET_ROUNDING,
    dropout: float | None = None,
    drop_path: float | None = None,
) -> Architecture:
    """Scale a network as `scale` does, without its warnings; `rounding.resolution` is not applied to `resolution`.

    Raises:
        NasError: as `scale`.
    """
    if not isinstance(arch, Architecture):
        raise NasError(f"nas.scale takes an Architecture, not {arch!r:.80}; Architecture.from_json reads a file's text")
    _check_sizes(depth, width, resolution)
    before = arch
    if depth != 1:
        arch = _deeper(arch, depth, rounding.repeats or "up")
    if width != 1:
        arch = _wider(arch, width, rounding)
    if resolution is not None:
        arch = replace(arch, input_shape=resized(arch.input_shape, resolution))
    if dropout is not None or drop_path is not None:
        arch = _regularised(arch, dropout, drop_path)
    try:
        _check_fits(arch)
    except ShapeError as error:
        sizes = f"depth {depth:g}, width {width:g}, input {'x'.join(map(str, arch.input_shape))}"
        raise NasError(f"the network ({'x'.join(map(str, before.input_shape))}) at {sizes}: {error}") from None
    return arch


def _check_sizes(depth: float, width: float, resolution: int | None) -> None:
    for name, value in (("depth", depth), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_MULTIPLIER:
            raise NasError(f"{name} must be a multiplier > 0 and at most {MAX_MULTIPLIER:g}, but got {value!r}")
    if resolution is not None and (type(resolution) is not int or not 1 <= resolution <= 2**20):
        raise NasError(f"resolution must be a whole number from 1 to 2^20, but got {resolution!r}")


def _check_fits(arch: Architecture) -> None:
    shape = arch.input_shape
    for name, section in arch.sections():
        for i, block in enumerate(section.blocks):
            try:
                shape = block_graph(block, shape, arch.num_classes).out_shape
            except ShapeError as error:
                raise error.inside(f"{name}.{i}") from None


def _deeper(arch: Architecture, depth: float, rule: RepeatRule) -> Architecture:
    counts = run_lengths(arch)
    if not counts:
        raise NasError("depth: no block of this network can be repeated, since none keeps the shape of its input")
    repeats = round_repeats(counts, depth, rule)
    if repeats == list(counts):
        return arch
    lengths = iter(repeats)
    return _with_repeats(arch, lambda _: next(lengths))


@lru_cache(maxsize=256)
def run_lengths(arch: Architecture) -> tuple[int, ...]:
    """Return the numbers of blocks of the runs that `depth` lengthens, in the order of the network.

    They are all in the stages; see `deepen` for what a run is.
    """
    lengths: list[int] = []

    def recorded(length: int) -> int:
        lengths.append(length)
        return length

    _with_repeats(arch, recorded)
    return tuple(lengths)


def _with_repeats(arch: Architecture, repeat: Repeat) -> Architecture:
    stages, shape = [], _out_shape(arch.stem, arch.input_shape, arch.num_classes)
    for stage in arch.stages:
        stages.append(deepen(stage, repeat, shape, arch.num_classes))
        shape = _out_shape(stage, shape, arch.num_classes)
    return replace(arch, stages=tuple(stages))


def _out_shape(section: Section, shape: Shape, num_classes: int) -> Shape:
    for block in section.blocks:
        shape = block_graph(block, shape, num_classes).out_shape
    return shape


def _wider(arch: Architecture, width: float, rounding: Rounding) -> Architecture:
    _check_channels(arch)
    shapes: Shapes = (arch.input_shape, arch.input_shape)

    def times(width: float, scaled: bool = True) -> Callable[[int], int]:
        return lambda channels: wider_channels(arch, channels, width, rounding.divisor) if scaled else channels

    wider_stem, shapes = widen(arch.stem, times(width, rounding.stem == "scale"), shapes, arch.num_classes)
    stages = []
    for stage in arch.stages:
        wider_stage, shapes = widen(stage, times(width), shapes, arch.num_classes)
        stages.append(wider_stage)
    # Both at the old resolution, so that what is left of the quotient of their sizes is that of their channels.
    ratio = prod(shapes[1]) / prod(shapes[0]) if rounding.head == "ratio" and stages else width
    wider_head, _ = widen(arch.head, times(ratio, rounding.head != "keep"), shapes, arch.num_classes)
    return replace(arch, stem=wider_stem, stages=tuple(stages), head=wider_head)


def wider_channels(arch: Architecture, channels: int, width: float, divisor: int) -> int:
    """Return `width` times as many channels; groups of the network's convolutions that divide them still do."""
    return round_channels(
        channels, width, divisor, lcm(*(groups for groups in _groups(arch) if channels % groups == 0))
    )


@lru_cache(maxsize=256)
def _groups(arch: Architecture) -> frozenset[int]:
    groups, shape = set[int](), arch.input_shape
    for _, section in arch.sections():
        groups |= groups_in(section, shape, arch.num_classes)
        shape = _out_shape(section, shape, arch.num_classes)
    return frozenset(groups)


@lru_cache(maxsize=256)
def channel_counts(arch: Architecture, stem: bool) -> tuple[int, ...]:
    """Return the values of all settings that `width` multiplies: in the stages, and with `stem` in the stem."""
    return tuple(
        value
        for section in (*((arch.stem,) if stem else ()), *arch.stages)
        for block in all_blocks(section)
        for name, value in block.settings
        if block_kind(block.kind).settings[name].role == "channels" and isinstance(value, int)
    )


@lru_cache(maxsize=256)
def _check_channels(arch: Architecture) -> None:
    """Raise `NasError` where a block has channels that no setting gives: `_PROBE` times the width leaves them."""
    shapes: Shapes = (arch.input_shape, arch.input_shape)
    for name, section in arch.sections():
        for i, block in enumerate(section.blocks if name != "head" else ()):
            before = shapes
            _, shapes = widen(Section((block,)), lambda channels: _PROBE * channels, shapes, arch.num_classes)
            (old_in, new_in), (old, new) = map(prod, before), map(prod, shapes)
            if new_in == _PROBE * old_in and new != _PROBE * old:
                raise NasError(f"width: {name}.{i}: block {block.kind!r} has channels that no setting gives")


def _regularised(arch: Architecture, dropout: float | None, drop_path: float | None) -> Architecture:
    if dropout is not None:
        head = Section(tuple(_with_setting(block, DROPOUT, dropout) for block in arch.head.blocks))
        if not any(DROPOUT in dict(block.settings) for block in head.blocks):
            raise NasError("dropout: no block of this network's head has one")
        arch = replace(arch, head=head)
    if drop_path is not None:
        dropping = [block for stage in arch.stages for block in stage.blocks if DROP_PATH in dict(block.settings)]
        if not dropping:
            raise NasError("drop_path: no block of this network's stages has one")
        last = max(1, len(dropping) - 1)
        rates = (drop_path * i / last for i in range(len(dropping)))
        stages = [
            Section(tuple(_with_setting(b, DROP_PATH, next(rates)) if b in dropping else b for b in stage.blocks))
            for stage in arch.stages
        ]
        arch = replace(arch, stages=tuple(stages))
    return arch


def _with_setting(block: Block, name: str, value: float) -> Block:
    settings = dict(block.settings)
    return Block.of(block.kind, {**settings, name: value}) if name in settings else block
