"""One class of model.py as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.exporting.source.classes import ModuleClass
from nas.exporting.source.expressions import REQUIRED, Derived, Parameter, Value, write_value
from nas.exporting.source.forward import ForwardWriter
from nas.exporting.source.layout import laid_out
from nas.exporting.source.structure import Step
from nas.network.graph import Graph
from nas.network.ops import Shape, kind_of

_LETTERS = {1: "L", 2: "H, W", 3: "D, H, W"}


def class_lines(module_class: ModuleClass, graph: Graph) -> list[str]:
    """Write a class."""
    lines = [f"class {module_class.name.text}(nn.Module):", f'    """{module_class.doc}"""', ""]
    if module_class.listed:
        return [*lines, *_listing(module_class)]
    writer = _ClassWriter(module_class)
    constructor = writer.constructor()
    if constructor:
        lines += [*constructor, ""]
    return [*lines, *writer.forward(graph)]


def _listing(module_class: ModuleClass) -> list[str]:
    name = module_class.listed
    return [
        f"    def __init__(self, *{name}: nn.Module) -> None:",
        "        super().__init__()",
        f"        self.{name} = nn.Sequential(*{name})",
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        '        """Run them in order."""',
        f"        return self.{name}(x)",
    ]


class _ClassWriter:
    """Writes the methods of one class."""

    def __init__(self, module_class: ModuleClass) -> None:
        self._class = module_class
        self._attributes: dict[str, str] = {}
        """What `forward` needs beside modules: names of attributes and their values."""
        self._modules = _nested({name: self._made(name) for name in module_class.parts})
        self._formula_values = {
            step: {name: self._attribute(step, name, value) for name, value in values.items()}
            for step, values in module_class.values.items()
        }
        sums = [name for name in module_class.conditions if name not in module_class.parts]
        self._conditions = {}
        for name in sums:
            wanted = "has_shortcut" if len(sums) == 1 else f"has_{name.replace('.', '_')}"
            self._conditions[name] = self._keep(wanted, write_value(module_class.conditions[name]))

    def _made(self, name: str) -> str:
        """Return the text that makes a part."""
        part, condition = self._class.parts[name], self._class.conditions.get(name)
        text = write_value(part)
        if condition is None:
            return text
        if isinstance(part, Derived):
            return f"nn.Identity() if {text} is None else {text}"
        return f"{text} if {write_value(condition)} else nn.Identity()"

    def _attribute(self, step: str, name: str, value: Value) -> str:
        """Return what stands in a formula for an argument: the value, or the attribute that keeps it."""
        if not isinstance(value, Derived):
            return write_value(value)
        wanted = value.parameters[0].name if value.pattern == "{0}" else f"{step.replace('.', '_')}_{name}"
        return f"self.{self._keep(wanted, write_value(value)).removeprefix('self.')}"

    def _keep(self, name: str, value: str) -> str:
        while name in self._modules or self._attributes.get(name, value) != value:
            name += "_"
        self._attributes[name] = value
        return f"self.{name}"

    def constructor(self) -> list[str]:
        """Write `__init__`; nothing where there is nothing to make."""
        if not self._modules and not self._attributes:
            return []
        # The others by name alone, as they are called here.
        first = [_declared(parameter) for parameter in self._class.parameters if self._class.is_positional(parameter)]
        named = [_declared(p) for p in self._class.parameters if not self._class.is_positional(p)]
        signature = ["self", *first, *(["*", *named] if named else [])]
        lines = laid_out(f"def __init__({', '.join(signature)}) -> None:", 4)
        lines.append("        super().__init__()")
        for local in self._class.locals:
            assert local.formula is not None
            lines += laid_out(f"{local.name} = {write_value(local.formula)}", 8)
        for name, value in self._attributes.items():
            lines += laid_out(f"self.{name} = {value}", 8)
        for name, part in self._modules.items():
            lines += laid_out(f"self.{name} = {_container(part)}", 8)
        return lines

    def forward(self, graph: Graph) -> list[str]:
        """Write `forward`."""
        structure = self._class.structure
        writer = ForwardWriter(structure, self._reached, self._computed, self._conditions)
        names = writer.inputs(len(self._class.scopes[0].inputs))
        given = "Tensor" if len(structure.outputs) == 1 else "tuple[Tensor, ...]"
        read = ", ".join(["self", *(f"{name}: Tensor" for name in names)])
        lines = laid_out(f"def forward({read}) -> {given}:", 4)
        lines.append(f'        """{self._shapes(graph)}"""')
        for line in writer.lines():
            lines += laid_out(line, 8)
        return lines

    def _computed(self, step: Step, reads: list[str]) -> str:
        assert step.formula is not None
        values = self._formula_values.get(step.name, {})
        return step.formula.text.format(*reads, inputs=", ".join(reads), terms=" + ".join(reads), **values)

    def _reached(self, name: str) -> str:
        """Return how `forward` reaches a part: `self.conv`, `self.stages[0]` or `self.edges["0-1"]`."""
        first, *inner = name.split(".")
        text, part = f"self.{first}", self._modules[first]
        for key in inner:
            assert isinstance(part, dict)
            text += f"[{key}]" if _is_list(part) else f'["{key}"]'
            part = part[key]
        return text

    def _shapes(self, graph: Graph) -> str:
        scope = self._class.scopes[0]
        read = [graph.nodes[index].shape for index in scope.inputs]
        given = [graph.nodes[index].shape for index in scope.outputs]
        if not scope.path:  # the network, whose sizes are known
            texts = [[f"(batch, {', '.join(map(str, shape))})" for shape in shapes] for shapes in (read, given)]
        else:
            texts = [[_letters(shape) for shape in shapes] for shapes in (read, given)]
            if len(given) == 1 and any(
                graph.nodes[use.inputs[0]].shape != graph.nodes[use.outputs[0]].shape for use in self._class.scopes
            ):
                texts[1] = [text.replace("C", "C'").replace("H, W", "H', W'") for text in texts[1]]
        if len(given) > 1 and len(set(texts[1])) == 1:
            texts[1] = [f"{len(given)} of {texts[1][0]}"]
        text = f"{', '.join(texts[0])} -> {', '.join(texts[1])}."
        return text if len(text) < 100 else f"{', '.join(texts[0])} -> {len(given)} tensors."


_Nested = dict[str, "str | _Nested"]


def _nested(parts: dict[str, str]) -> _Nested:
    """Return parts in the lists and dicts that their names with dots say."""
    nested: _Nested = {}
    for name, text in parts.items():
        *parents, last = name.split(".")
        place = nested
        for parent in parents:
            inner = place.setdefault(parent, {})
            assert isinstance(inner, dict)
            place = inner
        place[last] = text
    return {name: _sorted(part) for name, part in nested.items()}


def _sorted(part: str | _Nested) -> str | _Nested:
    if isinstance(part, str):
        return part
    inner = {key: _sorted(value) for key, value in part.items()}
    return {key: inner[key] for key in sorted(inner, key=int)} if _is_list(inner) else inner


def _is_list(part: _Nested) -> bool:
    return {*part} == {str(i) for i in range(len(part))}


def _container(part: str | _Nested) -> str:
    if isinstance(part, str):
        return part
    if _is_list(part):
        return f"nn.ModuleList([{', '.join(map(_container, part.values()))}])"
    entries = ", ".join(f'"{key}": {_container(value)}' for key, value in part.items())
    return f"nn.ModuleDict({{{entries}}})"


def _declared(parameter: Parameter) -> str:
    """Write a parameter as the signature has it."""
    kinds = [*dict.fromkeys(_hint(value) for value in _values(parameter))]
    if None in parameter.column or parameter.default is None:
        kinds.append("None")
    text = f"{parameter.name}: {' | '.join(kinds)}"
    return text if parameter.default is REQUIRED else f"{text} = {_written(parameter.default)}"


def _written(value: object) -> str:
    assert value is None or isinstance(value, int | float | str | tuple)
    return write_value(value)


def _values(parameter: Parameter) -> Iterator[object]:
    yield from sorted(
        (value for value in parameter.column if value is not None), key=lambda value: not isinstance(value, int)
    )


def _hint(value: object) -> str:
    if isinstance(value, tuple):
        return "tuple[int, ...]"
    return type(value).__name__ if isinstance(value, bool | int | float | str) else "nn.Module"


def _letters(shape: Shape) -> str:
    kind = kind_of(shape)
    if kind == "map":
        return f"(B, C, {_LETTERS[len(shape) - 1]})"
    return "(B, N, C)" if kind == "tokens" else "(B, C)"


def join_classes(blocks: Sequence[Sequence[str]]) -> str:
    """Return classes as text, two empty lines between them."""
    return "\n\n\n".join("\n".join(block) for block in blocks)
