"""Tab completion: what is offered for a command line, and that shells take it."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from nas.commands.candidates import candidates
from nas.commands.command import SettingsCommand
from nas.commands.command_line import groups_in
from nas.commands.conf_files import settings_of
from nas.commands.registry import COMMANDS
from nas.resources import resource_dir, space_names
from nas.training.data.registry import DATA_SETS

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ("adamw", "airbench", "efficientnet", "fine_tune", "resnet_rs", "sgd", "short", "standard", "vit")
WITH_SETTINGS = [name for name, command in COMMANDS.items() if isinstance(command, SettingsCommand)]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("nas ", [f"{name} " for name in COMMANDS]),
        ("nas s", ["space ", "search ", "spaces ", "scale ", "steer "]),
        ("nas --v", ["--version "]),
        ("nas nothing ", []),
        ("LANG=C /somewhere/bin/nas sea", ["search "]),
        ("other sea", []),
        ("nas search data=", [f"data={name} " for name in DATA_SETS]),
        ("nas search +data=dig", ["+data=digits "]),
        ("nas search sampler=t", ["sampler=tpe ", "sampler=tpe_multivariate "]),
        ("nas search se", ["search.", "seed="]),
        ("nas search sp", ["space="]),
        ("nas search +", ["+accelerator="]),
        ("nas search +s", ["+sampler.", "+sampler=", "+search.", "+seed=", "+soft.", "+space="]),
        ("nas search +space=mobile", ["+space=mobilenet_v3 "]),
        ("nas search space=reference/lenet", ["space=reference/lenet5 "]),
        ("nas search +experiment=", ["+experiment=fashion_mnist_150k "]),
        ("nas compare +experiment=", []),
        ("nas search seed=1 constraints.params", ["constraints.params="]),
        ("nas search constraints.params=", []),
        ("nas search constraints.params=1e5 constraints.size_", [f"constraints.{m}=" for m in (
            "size_fp16_mib", "size_int8_mib", "size_mib")]),
        ("nas search search.keep=", ["search.keep=5 "]),
        ("nas search records.mlflow=", ["records.mlflow=true ", "records.mlflow=false "]),
        ("nas search pruner.e", []),
        ("nas search pruner=asha pruner.e", ["pruner.eta="]),
        ("nas search pruner=nothing pruner.e", []),
        ("nas limits soft.mac", ["soft.macs="]),
        ("nas limits sampler=gri", ["sampler=grid "]),
        ("nas compare sampler=gri", []),
        ("nas compare strategies=", ["strategies=[default,random] "]),
        ("nas spaces ", ["compare "]),
        ("nas spaces compare vi", ["vit "]),
        ("nas spaces compare mbconv mbc", ["mbconv_compound "]),
        ("nas spaces compare mbconv tri", ["trials="]),
        ("nas spaces compare mbconv trials=3 vi", []),
        ("nas spaces compare mbconv table_space=vi", ["table_space=vit "]),
        ("nas scale by_size.drop", ["by_size.drop_path=", "by_size.dropout="]),
        ("nas scale plan.nothing.", []),
        ("nas search --mul", ["--multirun "]),
        ("nas search --dry", ["--dry-run "]),
        ("nas limits --dry", []),
        ("nas search --cfg j", ["job "]),
        ("nas search data.root='a", []),
        (r"nas search data.root=a\ b sea", ["search."]),
        ("nas space --s", ["--samples ", "--schema ", "--seed "]),
        ("nas space mobile", ["mobilenet_v3 "]),
        ("nas space --seed 1 mobile", ["mobilenet_v3 "]),
        ("nas space --seed ", []),
        ("nas space --schema mobile", ["mobilenet_v3 "]),
        ("nas space mbconv --blocks --sch", ["--schema "]),
        ("nas space mbconv --nothing ", None),
        ("nas profile mbconv --runtime o", ["onnxruntime ", "openvino "]),
        ("nas profile mbconv --runtime=to", ["--runtime=torch "]),
        ("nas calibrate --space vg", ["vgg "]),
        ("nas advise --device mo", ["mobile "]),
        ("nas advise --task ser", ["series "]),
        ("nas advise --priority q", ["quality "]),
        ("nas train reference/lenet", ["reference/lenet5 "]),
        ("nas train reference/lenet5 train.lab", ["train.label_smoothing="]),
        ("nas train reference/lenet5 recipe=sgd train.opt", ["train.optimizer="]),
        ("nas search recipe=", [f"recipe={name} " for name in RECIPES]),
        ("nas search train=", ["train=adamw ", "train=sgd "]),
        ("nas evaluate somewhere split=", ["split=val "]),
        ("nas diagnose reference/lenet", ["reference/lenet5 "]),
        ("nas diagnose reference/lenet5 reference/lenet reference/vgg_s", ["reference/vgg_small "]),
        ("nas diagnose reference/lenet5 see", ["seed=", "seeds="]),
        ("nas completion ", ["bash ", "zsh "]),
    ],
)  # fmt: skip
def test_what_is_offered(line: str, offered: list[str] | None) -> None:
    found = candidates(line)
    if line == "nas search +":  # nothing is added but what begins with it
        assert found[0] == "+accelerator="
        assert {"+space=", "+experiment=", "+data="} < set(found)
        assert all(word.startswith("+") for word in found)
    elif offered is None:
        assert {"--schema ", "--help "} < set(found)
    else:
        assert found == offered


def test_a_line_without_settings_shows_where_a_plus_belongs() -> None:
    found = candidates("nas search ")
    assert {"+space=", "+experiment=", "data=", "data.", "seed=", "constraints."} < set(found)
    assert "space=" not in found
    assert candidates("nas scale ").count("+space=") == 1
    assert not [word for word in candidates("nas spaces compare mbconv ") if word.startswith("+")]
    assert candidates("nas space ") == [f"{name} " for name in space_names()]


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_the_settings_are_those_that_hydra_composes(name: str) -> None:
    choices = groups_in(resource_dir("conf"))
    _, groups = settings_of(name, {})
    assert groups
    assert groups == groups & set(choices)
    most = max(len(choices[group]) for group in groups) if name == "search" else 0
    chosen = [{group: choices[group][number % len(choices[group])] for group in groups} for number in range(most)]
    with initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
        for values in ({}, *chosen):
            config = compose(name, [f"{group}={choice}" for group, choice in values.items()])
            assert settings_of(name, values)[0] == OmegaConf.to_container(config), values


def test_completion_loads_nothing_that_a_command_works_with() -> None:
    lines = [f"nas {name} {word}" for name in COMMANDS for word in ("", "-", "+space=", "s")]
    code = f"""
