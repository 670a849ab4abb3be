"""`python -m nas.space NAME`: what a search space holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from nas.drawing import draw
from nas.errors import NasError, SpaceError
from nas.space.describe import Extreme, decision_tree, extreme, spread
from nas.space.files import space_names
from nas.space.schema import space_schema
from nas.space.space import SearchSpace, load_space

_METRICS = ("params", "macs", "activations", "peak_memory_bytes")
_HELP = """
examples
  python -m nas.space                               the names of all spaces
  python -m nas.space mbconv                        decisions, size, costs, smallest and largest network
  python -m nas.space my_space.yaml --data 1x28x28 --classes 10
  python -m nas.space mbconv --draw network.svg     draw one network; also .png and .dot (Graphviz)
  python -m nas.space reference/mobilenet_v2 --let width=0.5
  python -m nas.space --schema > space.schema.json  JSON Schema of space files, for editors
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m nas.space",
        description="Print what a search space holds.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("space", nargs="?", help="name of a space, or path of a .yaml file")
    parser.add_argument("--let", action="append", default=[], metavar="NAME=VALUE", help="another value for a name")
    parser.add_argument("--data", metavar="CxHxW", help="shape of the input, e.g. 3x32x32")
    parser.add_argument("--classes", type=int, help="number of classes")
    parser.add_argument("--samples", type=int, default=1000, help="random networks whose costs are shown")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of the network drawn")
    parser.add_argument("--draw", metavar="FILE", help="draw a random network: .svg, .png or .dot")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of space files")
    options = parser.parse_args(arguments)
    try:
        if options.schema:
            print(json.dumps(space_schema(), indent=1))
        elif options.space is None:
            print("\n".join(space_names()))
        else:
            _describe(options)
    except NasError as error:
        print(f"nas.space: {error}", file=sys.stderr)
        return 2
    return 0


def read_let(texts: Sequence[str]) -> dict[str, object]:
    """Read `["width=0.5"]`; a value is JSON where it can be read as such."""
    found: dict[str, object] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark:
            raise SpaceError(f"--let takes NAME=VALUE, but got {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def space_from(name: str, let: Sequence[str], data: str | None, classes: int | None) -> SearchSpace:
    """Load a space for the input and classes that a command line gives."""
    space = load_space(name, **read_let(let))
    shape = space.input_shape
    if data is not None:
        try:
            shape = tuple(int(size) for size in data.split("x"))
        except ValueError:
            shape = ()
        if len(shape) < 2 or min(shape) < 1:
            raise SpaceError(f"--data takes CxHxW such as 3x32x32, but got {data!r}")
    return space.for_data(shape, space.num_classes if classes is None else classes)


def _describe(options: argparse.Namespace) -> None:
    space = space_from(options.space, options.let, options.data, options.classes)
    shape = "x".join(map(str, space.input_shape))
    print(f"{space.name}: {space.file.description or 'no description'}")
    print(f"{space.size():,} genotypes, input {shape}, {space.num_classes} classes")
    for limit in space.limits:
        print(f"limit: {limit.low:g} <= {limit.metric} <= {limit.high:g}")
    tree = list(decision_tree(space))
    if tree:
        print("\nDecisions")
        print("\n".join(f"  {line}" for line in tree))
    if space.size() > 1 and options.samples > 0:
        _print_spread(space, options.samples, options.seed)
    for name, largest in (("Smallest", False), ("Largest", True)) if space.size() > 1 else ():
        _print_extreme(name, extreme(space, largest=largest, seed=options.seed))
    if options.draw:
        genotype = space.sample(options.seed)
        print(f"\nDrawn: {draw(space.decode(genotype), options.draw, title=f'{space.name}, seed {options.seed}')}")
    print(f"\nSearch it: python -m nas.search +space={options.space}")


def _print_spread(space: SearchSpace, samples: int, seed: int) -> None:
    found = spread(space, samples, seed)
    failed = f"; {found.failed} of them are no network" if found.failed else ""
    print(f"\nCosts of {samples} random genotypes{failed}")
    if not found.costs:
        return
    print(f"  {'':18}" + "".join(f"{name:>14}" for name in ("min", "5 %", "25 %", "median", "75 %", "95 %", "max")))
    for metric in _METRICS:
        print(f"  {metric:18}" + "".join(f"{value:14,.0f}" for value in found.quantiles(metric)))


def _print_extreme(name: str, found: Extreme) -> None:
    how = "" if found.exact else " found"
    cost = found.cost
    print(f"\n{name} network{how}: {cost.params:,} params, {cost.macs:,} MACs, {cost.size_mib:.2f} MiB")
    print(f"  {json.dumps(found.genotype)}")


if __name__ == "__main__":
    sys.exit(main())
