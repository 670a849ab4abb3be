"""`python -m nas.advise` as a person and as a program runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.advise.advice import advise
from nas.advise.command_lines import number
from nas.advise.request import Request
from nas.commands import advise as command
from nas.commands.options import advise_parser


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--device", "mobile", "--latency-ms", "30", "--classes", "1000"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Classification on mobile, priority speed;")
    assert "reference/mobilenet_v3_small  " in printed
    assert "top-1 67.4 %   2.54 M params   56.5 M MACs   9.7 MiB   3x224x224" in printed
    assert "Howard et al. 2019, MobileNetV3, table 3" in printed
    assert "Nobody can know the latency on your device from here" in " ".join(printed.split())
    assert "python -m nas.profile reference/mobilenet_v3_small --data 3x224x224 --classes 1000" in printed
    assert max(map(len, printed.partition("Commands")[0].splitlines())) <= 120


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--device", "cloud", "--images", "4000", "--pretrained", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["starts"][0]["imagenet_top1"] == 75.2
    assert told["starts"][0]["cost"]["params"] == 5_483_032
    assert told["limits"] == [
        {"metric": "macs", "bound": 2.2e8, "asked": False, "reason": told["limits"][0]["reason"]},
    ]
    assert any("nas ships no weights" in note and "transfer" in note for note in told["notes"])
    assert "constraints.macs=2.2e8" in told["commands"][-1]["command"]


def test_a_data_set_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--data", "fashion_mnist", "--params", "1e5", "--macs", "4e6"]) == 0
    printed = capsys.readouterr().out
    assert "costs at 1x28x28, 10 classes" in printed
    assert "data=fashion_mnist constraints.params=1e5 constraints.macs=4e6 search.trials=50" in printed
    assert "nothing is known of accuracy beforehand" in " ".join(printed.split())


def test_what_cannot_be_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--params", "10", "--size-mib", "0.1", "--json"]) == 2
    both = capsys.readouterr()
    printed = " ".join(both.err.split())
    facts = json.loads(both.out)
    assert facts["error"] == f"nothing holds what is asked: {facts['impossible'][0]}"
    # MobileNet 0.25: 470,072 parameters and 1.814 MiB in the reference numbers.
    assert "params <= 10: no published network holds it; the smallest, reference/mobilenet_v1" in printed
    assert "width=0.25, needs 470,072" in printed
    assert "size_mib <= 0.1: no published network holds it" in printed
    assert "width=0.25, needs 1.82" in printed
    assert "space densenet: nothing found that holds the limits; the nearest: params " in printed
    assert "nas.search" not in printed
    assert "\nnas.advise: nothing holds what is asked: params <= 10" in both.err


def test_spaces_reach_further_down_than_published_networks() -> None:
    # SqueezeNet 1.1 has 1,235,496 parameters, MobileNetV3-Small 56.5 M multiply-adds; MobileNet 0.25 has fewer of both.
    advice = advise(Request(shape=(3, 224, 224), classes=1000, params=480_000.0, macs=41_100_000.0))
    assert [start.network.name for start in advice.starts] == ["reference/mobilenet_v1 --let width=0.25"]
    advice = advise(Request(task="series", params=300_000.0, macs=1e6))
    assert advice.impossible[0].startswith("macs <= 1,000,000: no published network holds it; the smallest, ")
    assert not advice.starts
    assert [one.space.name for one in advice.spaces] == ["conv1d"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "segmntation"], "Did you mean 'segmentation'"),
        (["--device", "mobil"], "Did you mean 'mobile'"),
        (["--priority", "fast"], "priority: unknown 'fast'. Known: balanced, highest, quality, speed"),
        (["--data", "3x4"], "classification takes CxHxW such as 3x224x224, but got 3x4"),
        (["--task", "series", "--data", "3x4x4"], "series takes CxL such as 1x128, but got 3x4x4"),
        (["--data", "photos"], "--data takes CxHxW"),
        (["--data", "digits", "--classes", "3"], "digits has 10 classes, but got 3"),
        (["--data", "synthetic"], "its shape is yours to give"),
        (["--data", "digits", "--task", "series"], "series takes CxL such as 1x128, but got 1x8x8"),
        (["--params", "nan"], "params must be >= 0 and finite, but got nan"),
        (["--latency-ms", "-1"], "latency-ms must be >= 0 and finite, but got -1"),
        (["--images", "0"], "images must be >= 1"),
        (["--classes", "1"], "classes must be >= 2"),
    ],
)
def test_what_does_not_hold(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    both = capsys.readouterr()
    assert message in both.err
    assert not both.out


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    examples = capsys.readouterr().out.partition("examples\n")[2].splitlines()
    assert len(examples) >= 8
    assert all(line.strip().startswith("python -m nas.advise") for line in examples if line)


@pytest.mark.slow  # ten questions
def test_the_examples_of_the_help_run(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (advise_parser().epilog or "").partition("examples\n")[2].splitlines():
        words = re.split(" {2,}", line.strip())[0].split()[3:]
        assert command.main(words) == 0, line
        assert capsys.readouterr().out


def test_latency_is_a_setting_of_the_search() -> None:
    advice = advise(Request(device="mobile", latency_ms=20.0))
    assert [one.line.count("constraints.latency_ms=20 ") for one in advice.commands][-1] == 1
    assert any("measured where the search runs" in note for note in advice.notes)


def test_the_python_for_images_of_other_channels_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = advise(Request(shape=(2, 16, 16), classes=5, macs=1e6)).python
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"train_and_score": lambda network: float(sum(p.numel() for p in network.parameters()))}
    exec(compile(code.replace("trials=50", "trials=2"), "advice", "exec"), names)
    assert len(names["study"].best(2)) == 2


def test_numbers_are_written_as_people_do_and_read_back() -> None:
    for value, text in ((5e6, "5e6"), (2.2e8, "2.2e8"), (512, "512"), (9.5, "9.5"), (1234567, "1234567"), (0.1, "0.1")):
        assert number(value) == text
        assert float(text) == value


def test_the_command_line_stops_with_its_reader() -> None:
    line = f"{sys.executable} -m nas.advise --task detection | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Detection, priority balanced")
