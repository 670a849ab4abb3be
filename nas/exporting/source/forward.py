"""The method `forward` of a class: its steps as statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from nas.exporting.source.structure import INPUT, Read, Step, Structure, step_uses

_MOST_NESTED = 3
_LONGEST_INLINE = 60
_SHORT = ("y", "z")
_PASSING = re.compile(r"[xyz]\d*")
_TELL_NOTHING = ("add", "concat", "scale", "tokens", "conv", "act", "norm", "pool", "shuffle")
_NOT_VARIABLES = {"self", "torch", "F", "nn", "math", "crop", "pad_channels", "shuffle_channels", "zeros"}


class ForwardWriter:
    """Writes the statements of a class.

    Args:
        structure: the steps.
        call: how a module is reached, e.g. `self.conv`, by the name of its step.
        formula: the text of a formula for the texts of what it reads, by step.
        condition: the attribute that says whether a sum is made, by the name of its step.
    """

    def __init__(
        self,
        structure: Structure,
        call: Callable[[str], str],
        formula: Callable[[Step, list[str]], str],
        condition: Mapping[str, str],
    ) -> None:
        self._structure = structure
        self._call = call
        self._formula = formula
        self._condition = condition
        self._uses = step_uses(structure)
        self._left = dict(self._uses)
        self._text: dict[Read, str] = {}
        self._variables: dict[Read, str] = {}
        self._lines: list[str] = []
        self._inlined = {read for read in self._uses if self._is_inlined(read)}

    def inputs(self, number: int) -> list[str]:
        """Return the names of the inputs."""
        names = ["x"] if number == 1 else [f"x{i}" for i in range(number)]
        for place, name in enumerate(names):
            self._text[INPUT, place] = self._variables[INPUT, place] = name
        return names

    def lines(self) -> list[str]:
        """Return the statements; `inputs` has to be called before."""
        steps = self._structure.steps
        for place, step in enumerate(steps):
            expression = self._expression(step)
            values = [(step.name, i) for i in range(step.num_values)]
            if place == len(steps) - 1 and tuple(values) == self._structure.outputs:
                return [*self._lines, f"return {expression}"]
            if values[0] in self._inlined:
                self._text[values[0]] = expression
                continue
            self._release(step)
            targets = [self._variable(step, value) for value in values]
            self._lines.append(f"{', '.join(targets)} = {expression}")
        given = ", ".join(self._text[read] for read in self._structure.outputs)
        return [*self._lines, f"return {given}"]

    def _expression(self, step: Step) -> str:
        reads = [self._text[read] for read in step.reads]
        if step.formula is None:
            return f"{self._call(step.name)}({', '.join(reads)})"
        text = self._formula(step, reads)
        if step.name in self._condition:
            return f"{text} if {self._condition[step.name]} else {reads[0]}"
        return text

    def _release(self, step: Step) -> None:
        """Note that a step is written, and with it those that stand inside it."""
        for read in step.reads:
            self._left[read] -= 1
            if read in self._inlined:
                self._release(next(inner for inner in self._structure.steps if inner.name == read[0]))

    def _readers(self, read: Read) -> list[Step]:
        return [step for step in self._structure.steps if read in step.reads]

    def _is_inlined(self, read: Read) -> bool:
        """Whether a value is written where it is read: what is read once, by a sum or such, or in a short chain."""
        step = next((step for step in self._structure.steps if step.name == read[0]), None)
        if step is None or step.num_values != 1 or self._uses[read] != 1 or read in self._structure.outputs:
            return False
        (reader,) = self._readers(read)
        if step.name in self._condition or (reader.name in self._condition and reader.reads[0] == read):
            return False
        if self._is_short_chain():
            return True
        if reader.formula is not None:
            return step.formula is None and len(reader.reads) > 1 and not self._reads_inlined(step)
        return step.is_sum and len(step.reads) == 2 and len(reader.reads) == 1

    def _reads_inlined(self, step: Step) -> bool:
        return any(self._is_inlined(read) for read in step.reads)

    def _is_short_chain(self) -> bool:
        steps = self._structure.steps
        if len(steps) > _MOST_NESTED or any(step.formula is not None for step in steps):
            return False
        before: tuple[Read, ...] = ((INPUT, 0),)
        for step in steps:
            if step.reads != before or len(before) != 1:
                return False
            before = tuple((step.name, place) for place in range(step.num_values))
        return before == self._structure.outputs

    def _variable(self, step: Step, value: Read) -> str:
        """Name a value: as what it is made of where that is not needed any more, else with a new name."""
        alive = {name for read, name in self._variables.items() if self._left.get(read, 0) > 0}
        before = [self._variables[read] for read in step.reads if read in self._variables]
        for name in before:
            # A name that says what it was is not given to anything else.
            if name not in alive and step.num_values == 1 and _PASSING.fullmatch(name):
                break
        else:
            name = self._new_name(step, value, alive)
        # Nothing else has this name from now on.
        self._variables = {read: known for read, known in self._variables.items() if known != name}
        self._variables[value] = self._text[value] = name
        return name

    def _new_name(self, step: Step, value: Read, alive: set[str]) -> str:
        last = step.name.rpartition(".")[2]
        wanted = re.sub(r"\W", "_", step.name, flags=re.ASCII).strip("_").lower()
        tells = step.num_values == 1 and last not in _TELL_NOTHING and re.fullmatch(r"[a-z]\w*", wanted)
        candidates = [wanted] if tells and "." in step.name else []
        candidates += [*_SHORT, *([wanted] if tells else [])]
        for name in candidates:
            if name not in alive and name not in _NOT_VARIABLES:
                return name
        number = 0
        while f"y{number}" in alive:
            number += 1
        return f"y{number}"
