"""What a network costs, block by block."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import console
from nas.commands.options import profile_parser
from nas.commands.space import space_from
from nas.cost import BlockCost, Cost, block_costs, cost_of
from nas.cost.measured_costs import completed
from nas.cost.memory import MIB
from nas.errors import ConfigError, why_unreadable
from nas.exporting.drawing import check_drawing, draw
from nas.json_output import add_facts
from nas.latency.deployment import deployment
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.run_folder import user_path
from nas.space.describe import random_network

if TYPE_CHECKING:
    from nas.latency.measure import Latency

_COLUMNS = ("out", "params", "MACs", "activations", "peak MiB", "field", "stride")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = profile_parser().parse_args(arguments)
    return console.run("nas.profile", lambda: _work(options), json=options.json)


def _work(options: argparse.Namespace) -> None:
    if options.draw:
        check_drawing(options.draw)
    usual = {"runtime": "auto", "batch": 1, "threads": 1}
    for name, value in usual.items():
        if not options.latency and getattr(options, name) != value:
            raise ConfigError(f"--{name} is for --latency, which is not given")
    if options.latency:
        deployment(options.runtime, options.batch, options.threads)
    arch = _read(options)
    if options.draw:
        add_facts({"drawing": draw(arch, options.draw, title=options.network)})
    add_facts(_facts(arch, layers=options.layers))
    _print(arch, options.network, layers=options.layers)
    if options.latency:
        latency = _latency(arch, options)
        add_facts({"latency": latency.to_dict()})
        print(f"latency           {latency}")


def _latency(arch: Architecture, options: argparse.Namespace) -> Latency:
    from nas.latency.device_profile import known_profile
    from nas.latency.measure import Meter

    where = deployment(options.runtime, options.batch, options.threads)
    profile = known_profile(Path(options.records), where)
    return Meter(where, usual_ms=profile.reference_ms if profile else inf).measure(arch)


def _read(options: argparse.Namespace) -> Architecture:
    # A genotype in a file is not an architecture.
    if options.network.endswith(".json"):
        for name in ("let", "fix", "data", "classes", "genotype", "seed"):
            if getattr(options, name) not in (None, []):
                raise ConfigError(
                    f"--{name} is for a space, but {options.network} is one network with all that decided"
                )
        return Architecture.from_json(_text_of(options.network))
    space = space_from(options.network, options.let, options.data, options.classes, options.fix)
    if options.genotype is None:
        return random_network(space, options.seed or 0)
    given = options.genotype
    try:
        genotype = json.loads(_text_of(given) if given.endswith(".json") else given)
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"--genotype is not JSON: {error}") from None
    if not isinstance(genotype, dict):
        raise ConfigError(f"--genotype is a mapping from decisions to values, but got {genotype!r}")
    return space.decode(genotype)


def _text_of(path: str) -> str:
    try:
        return user_path(path).read_text()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {why_unreadable(error)}") from None


def _facts(arch: Architecture, *, layers: bool) -> dict[str, Any]:
    return {
        "arch_id": arch.arch_id,
        "input_shape": arch.input_shape,
        "num_classes": arch.num_classes,
        "total": cost_of(arch).to_dict(),
        "blocks": [
            {
                "name": block_cost.name,
                **block_cost.block.to_dict(),
                "out_shapes": block_cost.out_shapes,
                "cost": block_cost.cost.to_dict(),
                "receptive_field": block_cost.cumulative.receptive_field,
                "stride": block_cost.cumulative.stride,
            }
            for block_cost in block_costs(arch)
        ],
        **({"layers": list(_layers(arch))} if layers else {}),
    }


def _layers(arch: Architecture) -> Iterator[dict[str, Any]]:
    graph = lower(arch)
    for node, counted in zip(graph.nodes[1:], completed(graph).nodes[1:], strict=True):
        yield {
            "name": node.name,
            "operation": type(node.op).__name__,
            "out_shape": node.shape,
            "params": counted.op.params,
            "macs": counted.op.macs(node.shape) + counted.op.attention_macs(node.shape),
            "in_place": node.in_place,
        }


def _print(arch: Architecture, name: str, *, layers: bool) -> None:
    rows = [_row(block_cost) for block_cost in block_costs(arch)]
    widths = [max(len(row[i]) for row in [("", "", *_COLUMNS), *rows]) for i in range(len(_COLUMNS) + 2)]
    shape = "x".join(map(str, arch.input_shape))
    print(f"{name}: arch_id {arch.arch_id}, input {shape}, {arch.num_classes} classes\n")
    for row in [("", "block", *_COLUMNS), *rows]:
        left = f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}"
        print(left + "".join(f"  {text:>{width}}" for text, width in zip(row[2:], widths[2:], strict=True)))
    if layers:
        _print_layers(arch)
    print()
    _print_total(cost_of(arch))


def _row(one: BlockCost) -> tuple[str, ...]:
    cost, field = one.cost, one.cumulative.receptive_field
    return (
        one.name,
        one.block.kind,
        ",".join("x".join(map(str, shape)) for shape in one.out_shapes),
        f"{cost.params:,}",
        f"{cost.macs:,}",
        f"{cost.activations:,}",
        f"{cost.peak_memory_mib:.2f}",
        "all" if field is None else str(field),
        "x".join(f"{n:g}" for n in one.cumulative.stride) or "-",
    )


def _print_layers(arch: Architecture) -> None:
    print("\noperations")
    for layer in _layers(arch):
        place = " (in place)" if layer["in_place"] else ""
        shape = "x".join(map(str, layer["out_shape"]))
        counted = f"{layer['params']:>12,} {layer['macs']:>16,}{place}"
        print(f"  {layer['name']:<50} {layer['operation']:<16} {shape:>14} {counted}")


def _print_total(cost: Cost) -> None:
    print(f"params            {cost.params:,} in {cost.param_tensors} tensors")
    print(f"MACs              {cost.macs:,}, of which attention {cost.attention_macs:,}   (FLOPs are twice as many)")
    print(f"activations       {cost.activations:,} numbers written in inference")
    print(
        f"stored size       {cost.size_mib:.2f} MiB in fp32, {cost.size_fp16_bytes / MIB:.2f} in fp16, "
        f"{cost.size_int8_bytes / MIB:.2f} with weights in int8"
    )
    print(f"peak memory       {cost.peak_memory_mib:.2f} MiB of activations in inference")
    print(f"training memory   {cost.training_memory_bytes / MIB:.2f} MiB kept for the backward pass of one example")
    field = "all of the input" if cost.receptive_field is None else f"{cost.receptive_field} positions"
    print(f"receptive field   {field}, stride {'x'.join(f'{n:g}' for n in cost.stride) or '-'}")