import sys
from nas.commands.candidates import candidates
assert sum(map(len, map(candidates, {lines!r}))) > 500
heavy = ("torch", "optuna", "hydra", "omegaconf", "mlflow", "numpy", "rich", "nas.network", "nas.space", "nas.search")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in, with a `bin/nas` that is the console script of this checkout."""
    path = tmp_path_factory.mktemp("completion")
    (path / "bin").mkdir()
    (path / "bin" / "nas").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m nas "$@"\n')
    (path / "bin" / "nas").chmod(0o755)
    (path / "table.csv").write_text("")
    return path


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb", "PS1": ""}


@pytest.mark.parametrize(
    ("breaks", "words", "reply"),
    [
        # As bash breaks them: what follows the last `=` is replaced.
        (True, ["nas", "search", "+space", "=", "mbc"], ["mbconv ", "mbconv_compound "]),
        (True, ["nas", "search", "sampler", "="], None),
        (False, ["nas", "search", "+space=mbc"], ["+space=mbconv ", "+space=mbconv_compound "]),
        (True, ["nas", "s"], ["space ", "search ", "spaces ", "scale ", "steer "]),
        (True, ["bin/nas", "search", "constraints.pa"], ["constraints.params="]),
        (True, ["~/bin/nas", "space", "--sc"], ["--schema "]),
        (True, ["nas", "search", "evaluator.file", "=", "tab"], []),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_function_of_bash(folder: Path, breaks: bool, words: list[str], reply: list[str] | None) -> None:
    line = " ".join(words).replace(" = ", "=").replace(" =", "=")
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
set -u
eval "$(nas completion bash)"
{"" if breaks else "COMP_WORDBREAKS=${COMP_WORDBREAKS//=}"}
COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1} COMP_LINE='{line} and more' COMP_POINT={len(line)}
_nas_completion '{words[0]}' '{words[-1]}' '{words[-2]}'
(( ${{#COMPREPLY[@]}} )) && printf '%s|' "${{COMPREPLY[@]}}"
complete -p nas
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    *found, registered = done.stdout.split("|")
    assert registered.endswith("-F _nas_completion nas\n")
    if reply is None:
        assert {"default ", "tpe ", "grid "} < set(found)
    else:
        assert found == reply


_START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
_SETUP = {
    "bash": 'eval "$(nas completion bash)"',
    "zsh": 'bindkey -e; autoload -Uz compinit; compinit -u -D; eval "$(nas completion zsh)"',
}
_TYPED = {
    "nas sea": ["nas", "search"],
    "nas search +space=mbconv_c": ["nas", "search", "+space=mbconv_compound"],
    "nas search sampler=evo": ["nas", "search", "sampler=evolution"],
    "nas search constraints.para": ["nas", "search", "constraints.params="],
    "bin/nas profile mbconv --runt": ["bin/nas", "profile", "mbconv", "--runtime"],
    "nas search evaluator.file=tab": ["nas", "search", "evaluator.file=table.csv"],
    "nas search pruner=asha pruner.et": ["nas", "search", "pruner=asha", "pruner.eta="],
}


@pytest.mark.parametrize("shell", _START)
def test_the_tab_key(folder: Path, shell: str) -> None:
    """Types into a shell on a terminal, and lets it print the words that the Tab key has made."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    lines = [_SETUP[shell], *(f"{line}\t\x01printf '<%s>' \x05; echo" for line in _TYPED), "exit"]
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        _START[shell],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=_environment(folder),
        start_new_session=True,
    )
    os.close(theirs)
    os.write(terminal, "".join(f"{line}\r" for line in lines).encode())
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    os.close(terminal)
    assert process.wait() == 0
    printed = [line.strip() for line in shown.decode().splitlines()]
    for words in _TYPED.values():
        assert "".join(f"<{word}>" for word in words) in printed
