"""Do model.py and ONNX compute what the network does? Random networks of every space, and the published networks.

    python -m benchmarks.exported_source --networks 300

Each network gets random weights. Its model.py runs in a process that has torch and safetensors and cannot import nas;
its ONNX file in onnxruntime, with a batch of 1 and of 7. The table has the largest difference of any output, as a share
of the largest output where that is over 1: model.py holds at most 1e-5, ONNX at most 1e-4. The exit code says whether
all do.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import nas
from nas.errors import NasError, ShapeError
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.source import Source, architecture_source
from nas.network.lower import lower

MOST_SOURCE, MOST_ONNX = 1e-5, 1e-4
BATCHES = (1, 7)
# Runs each folder that it is told, with nothing of nas.
ALONE = """
import importlib.util, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nas", "onnx"):  # safetensors needs NumPy to write outputs
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
import torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
for line in sys.stdin:
    folder = line.strip()
    spec = importlib.util.spec_from_file_location("model", folder + "/model.py")
    model = importlib.util.module_from_spec(spec)
    sys.modules["model"] = model
    spec.loader.exec_module(model)
    network = model.load(folder + "/model.safetensors")
    with torch.no_grad():
        given = network(load_file(folder + "/input.safetensors")["x"])
    given = given if isinstance(given, tuple) else (given,)
    save_file({str(i): y.contiguous() for i, y in enumerate(given)}, folder + "/output.safetensors")
    print(sum(p.numel() for p in network.parameters()), flush=True)
"""


@dataclass
class Row:
    """What was measured of the networks of one space."""

    source: list[float] = field(default_factory=list)
    onnx: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    renamed: int = 0
    wrong_params: int = 0

    def text(self, name: str) -> str:
        """A row of the table."""
        return (
            f"| {name} | {len(self.source)} | {max(self.source):.1e} | {max(self.onnx):.1e} | {self.wrong_params} "
            f"| {self.renamed} | {sorted(self.lines)[len(self.lines) // 2]} | {1000 * max(self.seconds):.0f} |"
        )


def with_random_state(module: nn.Module) -> nn.Module:
    """Statistics, scales and biases as training leaves them, not 0 and 1."""
    for name, value in module.state_dict().items():
        last = name.rpartition(".")[2]
        if last == "running_var" or (last == "weight" and value.dim() == 1):
            value.copy_(torch.rand(value.shape) * 0.5 + 0.75)
        elif last in ("running_mean", "bias"):
            value.copy_(torch.randn(value.shape) * 0.1)
    return module.eval()


def outputs_of(module: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        given = module(x)
    return given if isinstance(given, tuple) else (given,)


def difference(found: list[Tensor], expected: tuple[Tensor, ...]) -> float:
    """The largest difference of two outputs, as a share of the largest number where that is over 1."""
    assert [one.shape for one in found] == [one.shape for one in expected]
    return max(
        float((one - other).abs().max()) / max(1.0, float(other.abs().max()))
        for one, other in zip(found, expected, strict=True)
    )


def networks(
    count: int, most_params: float, most_macs: float, resolution: int
) -> Iterator[tuple[str, nas.Architecture]]:
    """Yield `count` random networks, the same number of each space, and the published ones."""
    names = nas.space_names()
    searched = [name for name in names if "/" not in name]
    for place in range(count):
        name = searched[place % len(searched)]
        space, rng = nas.load_space(name), random.Random(f"exported source {place}")
        while True:
            arch = space.decode(space.sample(rng))
            try:
                cost = nas.cost_of(arch)
            except ShapeError:  # a map too small for this depth
                continue
            if cost.params <= most_params and cost.macs <= most_macs:
                break
        yield name, arch
    for name in names:
        if "/" in name:
            arch = nas.load_space(name).decode({})
            if nas.cost_of(arch).params <= most_params:
                yield name, smaller(name, arch, resolution) if resolution else arch


def smaller(name: str, arch: nas.Architecture, resolution: int) -> nas.Architecture:
    """The same network for smaller inputs, where it takes those."""
    channels, *sizes = arch.input_shape
    shape = (channels, *(min(size, resolution) for size in sizes))
    try:
        small = nas.load_space(name).for_data(shape, arch.num_classes).decode({})
        lower(small)
    except NasError:
        return arch
    return small


def measure(arch: nas.Architecture, folder: Path, alone: subprocess.Popen[str], row: Row) -> None:
    """Write, run and compare one network."""
    import onnxruntime

    graph = lower(arch)
    module = with_random_state(nas.build(arch))
    start = time.perf_counter()
    source: Source = architecture_source(arch)
    row.seconds.append(time.perf_counter() - start)
    row.lines.append(len(source.text.splitlines()))
    row.renamed += any(name != other for name, other in source.names.items())
    state = module.state_dict()
    (folder / "model.py").write_text(source.text)
    save_file({source.names[name]: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    x = torch.randn(max(BATCHES), *arch.input_shape)
    save_file({"x": x}, folder / "input.safetensors")
    assert alone.stdin is not None
    assert alone.stdout is not None
    alone.stdin.write(f"{folder}\n")
    alone.stdin.flush()
    params = alone.stdout.readline()
    if not params:
        raise SystemExit(f"model.py failed: {source.text}")
    row.wrong_params += int(params) != nas.cost_of(arch).params
    expected = outputs_of(module, x)
    written = load_file(folder / "output.safetensors")
    row.source.append(difference([written[str(i)] for i in range(len(written))], expected))
    model = to_onnx(graph, {name: value.numpy() for name, value in state.items()})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for batch in BATCHES:
        found = [torch.from_numpy(y) for y in session.run(None, {"x": x[:batch].numpy()})]
        row.onnx.append(difference(found, tuple(y[:batch] for y in expected)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=300, help="random networks, spread over all spaces")
    parser.add_argument("--most-params", type=float, default=30e6, help="leave out larger networks")
    parser.add_argument("--most-macs", type=float, default=2e9, help="leave out random networks of more work")
    parser.add_argument("--resolution", type=int, default=0, help="inputs of published networks at most; 0: their own")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows: dict[str, Row] = {}
    print("| space | networks | model.py | ONNX | wrong params | renamed | lines | ms to write, at most |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: |")
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(
            [sys.executable, "-c", ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as alone,
    ):
        for space, arch in networks(
            arguments.networks, arguments.most_params, arguments.most_macs, arguments.resolution
        ):
            row = rows.setdefault(space, Row())
            measure(arch, Path(name), alone, row)
            print(f"{space}: {row.source[-1]:.1e}, {max(row.onnx[-len(BATCHES) :]):.1e}", file=sys.stderr, flush=True)
            if "/" in space:
                print(rows[space].text(space), flush=True)
        assert alone.stdin is not None
        alone.stdin.close()
    for space, row in rows.items():
        if "/" not in space:
            print(row.text(space))
    worst = max(max(row.source) for row in rows.values()), max(max(row.onnx) for row in rows.values())
    wrong = sum(row.wrong_params for row in rows.values())
    number = sum(len(row.source) for row in rows.values())
    print(f"\n{number} networks: model.py within {worst[0]:.1e}, ONNX within {worst[1]:.1e}")
    sys.exit(int(worst[0] > MOST_SOURCE or worst[1] > MOST_ONNX or wrong > 0))


if __name__ == "__main__":
    main()
