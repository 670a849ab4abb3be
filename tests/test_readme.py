"""What the README shows works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import nas
from nas.commands.command import SettingsCommand
from nas.commands.registry import COMMANDS
from nas.resources import resource_dir
from nas.search.config import Config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = _blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_space_example_loads() -> None:
    (text,) = _blocks("yaml")
    space = nas.SearchSpace.from_dict(yaml.safe_load(text)).for_data((3, 64, 64), 10)
    for seed in range(20):
        nas.cost_of(space.decode(space.sample(seed)))


def _search_commands() -> list[list[str]]:
    """Overrides of every search that the README, the pages that go on with it and the spaces show."""
    texts = [README, *((ROOT / name).read_text() for name in ("docs/data.md", "docs/scaling.md", "conf/search.yaml"))]
    texts += [
        path.read_text() for folder in ("conf/experiment", "search_spaces") for path in (ROOT / folder).rglob("*.yaml")
    ]
    lines = re.findall(r"python -m nas\.search (.*)", "\n".join(texts))
    search = COMMANDS["search"]
    assert isinstance(search, SettingsCommand)
    flags = search.flags  # which Hydra never sees
    words = [[word for word in shlex.split(line, comments=True) if word not in flags] for line in lines]
    return [
        command
        for command in words
        if any("=" in word for word in command)
        and not any(word.startswith(("resume=", "[", "+space=NAME")) for word in command)
    ]


@pytest.mark.parametrize("overrides", _search_commands(), ids=" ".join)
def test_every_shown_command_has_valid_settings(overrides: list[str]) -> None:
    with initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
        values = OmegaConf.to_container(compose("search", overrides), resolve=True)
    assert isinstance(values, dict)
    config = Config.from_values({str(key): value for key, value in values.items()})
    assert config.space is not None


@pytest.mark.parametrize("group", ["data", "train", "sampler"])
def test_every_config_file_is_valid(group: str) -> None:
    files = sorted((resource_dir("conf") / group).glob("*.yaml"))
    assert files
    for file in files:
        with initialize_config_dir(str(resource_dir("conf")), version_base="1.3"):
            values = OmegaConf.to_container(compose("search", ["+space=mbconv", f"{group}={file.stem}"]), resolve=True)
        assert isinstance(values, dict)
        Config.from_values({str(key): value for key, value in values.items()})


def test_the_version_is_the_packages() -> None:
    assert f'version = "{nas.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert all(hasattr(nas, name) for name in nas.__all__)


def test_the_table_of_commands_is_that_of_nas() -> None:
    rows = re.findall(r"^\| `nas (\w+)` \| (.*) \|$", README, re.MULTILINE)
    assert rows == [(name, command.line) for name, command in COMMANDS.items()]


def test_the_guide_to_contributing_names_files_and_layers_that_there_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) <= 150
    named = re.findall(r"`((?:nas|conf|tests|docs|benchmarks|search_spaces|examples)/[\w./]*)`", text)
    missing = {path for path in named if not re.search(r"NAME|/X\b", path) and not (ROOT / path).exists()}
    assert len(set(named)) > 30
    assert not missing
    layers = set(re.findall(r"`nas/([\w/]+)/`", text))
    assert {path.name for path in (ROOT / "nas").iterdir() if (path / "__init__.py").exists()} <= {
        *(layer.partition("/")[0] for layer in layers)
    }


def test_the_space_of_the_language_page_loads() -> None:
    text = (ROOT / "docs" / "language.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    space = nas.SearchSpace.from_dict(yaml.safe_load(example))
    assert space.size() == 3 * 3 * 4
    assert [limit.metric for limit in space.limits] == ["params", "macs"]
    nas.cost_of(space.decode(space.sample(0)))


def test_the_block_of_the_walk_through_is_the_one_in_the_package() -> None:
    page = (ROOT / "docs" / "adding-a-block.md").read_text()
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    source = (ROOT / "nas" / "network" / "blocks" / "convnext.py").read_text()
    body = shown[shown.index("    if stride > 1") :]
    assert body in source
    assert shown[: shown.index('    """')] in source
    row = (ROOT / "tests" / "data" / "golden.csv").read_text().splitlines()[1]
    assert row in page
