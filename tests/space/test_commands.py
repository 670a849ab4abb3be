"""`python -m nas.space` and `python -m nas.profile` as a person runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import nas
from nas import profile
from nas.space import __main__ as space_command
from nas.space.describe import decision_tree, extreme, spread


def test_what_a_space_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert space_command.main(["nasbench_macro", "--samples", "200"]) == 0
    printed = capsys.readouterr().out
    assert "6,561 genotypes, input 3x32x32, 10 classes" in printed
    assert "block: identity, mb3_k3, mb6_k5   (2 of them)" in printed
    # The table of the benchmark: 00000000 is the smallest, 22222222 the largest network.
    assert "Smallest network: 387,882 params" in printed
    assert re.search(r"params +387,882|params +\d", printed)
    assert "python -m nas.search +space=nasbench_macro" in printed


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
        lines = list(decision_tree(space))
        leaves = {line.strip().split(":")[0] for line in lines if ": " in line}
        assert leaves == {path.rpartition(".")[2] for path in space.decisions()}


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
    for arguments in (
        [str(tmp_path / "arch.json")],
        ["mbconv", "--genotype", json.dumps(genotype)],
        ["mbconv", "--seed", "3"],
    ):
        assert profile.main([*arguments, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["arch_id"] == arch.arch_id
    for arguments, message in [
        ([str(tmp_path / "none.json")], "cannot be read"),
        (["mbconv", "--genotype", "{"], "not JSON"),
        (["mbconv", "--genotype", "[1]"], "a mapping from decisions to values"),
        (["mbconv", "--genotype", "{}"], "is missing"),
    ]:
        assert profile.main(arguments) == 2
        assert message in capsys.readouterr().err
