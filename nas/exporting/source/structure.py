"""What a class computes, as steps between its parts, and how classes of one kind become one with optional steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from nas.exporting.source.operations import Formula
from nas.exporting.source.tree import Scope, Tree

Read = tuple[str, int]
"""A value in `forward`: the name of the step that gives it, or `INPUT`, and which of its values."""
INPUT = ""
"""The name of the step that gives the inputs."""
_SUM = "{terms}"


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a class at work."""

    name: str
    """Of the part, with dots where it is in a list or dict of modules."""
    reads: tuple[Read, ...]
    """What it is called with."""
    num_values: int = 1
    """How many values it gives."""
    formula: Formula | None = None
    """How it is computed, where it is no module; the values of the arguments are those of one use."""

    @property
    def is_sum(self) -> bool:
        """Whether it adds up values."""
        return self.formula is not None and self.formula.text == _SUM

    @property
    def may_be_missing(self) -> bool:
        """Whether a class without it can be one with it that is switched off: modules, and shortcuts."""
        return self.num_values == 1 and (self.is_sum or (self.formula is None and len(self.reads) == 1))


@dataclass(frozen=True, slots=True)
class Structure:
    """All steps of a class, in an order in which they can run."""

    steps: tuple[Step, ...]
    """Each behind all that it reads."""
    outputs: tuple[Read, ...]
    """What the class gives."""

    @property
    def names(self) -> Set[str]:
        """Names of the steps."""
        return {step.name for step in self.steps}

    @property
    def form(self) -> tuple[object, ...]:
        """Equal for structures that differ in numbers only, and in the order of independent steps and of terms."""
        reads = {step.name: tuple(sorted(step.reads)) if step.is_sum else step.reads for step in self.steps}
        steps = ((step.name, reads[step.name], step.num_values, _text(step)) for step in self.steps)
        return (frozenset(steps), self.outputs)

    def without(self, missing: Set[str]) -> Structure:
        """Leave out steps; what read them reads what they read first."""
        instead: dict[Read, Read] = {}
        kept = []
        for step in self.steps:
            reads = tuple(instead.get(read, read) for read in step.reads)
            if step.name in missing:
                instead[step.name, 0] = reads[0]
            else:
                kept.append(replace(step, reads=reads))
        return Structure(tuple(kept), tuple(instead.get(read, read) for read in self.outputs))


def _text(step: Step) -> object:
    return step.formula and (step.formula.text, tuple(argument.name for argument in step.formula.arguments))


def structure_of(scope: Scope, tree: Tree) -> Structure:
    """Return what the class of a scope computes."""
    graph = tree.graph
    source: dict[int, Read] = {index: (INPUT, place) for place, index in enumerate(scope.inputs)}
    waiting: dict[str, tuple[tuple[int, ...], tuple[int, ...], Formula | None]] = {}
    for name, part in scope.parts():
        if isinstance(part, Scope):
            waiting[name] = part.inputs, part.outputs, None
            gives = part.outputs
        else:
            written = tree.written[part]
            gives = (part,)
            waiting[name] = graph.nodes[part].inputs, gives, written if isinstance(written, Formula) else None
        source.update({index: (name, place) for place, index in enumerate(gives)})
    steps = [
        Step(name, tuple(source[index] for index in inputs), len(gives), formula)
        for name, (inputs, gives, formula) in waiting.items()
    ]
    return Structure(_branches_first(in_order(steps)), tuple(source[index] for index in scope.outputs))


def _branches_first(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Put the terms of each sum in the order of how many steps lead to them, a shortcut last."""
    depth = {INPUT: 0}
    ordered = []
    for step in steps:
        depth[step.name] = 1 + max((depth[name] for name, _ in step.reads), default=0)
        reads = tuple(sorted(step.reads, key=lambda read: -depth[read[0]])) if step.is_sum else step.reads
        ordered.append(replace(step, reads=reads))
    return tuple(ordered)


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Put steps behind what they read, otherwise as they come."""
    waiting, done, ordered = list(steps), {INPUT}, []
    while waiting:
        ready = next(step for step in waiting if all(name in done for name, _ in step.reads))
        waiting.remove(ready)
        done.add(ready.name)
        ordered.append(ready)
    return tuple(ordered)


def merged(one: Structure, other: Structure, optional: Callable[[Step], bool]) -> Structure | None:
    """Return a structure that becomes either where steps are left out, or None where there is none.

    Args:
        one: a structure, whose order is kept.
        other: another one.
        optional: which steps may be left out.
    """
    if one.form == other.form or len(one.outputs) != len(other.outputs):
        return one if one.form == other.form else None
    steps = {step.name: step for step in one.steps}
    added = [step for step in other.steps if step.name not in steps]
    outputs = list(one.outputs)
    if not all(_put_in(step, steps, outputs, other) for step in reversed(added)):
        return None
    try:
        union = Structure(in_order(steps.values()), tuple(outputs))
    except StopIteration:  # each waits for the other
        return None
    return union if all(_becomes(union, part, optional) for part in (one, other)) else None


def _becomes(union: Structure, part: Structure, optional: Callable[[Step], bool]) -> bool:
    """Whether a structure becomes another where steps that may be missing are left out."""
    missing = union.names - part.names
    if not all(optional(step) for step in union.steps if step.name in missing):
        return False
    return union.without(missing).form == part.form


def _put_in(step: Step, steps: dict[str, Step], outputs: list[Read], other: Structure) -> Step | None:
    """Put a step of `other` before what reads it there; return it, or None where nothing does."""
    value = (step.name, 0)
    before: Read | None = None
    for reader in [entry for entry in other.steps if value in entry.reads and entry.name in steps]:
        target = steps[reader.name]
        place = reader.reads.index(value)
        if place >= len(target.reads):
            return None
        before = target.reads[place]
        reads = (*target.reads[:place], value, *target.reads[place + 1 :])
        steps[reader.name] = replace(target, reads=reads)
    for place, read in enumerate(other.outputs):
        if read == value:
            before = outputs[place]
            outputs[place] = value
    if before is None:
        return None
    # Stand where it stands in `other`: before the first step there that comes later and is known.
    behind = [entry.name for entry in other.steps[other.steps.index(step) + 1 :] if entry.name in steps]
    names = list(steps)
    at = names.index(behind[0]) if behind else len(names)
    new = replace(step, reads=(before, *step.reads[1:]))
    items = [*steps.items()]
    items.insert(at, (step.name, new))
    steps.clear()
    steps.update(items)
    return new


def step_uses(structure: Structure) -> Mapping[Read, int]:
    """Count how often each value is read."""
    counted: dict[Read, int] = {}
    for read in [*(read for step in structure.steps for read in step.reads), *structure.outputs]:
        counted[read] = counted.get(read, 0) + 1
    return counted
