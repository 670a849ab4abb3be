"""The classes of model.py: scopes of one kind share one, whose constructor takes what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nas.exporting.source import naming
from nas.exporting.source.expressions import REQUIRED, Argument, ClassName, Derived, Make, Parameter, Value, chain_of
from nas.exporting.source.operations import Formula, Layer
from nas.exporting.source.parameters import ABSENT, Parameters
from nas.exporting.source.structure import INPUT, Step, Structure, merged, structure_of
from nas.exporting.source.tree import Scope, Tree
from nas.network import ops
from nas.network.ops import Shape, Tokens, kind_of

_UNIT_OPS = (ops.Conv, ops.BatchNorm, ops.GroupNorm, ops.LayerNorm, ops.Activation, ops.Pad)
_SWITCHED = (ops.Activation, ops.Dropout, ops.DropPath, ops.GlobalAvgPool, ops.GlobalMaxPool)
"""What parts of blocks may lack and be one class."""
_POSITIONAL = ("channels", "in_channels", "out_channels", "kernel_size")
_IDENTITY = Make("nn.Identity")


@dataclass(slots=True, eq=False)
class ModuleClass:
    """One class of model.py."""

    name: ClassName
    """Its name."""
    wanted: str
    """The name that it should have."""
    doc: str
    """Its docstring."""
    structure: Structure
    """What it computes."""
    scopes: list[Scope]
    """Its uses."""
    parts: dict[str, Value] = field(default_factory=dict)
    """How the constructor makes each part that is a module."""
    conditions: dict[str, Derived] = field(default_factory=dict)
    """When a part that some uses lack is there."""
    values: dict[str, dict[str, Value]] = field(default_factory=dict)
    """The values of the arguments of each formula."""
    parameters: tuple[Parameter, ...] = ()
    """Of its constructor."""
    locals: tuple[Parameter, ...] = ()
    """What the constructor works out of them first."""
    listed: str = ""
    """Name of the one part that is a chain of modules which the caller gives, if it is such a class."""

    def is_positional(self, parameter: Parameter) -> bool:
        """Whether a parameter of the constructor is given without its name: sizes, as in torch, and what is alone."""
        alone = parameter.is_module and len(self.parameters) == 1
        return alone or (parameter.name in _POSITIONAL and parameter.default is REQUIRED)


class _UnfinishedError(Exception):
    """A class is needed to find its own parameters."""


def classes_of(tree: Tree, kinds: Mapping[str, str], name: str) -> list[ModuleClass]:
    """Return the classes of a network, those that others use first, its own last.

    Args:
        tree: the network.
        kinds: what its blocks are, by what the names of their operations begin with.
        name: of its own class.
    """
    try:
        return _Classes(tree, kinds, name, by_height=False).found
    except _UnfinishedError:  # parts that hold parts of their kind, in turns: no longer one class at all depths
        return _Classes(tree, kinds, name, by_height=True).found


class _Classes:
    """Finds the classes of a network."""

    def __init__(self, tree: Tree, kinds: Mapping[str, str], name: str, *, by_height: bool) -> None:
        self._tree = tree
        self._kinds = kinds
        self._by_height = by_height
        self._finished: set[ClassName] = set()
        self._started: set[tuple[object, ...]] = set()
        self.found: list[ModuleClass] = []
        """All classes, the network's own last."""
        self._groups: dict[tuple[object, ...], list[Scope]] = {}
        self._key: dict[Scope, tuple[object, ...]] = {}
        self._class_of: dict[Scope, tuple[ModuleClass, int]] = {}
        self._sort(tree.root)
        self._finish(self._key[tree.root])
        self.found.sort(key=lambda one: (one.scopes[0] is tree.root, bool(one.listed)))
        self._name(name)

    def _sort(self, scope: Scope) -> None:
        if scope.form == "class":
            key = ("network",) if scope is self._tree.root else self._group_of(scope)
            key += (_height(scope),) if self._by_height else ()
            self._key[scope] = key
            self._groups.setdefault(key, []).append(scope)
        for child in scope.children.values():
            if isinstance(child, Scope):
                self._sort(child)

    def kind_of(self, scope: Scope) -> str | None:
        """Return the kind of block that a scope is, None for a part of one and for a plain convolution."""
        kind = self._kinds.get(scope.path)
        if kind is None and not self._kinds and scope.path.split(".")[-2:-1] in (["blocks"], ["stem"], ["head"]):
            kind = "block"  # nobody said which
        plain = all(isinstance(self._op(part), _UNIT_OPS) for _, part in scope.parts())
        return None if plain and kind in (*naming.PLAIN_KINDS, "block") else kind

    def _op(self, part: Scope | int) -> ops.Op | None:
        """The operation that a part is, None where it is several."""
        if isinstance(part, Scope):
            return self._tree.graph.nodes[part.nodes[0]].op if part.form == "layer" else None
        return self._tree.graph.nodes[part].op

    def _group_of(self, scope: Scope) -> tuple[object, ...]:
        """Return what the scopes have in common that may share a class."""
        ends = len(scope.inputs), len(scope.outputs)
        kind = self.kind_of(scope)
        if kind is not None:
            return ("block", kind, *ends)
        parts = ((name, self._op(part)) for name, part in scope.parts())
        return ("part", *ends, *((name, type(op)) for name, op in parts if not isinstance(op, _SWITCHED)))

    def make(self, part: Scope | int) -> Make:
        """Return how a part is made in the one use that it is."""
        if isinstance(part, int):
            layer = self._tree.written[part]
            assert isinstance(layer, Layer)
            if not self._tree.graph.nodes[part].in_place:
                return layer.make
            arguments = (replace(a, value=True) if a.role == "inplace" else a for a in layer.make.arguments)
            return replace(layer.make, arguments=tuple(arguments))
        if part.form == "layer":
            return self.make(part.nodes[0])
        if part.form == "sequence":
            last = max(map(int, part.children))
            modules = (part.children.get(str(i)) for i in range(last + 1))
            return chain_of([_IDENTITY if module is None else self.make(module) for module in modules])
        if part not in self._class_of:
            self._finish(self._key[part])
        module_class, _ = self._class_of[part]
        if module_class.listed:
            return Make(module_class.name, self.make(self._part(part, module_class.listed)).arguments)
        if module_class.name not in self._finished:
            raise _UnfinishedError
        return Make(module_class.name, tuple(self._argument(p, part) for p in module_class.parameters))

    def _argument(self, parameter: Parameter, scope: Scope) -> Argument:
        value: Any = parameter.column[self._class_of[scope][1]]
        value = self.make(value) if isinstance(value, Scope) else value
        positional = self._class_of[scope][0].is_positional(parameter)
        return Argument(parameter.name, value, parameter.role, positional, parameter.default)

    def _part(self, scope: Scope, name: str) -> Any:
        return next((part for key, part in scope.parts() if key == name), ABSENT)

    def _finish(self, key: tuple[object, ...]) -> None:
        """Make the class of a group of scopes, or the classes where one cannot be all of them."""
        if key in self._started:
            raise _UnfinishedError
        self._started.add(key)
        scopes = self._groups[key]
        optional = self._optional(scopes, key[0] == "part")
        by_form: dict[tuple[object, ...], tuple[Structure, list[Scope]]] = {}
        for scope in scopes:
            structure = structure_of(scope, self._tree)
            by_form.setdefault(structure.form, (structure, []))[1].append(scope)
        classes: list[tuple[Structure, list[Scope]]] = []
        for structure, uses in sorted(by_form.values(), key=lambda variant: -len(variant[0].steps)):
            for place, (known, known_uses) in enumerate(classes):
                union = merged(known, structure, optional)
                if union is not None:
                    classes[place] = union, [*known_uses, *uses]
                    break
            else:
                classes.append((structure, uses))
        for structure, uses in classes:
            self._add_class(structure, sorted(uses, key=scopes.index), [other for other, _ in classes])

    def _optional(self, scopes: Sequence[Scope], is_part: bool) -> Callable[[Step], bool]:
        switched = {name for scope in scopes for name, part in scope.parts() if isinstance(self._op(part), _SWITCHED)}
        return lambda step: step.may_be_missing and (not is_part or step.name in switched)

    def _add_class(self, structure: Structure, scopes: list[Scope], variants: Sequence[Structure]) -> None:
        names = [step.name for step in structure.steps]
        kind, path = self.kind_of(scopes[0]), scopes[0].path
        wanted = naming.class_name_of_kind(kind) if kind else naming.class_name_of_parts(path, names)
        others = set().union(*(other.names for other in variants if other is not structure))
        own = [name for name in names if name not in others and name.isalpha()] if len(variants) > 1 else []
        if kind and own:
            wanted += naming.class_name_of_kind(own[0])
        doc = naming.describe(wanted, kind, names, path)
        if scopes[0] is self._tree.root:
            params = sum(self._tree.graph.nodes[index].op.params for index in self._tree.written)
            doc = f"The whole network, of {params:,} parameters."
        module_class = ModuleClass(ClassName(), wanted, doc, structure, scopes)
        if kind is None and scopes[0] is not self._tree.root and len(names) == 1 and names[0].isidentifier():
            chains = [self._part(scope, names[0]) for scope in scopes]
            if all(isinstance(chain, Scope) and chain.form == "sequence" for chain in chains):
                module_class.listed = names[0]
        self._class_of.update({scope: (module_class, use) for use, scope in enumerate(scopes)})
        if not module_class.listed:
            self._parametrise(module_class)
        self._finished.add(module_class.name)
        self.found.append(module_class)

    def _parametrise(self, module_class: ModuleClass) -> None:
        """Find out what the constructor takes."""
        scopes, steps = module_class.scopes, module_class.structure.steps
        nodes = self._tree.graph.nodes
        read = [_channels(nodes[scope.inputs[0]].shape) for scope in scopes]
        given = [_channels(nodes[scope.outputs[0]].shape) if scope.outputs else 0 for scope in scopes]
        is_network = scopes[0] is self._tree.root  # which is made without arguments
        ends: tuple[Sequence[int], Sequence[int]] = ([], []) if is_network else (read, given)
        parameters = Parameters(len(scopes), *ends, {step.name: step.reads[0][0] for step in steps if step.reads})
        uses = {step.name: [self._part(scope, step.name) for scope in scopes] for step in steps}
        always = [step for step in steps if ABSENT not in uses[step.name]]
        sometimes = [step for step in steps if ABSENT in uses[step.name]]
        for step in [*always, *sometimes]:
            parts = uses[step.name]
            if step.formula is not None:
                module_class.values[step.name] = self._formula_values(step, parts, parameters)
            else:
                module_class.parts[step.name] = self._part_value(step, parts, parameters, self._key[scopes[0]])
        for step in sometimes:
            part = module_class.parts.get(step.name)
            if self._changes_nothing(step, uses[step.name], scopes):
                continue
            if isinstance(part, Derived):  # it is passed, or None is
                module_class.conditions[step.name] = Derived("{0} is not None", part.parameters)
                continue
            present = [use is not ABSENT for use in uses[step.name]]
            module_class.conditions[step.name] = parameters.condition(present, step.name, is_sum=step.is_sum)
        hidden = "squeeze_channels" if module_class.wanted == "SqueezeExcite" else "hidden_channels"
        found = parameters.finish(hidden)
        module_class.parameters = tuple(parameter for parameter in found if parameter.formula is None)
        module_class.locals = tuple(p for p in found if p.formula is not None and p.num_reads > 1)
        module_class.parts = {step.name: module_class.parts[step.name] for step in steps if step.formula is None}

    def _changes_nothing(self, step: Step, parts: Sequence[Any], scopes: Sequence[Scope]) -> bool:
        """Whether the uses that lack a part could have it: pooling of a map of one position."""
        pools = all(
            isinstance(self._op(part), ops.GlobalAvgPool | ops.GlobalMaxPool) for part in parts if part is not ABSENT
        )
        lacking = [scope for scope, part in zip(scopes, parts, strict=True) if part is ABSENT]
        shapes = [self._tree.graph.nodes[scope.inputs[0]].shape for scope in lacking]
        first = step.reads == ((INPUT, 0),)
        return pools and first and all(kind_of(shape) == "map" and set(shape[1:]) == {1} for shape in shapes)

    def _part_value(self, step: Step, parts: Sequence[Any], parameters: Parameters, key: tuple[object, ...]) -> Value:
        if any(isinstance(part, Scope) and self._holds(part, key) for part in parts):
            return parameters.passed(parts, step.name)  # it may hold this very class
        makes = [part if part is ABSENT else self.make(part) for part in parts]
        present = [part for part in parts if part is not ABSENT]
        if ABSENT in parts and all(isinstance(self._op(part), ops.Activation) for part in present):
            return parameters.passed(makes, step.name)
        return parameters.generalise(makes, step.name)

    def _holds(self, scope: Scope, key: tuple[object, ...]) -> bool:
        """Whether a scope is of a group, or has a scope of it inside."""
        inner = (child for child in scope.children.values() if isinstance(child, Scope))
        return self._key.get(scope) == key or any(self._holds(child, key) for child in inner)

    def _formula_values(self, step: Step, parts: Sequence[Any], parameters: Parameters) -> dict[str, Value]:
        assert step.formula is not None
        values: dict[str, Value] = {}
        for place, argument in enumerate(step.formula.arguments):
            column: list[Value] = []
            for part in parts:
                formula = None if part is ABSENT else self._tree.written[part]
                column.append(formula.arguments[place].value if isinstance(formula, Formula) else ABSENT)
            values[argument.name] = parameters.argument(column, argument, step.name)
        return values

    def _name(self, network: str) -> None:
        """Name the classes, those that are used most first."""
        taken = {layer.make.head for layer in self._tree.written.values() if isinstance(layer, Layer)}
        names = {*map(str, taken), "Tensor", "Path", network}
        self.found[-1].name.text = network
        for module_class in sorted(self.found[:-1], key=lambda one: -len(one.scopes)):
            module_class.name.text = naming.unique(module_class.wanted, names)
            names.add(module_class.name.text)


def _height(scope: Scope) -> int:
    """How deep scopes are nested in a scope."""
    return 1 + max((_height(child) for child in scope.children.values() if isinstance(child, Scope)), default=0)


def _channels(shape: Shape) -> int:
    return shape[-1] if isinstance(shape, Tokens) else shape[0]
