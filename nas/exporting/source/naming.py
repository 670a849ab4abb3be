"""Names and first lines of the classes of model.py."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.network.registry import Block, block_kind
from nas.network.section import Section

PLAIN_KINDS = ("conv", "identity", "norm_act")
"""Blocks that are a convolution with what belongs to it, as many blocks have inside: named after their parts."""
_SPELLED = {"mbconv": "MBConv", "convnext": "ConvNeXt", "preact": "PreAct", "se": "SqueezeExcite", "mlp": "MLP"}
_PARTS = {
    "SqueezeExcite": "Squeeze-and-excitation: one factor for each channel (Hu et al. 2018).",
    "Attention": "Self-attention with its projections (Vaswani et al. 2017).",
    "MLP": "Two linear layers on each token.",
    "Stage": "Blocks in sequence.",
}
_WORDS = {
    "conv": "convolution",
    "norm": "normalisation",
    "act": "activation",
    "pool": "pooling",
    "linear": "linear layer",
    "dropout": "dropout",
}
_OF_TORCH = ("Identity", "Linear", "Module", "Sequential", "Parameter")
_CITATION = re.compile(r'[A-Z][\w\-]+(?: et al\.| & [A-Z][\w\-]+)? \d{4}(?:, "[^"\\]+")?')
_MOST_PARTS = 4
_LONGEST_PAPER = 90


def block_kinds(arch: Architecture) -> dict[str, str]:
    """Return the kind of each block of a network by what the names of its operations begin with."""
    kinds: dict[str, str] = {}
    for path, block in arch.named_blocks():
        _add_kinds(path, block, kinds)
    return kinds


def _add_kinds(path: str, block: Block, kinds: dict[str, str]) -> None:
    kinds[path] = block.kind
    for setting, value in block.settings:
        if isinstance(value, Section):
            sections = {setting: value}
        elif isinstance(value, tuple):
            sections = {f"{setting}.{_branch(block, i)}": branch for i, branch in enumerate(value)}
        else:
            continue
        for name, section in sections.items():
            for place, inner in enumerate(section.blocks):
                _add_kinds(f"{path}.{name}.{place}", inner, kinds)


def _branch(block: Block, place: int) -> str:
    """Name of a branch; the edges of a cell are named after the nodes between which they lie, 0-1, 0-2, 1-2, ..."""
    if block.kind != "cell":
        return str(place)
    target = 1
    while place >= target:
        place -= target
        target += 1
    return f"{place}-{target}"


def class_name_of_kind(kind: str) -> str:
    """Return the class name of a kind of block: `residual_basic` -> `ResidualBasic`."""
    words = [word for word in re.split(r"[\W_]+", kind) if word]
    name = "".join(_SPELLED.get(word, word[:1].upper() + word[1:]) for word in words)
    name = name if name[:1].isalpha() else f"Part{name}"
    return f"{name}Block" if name in _OF_TORCH else name


def class_name_of_parts(path: str, parts: Sequence[str]) -> str:
    """Return the class name of a part of blocks: after what it is made of where that is short, else after its name."""
    own = next((part for part in reversed(path.split(".")) if not part.isdecimal()), "")
    if own in _SPELLED or class_name_of_kind(own) in _PARTS:
        return class_name_of_kind(own)
    words = [part for part in parts if re.fullmatch(r"[a-z]+\d*", part)]
    if len(words) == len(parts) <= _MOST_PARTS:
        return "Stage" if words == ["blocks"] else class_name_of_kind("_".join(words))
    return class_name_of_kind(own) or "Part"


def describe(name: str, kind: str | None, parts: Sequence[str], path: str) -> str:
    """Return the docstring of a class, one line."""
    if name in _PARTS:
        return _PARTS[name]
    if kind is not None:
        paper = _paper(kind)
        return f"Block `{kind}` ({paper})." if paper else f"Block `{kind}`."
    if parts and all(part in _WORDS for part in parts):
        words = [_WORDS[part] for part in parts]
        text = " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
        return f"{text[0].upper()}{text[1:]}."
    return f"The part `{re.sub(r'[^ -~]', '_', path.rpartition('.')[2])}` of a block."


def _paper(kind: str) -> str:
    """Return the first paper that a block names, in its docstring or in that of its file."""
    try:
        function = block_kind(kind).function
    except NasError:
        return ""
    module = sys.modules.get(function.__module__)
    texts = [" ".join((text or "").split()) for text in (function.__doc__, module.__doc__ if module else "")]
    found = [cited for text in texts for cited in _CITATION.findall(text)]
    with_title = [cited for cited in found if cited.startswith(found[0]) and '"' in cited]
    papers = [*with_title, *(cited.partition(",")[0] for cited in found)]
    return next((paper for paper in papers if len(paper) + len(kind) < _LONGEST_PAPER), "")


def unique(wanted: str, taken: Mapping[str, object] | set[str]) -> str:
    """Return a name, with a number behind it where it is taken."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    return name
