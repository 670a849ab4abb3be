"""The advice: from what is wanted to networks, spaces, limits and commands, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.advise import rules_of_thumb as rules
from nas.advise.command_lines import Command, commands, python_code
from nas.advise.networks import Network, Start, candidates, smallest, starts, within
from nas.advise.notes import notes
from nas.advise.request import Wanted
from nas.advise.space_choice import Choice, Limit, Region, impossible_networks, region
from nas.cost import Constraint
from nas.network.ops import Shape

_USUAL: dict[str, tuple[Shape, int]] = {
    "classification": ((3, 224, 224), 1000),
    "series": ((1, 128), 10),
    "segmentation": ((3, 256, 256), 2),
    "detection": ((3, 800, 800), 1000),
}


@dataclass(frozen=True, slots=True)
class Advice:
    """What to start from, where to search, and how."""

    wanted: Wanted
    input_shape: Shape
    num_classes: int
    starts: tuple[Start, ...]
    spaces: tuple[Choice, ...]
    limits: tuple[Limit, ...]
    commands: tuple[Command, ...]
    python: str
    """Code for what no command does; empty where the commands do."""
    impossible: tuple[str, ...]
    """Limits that nothing holds, with what the smallest network needs."""
    notes: tuple[str, ...]
    """What is not known, and rules of thumb."""

    @property
    def hopeless(self) -> bool:
        """Whether nothing at all holds what is asked."""
        return not self.starts and not self.spaces

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "task": self.wanted.task,
            "priority": self.wanted.aim,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "starts": [_start(one) for one in self.starts],
            "spaces": [
                {"space": one.space.name, "share_within_limits": one.share, "reason": one.reason} for one in self.spaces
            ],
            "limits": [
                {
                    "metric": one.constraint.metric,
                    "bound": one.constraint.high,
                    "asked": one.asked,
                    "reason": one.reason,
                }
                for one in self.limits
            ],
            "commands": [{"what": one.what, "command": one.line} for one in self.commands],
            "python": self.python,
            "impossible": list(self.impossible),
            "notes": list(self.notes),
        }


def _start(start: Start) -> dict[str, Any]:
    one = start.network
    return {
        "network": f"reference/{one.published.space}",
        "let": dict(one.published.let),
        "input_shape": list(one.input_shape),
        "imagenet_top1": one.published.top1,
        "source": one.published.source,
        "cost": one.cost.to_dict(),
        "reason": start.reason,
    }


def advise(wanted: Wanted) -> Advice:
    """Return the advice for what is wanted.

    Raises:
        NasError: an input that no network takes.
    """
    every, refused = candidates(wanted)
    found = _starts(wanted, every)
    shape, classes = _input(wanted, found[0].network if found else None)
    where = (
        Region((), (), ()) if wanted.task in ("segmentation", "detection") else region(wanted, found, shape, classes)
    )
    impossible = (*(() if found else _impossible(wanted, every)), *where.impossible * (not where.choices))
    return Advice(
        wanted,
        shape,
        classes,
        tuple(found),
        where.choices,
        where.limits,
        commands(wanted, found, where, shape, classes),
        python_code(wanted, found, where, shape, classes),
        impossible,
        (*notes(wanted, found, where), *refused),
    )


def _starts(wanted: Wanted, every: list[Network]) -> list[Start]:
    held = within(every, wanted.limits)
    if wanted.on_battery and wanted.macs is None:
        held = within(held, [Constraint("macs", high=rules.MOBILE_MACS)]) or held
    return starts(wanted, held) if held else []


def _input(wanted: Wanted, first: Network | None) -> tuple[Shape, int]:
    """The input and the classes that costs are shown for."""
    if first is not None:
        return first.input_shape, first.num_classes
    shape, classes = _USUAL[wanted.task]
    return wanted.shape or shape, wanted.classes or classes


def _impossible(wanted: Wanted, every: list[Network]) -> list[str]:
    if not every:
        size = "x".join(map(str, wanted.shape or ()))
        return [f"data: no published network for {wanted.task} takes an input of {size}"]
    return impossible_networks(wanted, every, {one.metric: smallest(every, one.metric) for one in wanted.limits})
