"""The operations of a graph as a tree of modules, by their hierarchical names."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from nas.exporting.source.operations import Formula, Layer
from nas.network.graph import Graph

Form = Literal["layer", "sequence", "class", "container"]
"""What a scope becomes: the one layer without weights in it, an `nn.Sequential`, a class, or a list or dict of modules
that are called one by one from the class around it."""

# What the modules that hold others have as attributes, so that a part cannot have such a name.
_TAKEN = frozenset(
    re.findall(
        r"\w+",
        """
        T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
        eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict
        modules mtia named_buffers named_children named_modules named_parameters parameters register_backward_hook
        register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
        register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
        register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
        set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu zero_grad append
        clear extend get insert items keys pop popitem setdefault update values
        """,
    )
)


@dataclass(slots=True, eq=False)
class Scope:
    """The operations whose names begin alike, e.g. with `stages.2.blocks.1`."""

    path: str
    """What the names begin with in the graph, without the last dot."""
    children: dict[str, Scope | int]
    """Parts by their name in model.py: scopes, and single operations as indices of nodes."""
    nodes: list[int]
    """Indices of all operations inside, in order."""
    inputs: tuple[int, ...] = ()
    """Indices of the nodes outside that those inside read, in the order in which they are read first."""
    outputs: tuple[int, ...] = ()
    """Indices of the nodes inside that are read outside, or are outputs of the network, in the network's order."""
    form: Form = "class"
    """What it becomes."""

    def parts(self) -> Iterator[tuple[str, Scope | int]]:
        """Yield what the class of this scope calls, with its name inside: parts, and those of containers."""
        for name, child in self.children.items():
            if isinstance(child, Scope) and child.form == "container":
                for inner, part in child.parts():
                    yield f"{name}.{inner}", part
            else:
                yield name, child


@dataclass(slots=True)
class Tree:
    """A graph as a tree of modules."""

    graph: Graph
    """The network."""
    written: dict[int, Layer | Formula]
    """How each operation stands in the file, by the index of its node."""
    root: Scope
    """All of it."""
    names: dict[str, str]
    """For each entry of the state dict of the module that `nas.build` makes the name that it has in model.py."""


def tree_of(graph: Graph, written: dict[int, Layer | Formula]) -> Tree:
    """Sort the operations that run in inference into scopes, and decide what each scope becomes."""
    root = Scope("", {}, [])
    for index in written:
        _insert(root, graph.nodes[index].name, index)
    _find_ends(root, graph, [*written])
    _decide(root, graph, written)
    root.form = "class"
    _break_circles(root, graph)
    _rename(root)
    names: dict[str, str] = {}
    for path, index in _leaves(root):
        layer = written[index]
        for entry in layer.state if isinstance(layer, Layer) else ():
            names[f"{graph.nodes[index].name}.{entry}"] = f"{path}.{entry}"
    return Tree(graph, written, root, names)


def _insert(root: Scope, name: str, index: int) -> None:
    *parents, last = name.split(".")
    scope = root
    for parent in parents:
        scope.nodes.append(index)
        # An operation may have the name of a scope; the scope gets another one then.
        free = next(key for key in _variants(parent) if not isinstance(scope.children.get(key), int))
        inner = scope.children.setdefault(free, Scope(f"{scope.path}.{parent}".removeprefix("."), {}, []))
        assert isinstance(inner, Scope)
        scope = inner
    scope.nodes.append(index)
    scope.children[next(key for key in _variants(last) if key not in scope.children)] = index


def _variants(name: str) -> Iterator[str]:
    while True:
        yield name
        name += "_"


def _find_ends(scope: Scope, graph: Graph, order: list[int]) -> None:
    inside = set(scope.nodes)
    scope.inputs = tuple(dict.fromkeys(i for n in scope.nodes for i in graph.nodes[n].inputs if i not in inside))
    read = {i for n in order if n not in inside for i in graph.nodes[n].inputs} | {*graph.outputs}
    last = {index: place for place, index in enumerate(graph.outputs)}
    scope.outputs = tuple(sorted(inside & read, key=lambda index: (last.get(index, -1), index)))
    if not scope.path:
        scope.inputs, scope.outputs = (0,), graph.outputs
    for child in scope.children.values():
        if isinstance(child, Scope):
            _find_ends(child, graph, order)


