"""An advice as text for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from nas.advise.advice import Advice
from nas.advise.networks import CountedNetwork
from nas.cost.memory import MIB

_WIDTH = 112


def lines(advice: Advice) -> Iterator[str]:
    """Yield the lines of an advice."""
    yield _asked(advice)
    yield from _listed("\nNot possible", advice.impossible)
    yield from _starts(advice)
    for title, entries in (
        ("\nSearch, the first one first", [f"{choice.space.name}: {choice.reason}" for choice in advice.spaces]),
        ("\nLimits", [f"{limit}: {limit.reason}" for limit in advice.limits]),
    ):
        yield from _listed(title, entries, "  ")
    yield from _what_to_run(advice)
    yield from _listed("\nGood to know", advice.notes)


def _listed(title: str, entries: Sequence[str], indent: str = "  - ") -> Iterator[str]:
    """Yield a title and what is listed below it; nothing where there is nothing."""
    if entries:
        yield title
        for entry in entries:
            yield from _sentence(entry, indent)


def _starts(advice: Advice) -> Iterator[str]:
    """Yield the networks to start from, each with its costs and its reason."""
    if advice.starts:
        yield "\nStart from"
        width = max(len(start.network.name) for start in advice.starts)
        for start in advice.starts:
            yield f"  {start.network.name:{width}}  {_costs(start.network)}"
            yield from _sentence(f"{start.reason} ({start.network.published.source})", "      ")


def _what_to_run(advice: Advice) -> Iterator[str]:
    if advice.commands:
        yield "\nCommands"
        for command in advice.commands:
            yield f"  # {command.what}"
            yield f"  {command.line}"
    if advice.python:
        yield "\nFrom Python"
        yield textwrap.indent(advice.python, "  ")


def _asked(advice: Advice) -> str:
    request = advice.request
    device = f" on {request.device}" if request.device else ""
    size = "x".join(map(str, advice.input_shape))
    counted = f"costs at {size}" if request.shape else "costs at the input at which each network was published"
    classes = "" if request.task == "detection" else f", {advice.num_classes:,} classes"
    return f"{request.task.capitalize()}{device}, priority {request.effective_priority}; {counted}{classes}"


def _costs(network: CountedNetwork) -> str:
    top1, cost = network.published.top1, network.cost
    accuracy = f"top-1 {top1:.1f} %   " if top1 is not None else ""
    size = "x".join(map(str, network.input_shape))
    return (
        f"{accuracy}{cost.params / 1e6:.2f} M params   {cost.macs / 1e6:,.1f} M MACs   "
        f"{cost.size_bytes / MIB:.1f} MiB   {size}"
    )


def _sentence(text: str, before: str) -> list[str]:
    inside = " " * len(before.rstrip(" ")) + " " * (len(before) - len(before.rstrip(" ")))
    return textwrap.wrap(
        text, _WIDTH, initial_indent=before, subsequent_indent=inside, break_long_words=False, break_on_hyphens=False
    )
