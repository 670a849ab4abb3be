"""`python -m nas.limits`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import nas
from nas.commands.limits import limits
from nas.json_output import json_document
from tests.run_command import run


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    constraints = {"params": 4.5e5, "macs": [1e5, None]}
    with json_document(True):
        assert limits({"space": "nasbench_macro", "constraints": constraints, "fit": "none"}) == 0
    out, printed = capsys.readouterr()
    assert "Widths" not in printed
    assert "nasbench_macro: 6,561 genotypes, input 1x8x8, 10 classes" in printed
    assert "params <= 450,000: excludes " in printed
    assert "would accept 10 %" in printed
    assert "100,000 <= macs" in printed
    assert "Smallest network: " in printed
    assert "A candidate that holds them: {" in printed
    facts, space = json.loads(out), nas.load_space("nasbench_macro").for_data((1, 8, 8), 10)
    params = [nas.cost_of(space.decode(genotype)).params for genotype in space.enumerate()]
    held = sum(count <= 4.5e5 for count in params)
    over = facts["limits"][0]
    assert (over["metric"], over["high"], over["excluded"]["count"]) == ("params", 4.5e5, len(params) - held)
    assert facts["smallest"]["cost"]["params"] == min(params)
    assert facts["nearest"]["holds_limits"]
    assert facts["accepted"]["share"] == facts["accepted"]["low"] == facts["accepted"]["count"] / 6561 <= held / 6561


def test_it_explains_the_space_as_a_search_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert limits({"space": "mbconv", "constraints": {"params": 1e4}}) == 0
    printed = capsys.readouterr().out
    assert "Widths of the space are multiplied by 0.0" in printed
    (smallest,) = re.findall(r"Smallest network found: ([\d,]+) params", printed)
    assert int(smallest.replace(",", "")) < 1e4
    (candidate,) = re.findall(r"A candidate that holds them: (\{.*\})", printed)
    assert json.loads(candidate)["stem.0.out_channels"] < 16, "the narrowest as it is written"


def test_fixed_decisions_are_fixed_before_the_space_is_brought_to_the_limits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fix = {"stages.*.kernel": 3, "stem.0.out_channels": 24}
    values = {"space": "mbconv", "constraints": {"params": 1e4}, "search": {"fix": fix}}
    assert limits(values) == 0
    printed = capsys.readouterr().out
    assert "Widths of the space are multiplied by 0." in printed
    (candidate,) = re.findall(r"A candidate that holds them: (\{.*\})", printed)
    genotype = json.loads(candidate)
    assert {value for path, value in genotype.items() if path.endswith(".kernel")} == {3}
    assert genotype["stem.0.out_channels"] == 24
    assert limits({**values, "search": {"fix": {"stages.0.kernel": 9}}}) == 2
    assert "search.fix: stages.0.kernel must be one of [3, 5], but got 9" in capsys.readouterr().err


def test_what_only_training_shows_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert limits({"space": "nasbench_macro", "constraints": {"params": 4.5e5, "int8_accuracy": [0.9, None]}}) == 0
    printed = capsys.readouterr().out
    assert "Left out, since only training shows it: 0.9 <= int8_accuracy" in printed
    assert "params <= 450,000: excludes " in printed


def test_the_data_decide_the_shape(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = {"name": "synthetic", "resolution": 24, "channels": 1, "num_classes": 7}
    assert limits({"space": "nasbench_macro", "constraints": {"params": 1e6}, "data": data}) == 0
    assert "input 1x24x24, 7 classes" in capsys.readouterr().out
    data = {"name": "image_folder", "root": str(tmp_path / "nowhere")}
    assert limits({"space": "nasbench_macro", "constraints": {"params": 1e6}, "data": data}) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": "nasbench_macro", "constraints": {"params": 1000}}, "no network of the space holds the limits; the"),
        (
            {"space": "mbconv", "constraints": {"params": 1000}},
            "as far as sampling and guided sampling could find",
        ),
        ({"space": "mbconv"}, "no limits: give one"),
        ({"space": "mbconv", "constraints": {"int8_latency_ms": 1}}, "no limits: give one"),
        ({"space": "mbconv", "constraints": {"param": 5}}, "Did you mean 'params'"),
        ({"space": "mbconv", "soft": {"params": [9, 5]}}, "the lower bound"),
        ({"space": "mbcnv", "constraints": {"params": 5}}, "Did you mean 'mbconv'"),
    ],
)
def test_what_does_not_hold(values: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert limits(values) == 2
    assert message in capsys.readouterr().err


def test_the_command_line() -> None:
    command = ["nas.limits", "+space=nasbench_macro", "constraints.params=[4e5,5e5]"]
    done = run(*command, "soft.macs=1e5")
    assert done.returncode == 0, done.stderr
    assert "400,000 <= params <= 500,000: excludes" in done.stdout
    done = run(*command, "constrains.macs=1")
    assert done.returncode == 2
    assert "Did you mean 'constraints'" in done.stderr