def _decide(scope: Scope, graph: Graph, written: dict[int, Layer | Formula]) -> None:
    for child in scope.children.values():
        if isinstance(child, Scope):
            _decide(child, graph, written)
    if not scope.nodes:
        return
    layer = written[scope.nodes[0]] if len(scope.nodes) == 1 else None
    if isinstance(layer, Layer) and not layer.state and not layer.definition:
        scope.form = "layer"
    elif any(name.isdecimal() for name in scope.children):
        scope.form = "sequence" if _is_chain(scope, graph, written) else "container"
    elif not all(name.isidentifier() for name in scope.children) or not _is_call(scope, graph):
        scope.form = "container"


def _is_call(scope: Scope, graph: Graph) -> bool:
    """Whether all of a scope can run at once: it reads something, and nothing that depends on what it gives."""
    inside, after = set(scope.nodes), set[int]()
    for index in range(scope.nodes[0], max(scope.nodes[-1], *scope.inputs, 0) + 1):
        if index not in inside and any(i in inside or i in after for i in graph.nodes[index].inputs):
            after.add(index)
    return bool(scope.inputs) and not after & {*scope.inputs}


def _break_circles(scope: Scope, graph: Graph) -> None:
    """Have parts that read of each other called one by one: each of them could run at once, but not all."""
    while scope.form == "class" and (circle := _circle(scope, graph)):
        max(circle, key=lambda part: len(part.nodes)).form = "container"
    for child in scope.children.values():
        if isinstance(child, Scope):
            _break_circles(child, graph)


def _circle(scope: Scope, graph: Graph) -> list[Scope]:
    """Return scopes of a class of which each reads what another one gives; none where there is no circle."""
    parts = dict(scope.parts())
    inside = {name: part.nodes if isinstance(part, Scope) else [part] for name, part in parts.items()}
    part_of = {index: name for name, nodes in inside.items() for index in nodes}
    reads = {
        name: {part_of[i] for index in nodes for i in graph.nodes[index].inputs if i in part_of} - {name}
        for name, nodes in inside.items()
    }
    try:
        TopologicalSorter(reads).prepare()
    except CycleError as error:
        found = [parts[name] for name in error.args[1]]
        return [part for part in found if isinstance(part, Scope)]
    return []


def _is_chain(scope: Scope, graph: Graph, written: dict[int, Layer | Formula]) -> bool:
    """Whether the parts are numbered, and each reads what the one before gives and nothing else."""
    if not all(name.isdecimal() and str(int(name)) == name for name in scope.children) or len(scope.inputs) != 1:
        return False
    if any(isinstance(child, Scope) and child.form == "sequence" for child in scope.children.values()):
        return False  # branches, of which there may be one alone
    if max(map(int, scope.children)) > 2 * len(scope.children) + 8 or not _is_call(scope, graph):
        return False
    scope.children = {name: scope.children[name] for name in sorted(scope.children, key=int)}
    before: tuple[int, ...] = scope.inputs
    for child in scope.children.values():
        if isinstance(child, Scope):
            is_module, reads, gives = child.form != "container", child.inputs, child.outputs
        else:
            is_module, reads, gives = isinstance(written[child], Layer), graph.nodes[child].inputs, (child,)
        if not is_module or reads != before or len(before) != 1:
            return False
        before = gives
    return before == scope.outputs


def _rename(scope: Scope) -> None:
    """Give parts whose names cannot be those of attributes others."""
    renamed: dict[str, Scope | int] = {}
    for name, child in scope.children.items():
        safe = name
        if scope.form == "class":
            safe = re.sub(r"\W", "_", name, flags=re.ASCII)
            safe = f"_{safe}" if not safe or safe[0].isdigit() else safe
            safe += "_" if keyword.iskeyword(safe) else ""
        safe = re.sub(r'["\\{}]|[^ -~]', "_", safe)
        taken = _TAKEN if scope.form in ("class", "container") else ()
        renamed[next(key for key in _variants(safe) if key not in renamed and key not in taken)] = child
        if isinstance(child, Scope):
            _rename(child)
    scope.children = renamed


def _leaves(scope: Scope) -> Iterator[tuple[str, int]]:
    for name, child in scope.children.items():
        if isinstance(child, Scope):
            yield from ((f"{name}.{inner}", index) for inner, index in _leaves(child))
        else:
            yield name, child
