"""What a search space holds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import yaml

from nas import console
from nas.errors import SpaceError
from nas.export.drawing import check_drawing, draw
from nas.space.describe import (
    Extreme,
    Spread,
    block_lines,
    decision_tree,
    describe_block,
    extreme,
    input_text,
    random_network,
    spread,
)
from nas.space.language.files import space_names
from nas.space.language.schema import space_schema
from nas.space.space import SearchSpace, load_space
from nas.space.tree.genotype import count_text

_METRICS = ("params", "macs", "activations", "peak_memory_bytes")
_EXAMPLES = """\
  python -m nas.space                               the names of all spaces
  python -m nas.space mbconv                        decisions, size, costs, smallest and largest network
  python -m nas.space my_space.yaml --data 1x28x28 --classes 10
  python -m nas.space mbconv --draw network.svg     draw one network; also .png and .dot (Graphviz)
  python -m nas.space reference/mobilenet_v2 --let width=0.5
  python -m nas.space --blocks                      what blocks there are
  python -m nas.space --block mbconv                one of them, with its settings
  python -m nas.space --schema > space.schema.json  JSON Schema of space files, for editors
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = console.parser("nas.space", "Print what a search space holds.", _EXAMPLES)
    parser.add_argument("space", nargs="?", help="name of a space, or path of a .yaml file")
    add_space_options(parser)
    parser.add_argument("--samples", type=int, default=1000, help="random networks whose costs are shown (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of the network drawn (0)")
    parser.add_argument("--draw", metavar="FILE", help="draw a random network: .svg, .png or .dot")
    parser.add_argument("--blocks", action="store_true", help="print the names of all blocks")
    parser.add_argument("--block", metavar="NAME", help="print what a block does, and its settings")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of space files")
    options = parser.parse_args(arguments)
    return console.run("nas.space", lambda: _work(options))


def _work(options: argparse.Namespace) -> None:
    if options.schema:
        print(json.dumps(space_schema(), indent=1))
    elif options.blocks:
        print("\n".join(block_lines()))
    elif options.block is not None:
        print("\n".join(describe_block(options.block)))
    elif options.space is None:
        print("\n".join(space_names()))
    else:
        _describe(options)


def add_space_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads a space: `space_from` understands it."""
    parser.add_argument("--let", action="append", default=[], metavar="NAME=VALUE", help="another value for a name")
    parser.add_argument("--data", metavar="CxHxW", help="shape of the input; CxL for series (what the space assumes)")
    parser.add_argument("--classes", type=int, help="number of classes (what the space assumes)")


def read_let(texts: Sequence[str]) -> dict[str, object]:
    """Read `["width=0.5"]`; values are written as in a space file."""
    found: dict[str, object] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark:
            raise SpaceError(f"--let takes NAME=VALUE, but got {text!r}")
        try:
            found[name] = yaml.safe_load(value)
        except (yaml.YAMLError, RecursionError, ValueError):
            raise SpaceError(f"--let {name}: not a value of a space file: {value!r}") from None
    return found


def space_from(name: str, let: Sequence[str], data: str | None, classes: int | None) -> SearchSpace:
    """Load a space for the input and classes that a command line gives."""
    space = load_space(name, **read_let(let))
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
    space = space_from(options.space, options.let, options.data, options.classes)
    size = space.size()
    print(f"{space.name}: {space.file.description}" if space.file.description else space.name)
    print(f"{count_text(size)} genotype{'s' * (size != 1)}, {input_text(space)}")
    if space.file.let_names:
        print(f"names that --let can change: {', '.join(space.file.let_names)}")
    tree = decision_tree(space)
    if tree:
        print("\nDecisions")
        print("\n".join(f"  {line}" for line in tree))
    found = spread(space, max(options.samples, 1), options.seed)
    _print_spread(found)
    _print_limits(space, found)
    for name, largest in (("Smallest", False), ("Largest", True)) if size > 1 else ():
        _print_extreme(name, extreme(space, largest=largest, seed=options.seed))
    if options.draw:
        arch = random_network(space, options.seed)
        print(f"\nDrawn: {draw(arch, options.draw, title=f'{space.name}, seed {options.seed}')}")
    if size > 1:
        print(f"\nSearch it: python -m nas.search +space={options.space}")
    else:
        print(f"\nBlock by block: python -m nas.profile {options.space}")


def _print_spread(found: Spread) -> None:
    failed = f"; {found.failed:,} of them {'is' if found.failed == 1 else 'are'} no network" if found.failed else ""
    which = f"all {found.genotypes:,}" if found.exact else f"{found.genotypes:,} random"
    title = "the network" if found.exact and found.genotypes == 1 else f"{which} genotypes"
    print(f"\nCosts of {title}{failed}")
    if not found.costs:
        return
    print(f"  {'':18}" + "".join(f"{name:>16}" for name in ("min", "5 %", "25 %", "median", "75 %", "95 %", "max")))
    for metric in _METRICS:
        print(f"  {metric:18}" + "".join(f" {value:15,.0f}" for value in found.quantiles(metric)))


def _print_limits(space: SearchSpace, found: Spread) -> None:
    if not space.limits:
        return
    print(f"\nLimits of the space, which {found.holding(space.limits):,} of these {found.genotypes:,} hold")
    for limit in space.limits:
        print(f"  {limit}")


def _print_extreme(name: str, found: Extreme) -> None:
    how = "" if found.exact else " found"
    cost = found.cost
    print(f"\n{name} network{how}: {cost.params:,} params, {cost.macs:,} MACs, {cost.size_mib:.2f} MiB")
    print(f"  {json.dumps(found.genotype)}")
