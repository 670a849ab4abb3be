"""`python -m nas.profile SPACE_OR_ARCH`: what a network costs, block by block."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.cost import BlockProfile, Cost, cost_of, profile
from nas.drawing import draw
from nas.errors import ConfigError, NasError
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.space.__main__ import space_from

_HELP = """
examples
  python -m nas.profile reference/resnet50
  python -m nas.profile mbconv --seed 3                  a random network of a space
  python -m nas.profile runs/NAME/best_architecture.json
  python -m nas.profile reference/mobilenet_v2 --let width=0.5 --data 3x160x160
  python -m nas.profile reference/resnet18 --layers      every operation
  python -m nas.profile reference/resnet18 --json > costs.json
"""
_COLUMNS = ("out", "params", "MACs", "activations", "peak MiB", "field", "stride")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m nas.profile",
        description="Print the cost of a network, block by block and in total, at batch 1.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", help="a space (name or .yaml), or an architecture (.json)")
    parser.add_argument("--let", action="append", default=[], metavar="NAME=VALUE", help="another value for a name")
    parser.add_argument("--genotype", help="JSON of the decisions; without it a random network of the space")
    parser.add_argument("--seed", type=int, default=0, help="of the random network")
    parser.add_argument("--data", metavar="CxHxW", help="shape of the input")
    parser.add_argument("--classes", type=int, help="number of classes")
    parser.add_argument("--layers", action="store_true", help="show every operation, not only the blocks")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--draw", metavar="FILE", help="draw the network too: .svg, .png or .dot")
    options = parser.parse_args(arguments)
    try:
        arch = _read(options)
        if options.json:
            print(json.dumps(_as_json(arch), indent=1))
        else:
            _print(arch, layers=options.layers)
        if options.draw:
            draw(arch, options.draw)
    except NasError as error:
        print(f"nas.profile: {error}", file=sys.stderr)
        return 2
    return 0


def _read(options: argparse.Namespace) -> Architecture:
    if options.network.endswith(".json"):
        try:
            return Architecture.from_json(Path(options.network).expanduser().read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{options.network} cannot be read: {error}") from None
    space = space_from(options.network, options.let, options.data, options.classes)
    if options.genotype is None:
        return space.decode(space.sample(options.seed))
    try:
        genotype = json.loads(options.genotype)
    except ValueError as error:
        raise ConfigError(f"--genotype is not JSON: {error}") from None
    if not isinstance(genotype, dict):
        raise ConfigError(f"--genotype is a mapping from decisions to values, but got {genotype!r}")
    return space.decode(genotype)


def _as_json(arch: Architecture) -> dict[str, Any]:
    return {
        "arch_id": arch.arch_id,
        "total": cost_of(arch).to_dict(),
        "blocks": [
            {
                "name": one.name,
                **one.block.to_dict(),
                "out_shapes": one.out_shapes,
                "cost": one.cost.to_dict(),
                "receptive_field": one.so_far.receptive_field,
                "stride": one.so_far.stride,
            }
            for one in profile(arch)
        ],
    }


def _print(arch: Architecture, *, layers: bool) -> None:
    rows = [_row(one) for one in profile(arch)]
    widths = [max(len(row[i]) for row in [("", "", *_COLUMNS), *rows]) for i in range(len(_COLUMNS) + 2)]
    print(f"arch_id {arch.arch_id}, input {'x'.join(map(str, arch.input_shape))}, {arch.num_classes} classes\n")
    for row in [("", "block", *_COLUMNS), *rows]:
        left = f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}"
        print(left + "".join(f"  {text:>{width}}" for text, width in zip(row[2:], widths[2:], strict=True)))
    if layers:
        _print_layers(arch)
    print()
    _print_total(cost_of(arch))


def _row(one: BlockProfile) -> tuple[str, ...]:
    cost, field = one.cost, one.so_far.receptive_field
    return (
        one.name,
        one.block.kind,
        ",".join("x".join(map(str, shape)) for shape in one.out_shapes),
        f"{cost.params:,}",
        f"{cost.macs:,}",
        f"{cost.activations:,}",
        f"{cost.peak_memory_mib:.2f}",
        "all" if field is None else str(field),
        "x".join(f"{n:g}" for n in one.so_far.stride) or "-",
    )


def _print_layers(arch: Architecture) -> None:
    graph = lower(arch)
    print("\noperations")
    for node in graph.nodes[1:]:
        macs = node.op.macs(node.shape) + node.op.attention_macs(node.shape)
        place = " (in place)" if node.in_place else ""
        shape = "x".join(map(str, node.shape))
        kind = type(node.op).__name__
        print(f"  {node.name:<50} {kind:<16} {shape:>14} {node.op.params:>12,} {macs:>16,}{place}")


def _print_total(cost: Cost) -> None:
    mib = 2**20
    print(f"params            {cost.params:,} in {cost.param_tensors} tensors")
    print(f"MACs              {cost.macs:,}, of which attention {cost.attention_macs:,}   (FLOPs are twice as many)")
    print(f"activations       {cost.activations:,} numbers written in inference")
    print(
        f"stored size       {cost.size_mib:.2f} MiB in fp32, {cost.size_fp16_bytes / mib:.2f} in fp16, "
        f"{cost.size_int8_bytes / mib:.2f} with weights in int8"
    )
    print(f"peak memory       {cost.peak_memory_mib:.2f} MiB of activations in inference")
    print(f"training memory   {cost.training_memory_bytes / mib:.2f} MiB kept for the backward pass of one example")
    field = "all of the input" if cost.receptive_field is None else f"{cost.receptive_field} positions"
    print(f"receptive field   {field}, stride {'x'.join(f'{n:g}' for n in cost.stride) or '-'}")


if __name__ == "__main__":
    sys.exit(main())
