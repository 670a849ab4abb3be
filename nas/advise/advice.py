"""The advice on a request: networks, spaces, limits and commands, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.advise import rules_of_thumb as rules
from nas.advise.command_lines import Command, commands, python_code
from nas.advise.networks import CountedNetwork, Start, candidates, choose_starts, smallest, within_limits
from nas.advise.notes import notes
from nas.advise.request import Request
from nas.advise.space_choice import (
    SEGMENT,
    Choice,
    Limit,
    Region,
    choose_region,
    impossible_networks,
    suited_spaces,
)
from nas.cost import Constraint
from nas.network.ops import Shape
from nas.space import SearchSpace, load_space

_USUAL: dict[str, tuple[Shape, int]] = {
    "classification": ((3, 224, 224), 1000),
    "series": ((1, 128), 10),
    "segmentation": ((3, 256, 256), 2),
    "detection": ((3, 800, 800), 1000),
}


@dataclass(frozen=True, slots=True)
class Advice:
    """Networks to start from, spaces to search, limits to set, and the commands for it."""

    request: Request
    input_shape: Shape
    num_classes: int
    starts: tuple[Start, ...]
    spaces: tuple[Choice, ...]
    limits: tuple[Limit, ...]
    commands: tuple[Command, ...]
    python: str
    """Python code for tasks that no command trains; empty where the commands do."""
    impossible: tuple[str, ...]
    """A line for each limit that nothing holds, with the need of the smallest network."""
    notes: tuple[str, ...]
    """Caveats and rules of thumb, a sentence or more each."""

    @property
    def hopeless(self) -> bool:
        """Whether no network and no space holds the limits of the request."""
        return not self.starts and not self.spaces

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as plain values for JSON."""
        return {
            "task": self.request.task,
            "priority": self.request.effective_priority,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "starts": [_start(each) for each in self.starts],
            "spaces": [
                {"space": each.space.name, "share_within_limits": each.share, "reason": each.reason}
                for each in self.spaces
            ],
            "limits": [
                {
                    "metric": each.constraint.metric,
                    "bound": each.constraint.high,
                    "asked": each.requested,
                    "reason": each.reason,
                }
                for each in self.limits
            ],
            "commands": [{"what": each.what, "command": each.line} for each in self.commands],
            "python": self.python,
            "impossible": list(self.impossible),
            "notes": list(self.notes),
        }


def _start(start: Start) -> dict[str, Any]:
    network = start.network
    return {
        "network": f"reference/{network.published.space}",
        "let": dict(network.published.let),
        "input_shape": list(network.input_shape),
        "imagenet_top1": network.published.top1,
        "source": network.published.source,
        "cost": network.cost.to_dict(),
        "reason": start.reason,
    }


def advise(request: Request) -> Advice:
    """Return the advice on a request.

    Raises:
        NasError: an input that no network takes.
    """
    networks, refused = candidates(request)
    starts = _starts(request, networks)
    shape, classes = _input(request, starts[0].network if starts else None)
    region = Region((), (), ())
    if request.task != "detection":  # for which there are no spaces
        region = choose_region(request, starts, shape, classes)
    impossible = (*(() if starts else _impossible(request, networks)), *region.impossible * (not region.choices))
    return Advice(
        request,
        shape,
        classes,
        tuple(starts),
        region.choices,
        region.limits,
        commands(request, starts, region, shape, classes),
        python_code(request, starts, region, shape, classes),
        impossible,
        (*notes(request, starts, region), *refused),
    )


def spaces_for(shape: Shape, classes: int, images: int | None = None, *, segments: bool = False) -> list[SearchSpace]:
    """Return up to three spaces that suit images or series of a shape, the first one first, made for them.

    They are those of `advise` without limits: a space is brought to limits by its widths (`nas.space.fit`), so that
    what it holds of them as it is written says little of it.

    Args:
        shape: `(channels, height, width)`, or `(channels, length)`.
        classes: number of classes.
        images: number of labelled images for training; None where it is not known.
        segments: whether classes are of pixels, and not of images.
    """
    if segments:
        return [load_space(name).for_data(shape, classes) for name in SEGMENT]
    task = "classification" if len(shape) == 3 else "series"
    request = Request(task=task, shape=shape, classes=classes, images=images)
    networks, _ = candidates(request)
    return suited_spaces(request, _starts(request, networks), shape, classes)


def _starts(request: Request, networks: list[CountedNetwork]) -> list[Start]:
    allowed = within_limits(networks, request.counted_limits)
    if request.on_battery and request.macs is None:
        allowed = within_limits(allowed, [Constraint("macs", high=rules.MOBILE_MACS)]) or allowed
    return choose_starts(request, allowed) if allowed else []


def _input(request: Request, first: CountedNetwork | None) -> tuple[Shape, int]:
    """Return the input shape and the number of classes that costs are counted for."""
    if first is not None:
        return first.input_shape, first.num_classes
    shape, classes = _USUAL[request.task]
    return request.shape or shape, request.classes or classes


def _impossible(request: Request, networks: list[CountedNetwork]) -> list[str]:
    if not networks:
        size = "x".join(map(str, request.shape or ()))
        return [f"data: no published network for {request.task} takes an input of {size}"]
    return impossible_networks(
        request, networks, {limit.metric: smallest(networks, limit.metric) for limit in request.counted_limits}
    )
