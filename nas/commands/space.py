"""What a search space holds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import yaml

from nas import console
from nas.commands.options import space_parser
from nas.errors import SpaceError
from nas.exporting.drawing import check_drawing, draw
from nas.json_output import add_facts
from nas.network.registry import block_names
from nas.resources import space_names
from nas.space.describe import (
    Extreme,
    Spread,
    block_facts,
    block_lines,
    decision_tree,
    describe_block,
    extreme,
    input_text,
    random_network,
    spread,
)
from nas.space.fix import fixed
from nas.space.language.schema import space_schema
from nas.space.space import SearchSpace, load_space
from nas.space.tree.genotype import count_text

_METRICS = ("params", "macs", "activations", "peak_memory_bytes")
_QUANTILES = ("min", "5 %", "25 %", "median", "75 %", "95 %", "max")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = space_parser().parse_args(arguments)
    return console.run("nas.space", lambda: _work(options), json=options.json)


def _work(options: argparse.Namespace) -> None:
    if options.schema:
        add_facts(space_schema())
        print(json.dumps(space_schema(), indent=1))
    elif options.blocks:
        add_facts({"blocks": block_names()})
        print("\n".join(block_lines()))
    elif options.block is not None:
        lines = describe_block(options.block)
        add_facts(block_facts(options.block))
        print("\n".join(lines))
    elif options.space is None:
        add_facts({"spaces": space_names()})
        print("\n".join(space_names()))
    else:
        _describe(options)


def read_let(texts: Sequence[str], option: str = "--let") -> dict[str, object]:
    """Read `["width=0.5"]`; values are written as in a space file."""
    values: dict[str, object] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark:
            raise SpaceError(f"{option} takes NAME=VALUE, but got {text!r}")
        try:
            values[name] = yaml.safe_load(value)
        except (yaml.YAMLError, RecursionError, ValueError):
            raise SpaceError(f"{option} {name}: not a value of a space file: {value!r}") from None
    return values


def space_from(
    name: str, let: Sequence[str], data: str | None, classes: int | None, fix: Sequence[str] = ()
) -> SearchSpace:
    """Load a space for the input and classes that a command line gives, with the decisions fixed that it fixes."""
    space = fixed(load_space(name, **read_let(let)), read_let(fix, "--fix"), "--fix")
    shape = space.input_shape if data is None else read_shape(data)
    return space.for_data(shape, space.num_classes if classes is None else classes, task="any")


def read_shape(text: str) -> tuple[int, ...]:
    """Read `"3x32x32"`."""
    try:
        shape = tuple(int(size) for size in text.split("x"))
    except ValueError:
        shape = ()
    if len(shape) < 2 or min(shape) < 1:
        raise SpaceError(f"--data takes CxHxW such as 3x32x32, but got {text!r}")
    return shape


def _describe(options: argparse.Namespace) -> None:
    if options.draw:
        check_drawing(options.draw)
    space = space_from(options.space, options.let, options.data, options.classes, options.fix)
    size = space.size()
    add_facts(_facts_of(space))
    print(f"{space.name}: {space.file.description}" if space.file.description else space.name)
    print(f"{count_text(size)} genotype{'s' * (size != 1)}, {input_text(space)}")
    if space.file.let_names:
        print(f"names that --let can change: {', '.join(space.file.let_names)}")
    tree = decision_tree(space)
    if tree:
        print("\nDecisions")
        print("\n".join(f"  {line}" for line in tree))
    sample = spread(space, max(options.samples, 1), options.seed)
    add_facts(_facts_of_sample(space, sample))
    _print_spread(sample)
    _print_limits(space, sample)
    for name, largest in (("Smallest", False), ("Largest", True)) if size > 1 else ():
        found = extreme(space, largest=largest, seed=options.seed)
        add_facts({name.lower(): {"genotype": found.genotype, "cost": found.cost.to_dict(), "exact": found.exact}})
        _print_extreme(name, found)
    if options.draw:
        drawn = draw(random_network(space, options.seed), options.draw, title=f"{space.name}, seed {options.seed}")
        add_facts({"drawing": drawn})
        print(f"\nDrawn: {drawn}")
    if size > 1:
        print(f"\nSearch it: python -m nas.search +space={options.space}")
    else:
        print(f"\nBlock by block: python -m nas.profile {options.space}")


def _facts_of(space: SearchSpace) -> dict[str, Any]:
    return {
        "space": space.name,
        "description": space.file.description,
        "genotypes": space.size(),
        "input_shape": space.input_shape,
        "num_classes": space.num_classes,
        "let": space.file.let_names,
        "decisions": {path: choice.values for path, choice in space.decisions().items()},
    }


def _facts_of_sample(space: SearchSpace, sample: Spread) -> dict[str, Any]:
    counted = {"genotypes": sample.genotypes, "no_network": sample.failed, "exact": sample.exact}
    limits = (
        {"limits": [*map(str, space.limits)], "holding_limits": sample.holding(space.limits)} if space.limits else {}
    )
    costs = {
        metric: dict(zip(_QUANTILES, sample.quantiles(metric), strict=True)) for metric in _METRICS if sample.costs
    }
    return {"sample": {**counted, **limits, "costs": costs}}


def _print_spread(sample: Spread) -> None:
    failed = f"; {sample.failed:,} of them {'is' if sample.failed == 1 else 'are'} no network" if sample.failed else ""
    which = f"all {sample.genotypes:,}" if sample.exact else f"{sample.genotypes:,} random"
    title = "the network" if sample.exact and sample.genotypes == 1 else f"{which} genotypes"
    print(f"\nCosts of {title}{failed}")
    if not sample.costs:
        return
    print(f"  {'':18}" + "".join(f"{name:>16}" for name in _QUANTILES))
    for metric in _METRICS:
        print(f"  {metric:18}" + "".join(f" {value:15,.0f}" for value in sample.quantiles(metric)))


def _print_limits(space: SearchSpace, sample: Spread) -> None:
    if not space.limits:
        return
    print(f"\nLimits of the space, which {sample.holding(space.limits):,} of these {sample.genotypes:,} hold")
    for limit in space.limits:
        print(f"  {limit}")


def _print_extreme(name: str, extreme: Extreme) -> None:
    how = "" if extreme.exact else " found"
    cost = extreme.cost
    print(f"\n{name} network{how}: {cost.params:,} params, {cost.macs:,} MACs, {cost.size_mib:.2f} MiB")
    print(f"  {json.dumps(extreme.genotype)}")
