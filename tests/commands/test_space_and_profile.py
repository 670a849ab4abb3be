"""`python -m nas.space` and `python -m nas.profile` as a person runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nas
from nas.commands import profile
from nas.commands import space as space_command
from nas.cost import Constraint
from nas.network.registry import block_names
from nas.space.describe import decision_tree, extreme, spread


def test_what_a_space_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert space_command.main(["nasbench_macro", "--samples", "200"]) == 0
    printed = capsys.readouterr().out
    assert "6,561 genotypes, input 3x32x32, 10 classes" in printed
    assert re.search(r"stages\n +0\n +blocks\n +0 to 1\n +block: identity, mb3_k3, mb6_k5\n +1 to 2\n", printed)
    # The table of the benchmark: 00000000 is the smallest, 22222222 the largest network.
    assert "Smallest network: 387,882 params" in printed
    assert re.search(r"params +387,882|params +\d", printed)
    assert "python -m nas.search +space=nasbench_macro" in printed


@pytest.mark.slow
def test_the_extremes_of_a_large_space_are_found_by_local_search() -> None:
    """Of independent decisions the smallest network has the smallest of each."""
    space = nas.load_space("five_stage")
    small, large = extreme(space, largest=False), extreme(space, largest=True)
    assert not small.exact
    found = spread(space, 300, 0)
    assert small.cost.params <= found.quantiles("params")[0]
    assert large.cost.params >= found.quantiles("params")[-1]
    assert small.genotype["stages.3.depth"] == 0
    assert large.genotype["stages.2.depth"] == 4


def test_the_tree_names_every_decision_once() -> None:
    for name in ("mbconv", "mixed", "vit"):
        space = nas.load_space(name)
        lines = decision_tree(space)
        leaves = {line.strip().split(":")[0] for line in lines if ": " in line}
        assert leaves == {path.rpartition(".")[2] for path in space.decisions()}


def test_the_tree_keeps_entries_apart_that_are_not_copies() -> None:
    stage = {
        "blocks": [
            {
                "block": "mbconv",
                "out_channels": 16,
                "depth": {"range": [1, 3]},
                "kernel": {"choose": [3, 5], "per": "block"},
            },
            {"block": "conv", "out_channels": 16, "kernel": {"choose": [1, 3]}, "optional": True},
        ]
    }
    space = nas.SearchSpace.from_dict({"stages": [stage], "head": {"block": "classifier"}})
    assert decision_tree(space) == [
        "stages",
        "  0",
        "    blocks",
        "      0",
        "        depth: 1, 2, 3",
        "        blocks",
        "          0 to 2",
        "            kernel: 3, 5",
        "      1",
        "        present: true, false",
        "        kernel: 1, 3",
    ]


PARTLY = {
    "stem": {"block": "conv", "out_channels": 16},
    "stages": [{"block": "conv", "out_channels": {"choose": [16, 18]}, "groups": {"choose": [1, 4]}}],
    "head": {"block": "classifier"},
}
"""Four genotypes; four groups do not divide 18 channels, so three are networks."""


def test_genotypes_that_are_no_network_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = nas.SearchSpace.from_dict(PARTLY)
    assert space.size() == 4
    assert len(space.networks()) == 3
    assert space.sample(0, over="networks") in space.networks()
    (tmp_path / "partly.yaml").write_text(json.dumps(PARTLY))
    for seed in range(8):
        assert profile.main([str(tmp_path / "partly.yaml"), "--seed", str(seed)]) == 0
    assert space_command.main([str(tmp_path / "partly.yaml"), "--draw", str(tmp_path / "a.dot")]) == 0
    assert "Costs of all 4 genotypes; 1 of them is no network" in capsys.readouterr().out
    wrong = {"stages.0.out_channels": 18, "stages.0.groups": 4}
    assert profile.main([str(tmp_path / "partly.yaml"), "--genotype", json.dumps(wrong)]) == 2
    assert capsys.readouterr().err.startswith("nas.profile: stages.0.blocks.0: conv: groups must divide")


def test_limits_are_shown_with_how_many_hold_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = nas.SearchSpace.from_dict(PARTLY)
    params = sorted(nas.cost_of(space.decode(genotype)).params for genotype in space.networks())
    (tmp_path / "partly.yaml").write_text(json.dumps({**PARTLY, "limits": {"params": params[1], "macs": [1, None]}}))
    assert space_command.main([str(tmp_path / "partly.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "which 2 of these 4 hold" in printed
    assert f"  params <= {params[1]:,}\n  1 <= macs\n" in printed


def test_blocks_are_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert space_command.main(["--blocks"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == block_names()
    assert space_command.main(["--block", "conv"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"kernel +default 3; a whole number >= 1", printed)
    assert re.search(r"out_channels +needed; ", printed)
    assert space_command.main(["--block", "cnov"]) == 2
    assert "Did you mean 'conv'" in capsys.readouterr().err


def test_a_fixed_network_has_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert space_command.main(["reference/mobilenet_v2"]) == 0
    printed = capsys.readouterr().out
    assert "1 genotype, " in printed
    assert re.search(r"params +3,504,872", printed)
    assert "names that --let can change: width" in printed


def test_what_the_input_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert space_command.main(["resnet", "--data", "32x64", "--samples", "1"]) == 0
    assert "input series of 32 channels, 64 long, 10 classes" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["nas.space", "nas.profile"])
def test_a_reader_that_goes_away_is_no_error(module: str) -> None:
    command = f"{sys.executable} -m {module} mbconv | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_names_schema_and_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert space_command.main([]) == 0
    assert capsys.readouterr().out.split() == nas.space_names()
    assert space_command.main(["--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Search space"
    assert space_command.main(["reference/mobilenet_v2", "--let", "width=0.5", "--draw", str(tmp_path / "a.svg")]) == 0
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    capsys.readouterr()
    for mistake, message in [
        (["mbcov"], "Did you mean 'mbconv'"),
        (["mbconv", "--data", "3x"], "--data takes CxHxW"),
        (["mbconv", "--let", "width=3"], "no name 'width'"),
        (["mbconv", "--let", "width"], "--let takes NAME=VALUE"),
        (["mbconv", "--draw", "a.pdf"], "ends in .svg, .png or .dot"),
        (["mbconv", "--let", "width={"], "not a value of a space file"),
    ]:
        assert space_command.main(mistake) == 2
        assert message in capsys.readouterr().err


def test_a_profile_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert profile.main(["reference/efficientnet_b0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["params"] == sum(block["cost"]["params"] for block in found["blocks"]) == 5_288_548
    assert found["total"]["macs"] == sum(block["cost"]["macs"] for block in found["blocks"]) == 385_814_752
    assert found["blocks"][-1]["receptive_field"] == 851
    assert profile.main(["reference/efficientnet_b0", "--layers"]) == 0
    printed = capsys.readouterr().out
    assert "params            5,288,548 in 213 tensors" in printed
    assert "stages.6.blocks.0.se.gate" in printed


def test_a_profile_of_a_file_and_of_a_genotype(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    space = nas.load_space("mbconv")
    genotype = space.sample(3)
    arch = space.decode(genotype)
    (tmp_path / "arch.json").write_text(arch.to_json())
    (tmp_path / "genotype.json").write_text(json.dumps(genotype))
    for arguments in (
        [str(tmp_path / "arch.json")],
        ["mbconv", "--genotype", json.dumps(genotype)],
        ["mbconv", "--genotype", str(tmp_path / "genotype.json")],
        ["mbconv", "--seed", "3"],
    ):
        assert profile.main([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["arch_id"] == arch.arch_id
    for arguments, message in [
        ([str(tmp_path / "none.json")], "cannot be read"),
        (["mbconv", "--genotype", "{"], "not JSON"),
        (["mbconv", "--genotype", "[1]"], "a mapping from decisions to values"),
        (["mbconv", "--genotype", "{}"], "is missing"),
        ([str(tmp_path / "arch.json"), "--data", "1x28x28"], "--data is for a space"),
        ([str(tmp_path / "arch.json"), "--seed", "0"], "--seed is for a space"),
    ]:
        assert profile.main(arguments) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"choose": [1, 2, 3, 5]}, "1, 2, 3, 5"),
        ({"choose": list(range(1, 24, 2))}, ", ".join(map(str, range(1, 24, 2)))),
        ({"choose": [1, 2, *range(5, 27, 2)]}, f"1, 2, {', '.join(map(str, range(5, 24, 2)))}, ... (13)"),
        ({"range": [1, 4]}, "1, 2, 3, 4"),
        ({"range": [1, 5]}, "1 to 5"),
        ({"range": [8, 40], "step": 8}, "8 to 40 in steps of 8"),
    ],
)
def test_long_lists_of_options_are_cut_short(value: object, shown: str) -> None:
    stage = {"block": "conv", "out_channels": value}
    space = nas.SearchSpace.from_dict({"stages": [stage], "head": {"block": "classifier"}})
    assert decision_tree(space) == ["stages", "  0", f"    out_channels: {shown}"]


def test_the_spread_of_costs_runs_from_the_smallest_to_the_largest() -> None:
    """Kernels 1 to 41 of one channel on a map of one and one convolution: parameters are kernel^2 and the classifier's
    2 + 2; the percentiles of 21 values are every 20th of them."""
    stage = {"block": "conv", "out_channels": 1, "kernel": {"range": [1, 41], "step": 2}, "norm": None, "bias": False}
    space = nas.SearchSpace.from_dict(
        {
            "assume": {"channels": 1, "resolution": 64, "num_classes": 2},
            "stages": [stage],
            "head": {"block": "classifier"},
        }
    )
    found = spread(space, 100, 0)
    assert (found.exact, found.genotypes, found.failed) == (True, 21, 0)
    assert found.quantiles("params") == tuple(4 + kernel**2 for kernel in (1, 3, 11, 21, 31, 39, 41))
    assert found.holding([Constraint("params", high=4 + 9)]) == 2
    assert not spread(space, 20, 0).exact
    assert spread(space, 21, 0).exact
