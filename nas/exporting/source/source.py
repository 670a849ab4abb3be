"""Graph -> model.py: a network as plain PyTorch that a person can read, without any import of nas."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass

from nas.errors import NasError
from nas.exporting.source.classes import classes_of
from nas.exporting.source.definitions import DEFINITIONS
from nas.exporting.source.naming import block_kinds
from nas.exporting.source.operations import Formula, Layer, has_source, write
from nas.exporting.source.tree import tree_of
from nas.exporting.source.writer import class_lines, join_classes
from nas.network import ops
from nas.network.architecture import Architecture, checked_architecture
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.network.user_operations import name_of


@dataclass(frozen=True, slots=True)
class Source:
    """A network as a Python file."""

    text: str
    """What stands in model.py."""
    names: Mapping[str, str]
    """For each entry of the state dict of what `nas.build` makes, auxiliary classifiers left out, its name in the
    state dict of model.py: the same, unless it could not be the name of an attribute."""


def architecture_source(arch: Architecture, class_name: str = "Network") -> Source:
    """Write an architecture as a Python file, with its blocks by their names.

    Args:
        arch: the network.
        class_name: what its class is named.

    Raises:
        NasError: the name is none for a class, or nobody registered how to write an operation of a user.
    """
    graph = lower(checked_architecture(arch, "architecture_source"))
    return to_source(graph, class_name, kinds=block_kinds(arch))


def to_source(graph: Graph, class_name: str = "Network", *, kinds: Mapping[str, str] | None = None) -> Source:
    """Write a network as a Python file that needs torch alone, and safetensors to load weights.

    Args:
        graph: the network; its auxiliary classifiers are left out.
        class_name: what its class is named.
        kinds: what the blocks are, by what the names of their operations begin with; without it they are just blocks.

    Raises:
        NasError: the name is none for a class, or nobody registered how to write an operation of a user.
    """
    taken = keyword.iskeyword(class_name) or class_name in ("Path", "Tensor", *DEFINITIONS)
    if taken or not re.fullmatch(r"[A-Z][A-Za-z0-9]*", class_name):
        raise NasError(
            f"the name of a class is like Network, and not one that the file needs, but got {class_name!r:.40}"
        )
    written = {index: _written(graph, index) for index in graph.live()[1:]}
    tree = tree_of(graph, written)
    classes = classes_of(tree, kinds or {}, class_name)
    definitions = {
        part.definition: None for part in written.values() if part.definition
    }  # each once, in the order in which they are needed
    blocks = [definition.rstrip().split("\n") for definition in definitions]
    blocks += [class_lines(module_class, graph) for module_class in classes]
    body = join_classes([*blocks, _LOAD.format(name=class_name).split("\n")])
    text = f"{_header(class_name, graph)}\n\n{_imports(body)}\n\n\n{body}\n\n\n{_MAIN.format(name=class_name)}"
    return Source(text, tree.names)


def _written(graph: Graph, index: int) -> Layer | Formula:
    node = graph.nodes[index]
    if not has_source(node.op):
        raise NasError(
            f"{node.name}: model.py has no {name_of(type(node.op))} yet; register a function that writes it with "
            "nas.exporting.source.operations.write.register"
        )
    return write(node.op, tuple(graph.nodes[i].shape for i in node.inputs))


def _header(class_name: str, graph: Graph) -> str:
    found = (graph.nodes[index].op for index in graph.live()[1:])
    warning = _WARNING if any(isinstance(op, ops.Conv) and op.overwrites_memory for op in found) else ""
    return (
        f'"""{class_name} in plain PyTorch, written by nas from its graph.\n\n'
        f'In another file: `from model import load`, then `load("model.safetensors")`.\n{warning}"""'
    )


_WARNING = """
To train it on a CPU leave the order of maps as it is. In channels-last order
(`torch.channels_last`) torch 2.13 overwrites memory in the backward pass of 1x1
convolutions with a stride and fewer than 16 channels, of which this network has some.
"""


def _imports(body: str) -> str:
    lines = ["from __future__ import annotations", ""]
    if "math." in body:
        lines.append("import math")
    lines += ["from pathlib import Path", ""]
    if re.search(r"\btorch\.", body.replace("safetensors.torch", "")):
        lines.append("import torch")
    if re.search(r"\bF\.", body):
        lines.append("import torch.nn.functional as F")
    return "\n".join([*lines, "from torch import Tensor, nn"])


_LOAD = '''\
def load(path: str | Path = "model.safetensors") -> {name}:
    """Return the network with the weights of a safetensors file, ready for inference."""
    from safetensors.torch import load_file

    model = {name}()
    model.load_state_dict(load_file(path))
    return model.eval()'''

_MAIN = """\
if __name__ == "__main__":
    print(f"{{sum(parameter.numel() for parameter in {name}().parameters()):,}} parameters")
"""
