"""Examples can be pasted into zsh, which takes brackets outside of quotes for patterns of names of files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nas.commands.command import OptionsCommand
from nas.commands.conf_files import help_text
from nas.commands.registry import COMMANDS

ROOT = Path(__file__).parents[1]
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.""")
_COMMENT = re.compile(r"(?:^|\s)#\s.*| {3,}\S.*")
"""Behind a command: a comment, or in help what the example shows."""
_STARTS = re.compile(r"^(?:\$ )?(?:\w+=\S+ )*(?:\S*/)?(?:python\S* -m )?nas[ .](?P<words>.*)")


def unquoted(line: str) -> list[str]:
    """Return the words of a command line that zsh takes for patterns: all but names of files, as in `photos/*.jpg`."""
    words = _COMMENT.sub("", _QUOTED.sub("", line.strip())).split()
    return [word for word in words if re.search(r"[\[\]{}]", word) or ("=" in word and re.search(r"[*?~]", word))]


def commands(text: str) -> list[str]:
    """Return the commands of nas among the lines of a text, those with a backslash at their end as one."""
    return [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if _STARTS.match(line.strip())]


def _examples(name: str) -> list[str]:
    command = COMMANDS[name]
    text = command.parser().format_help() if isinstance(command, OptionsCommand) else help_text(name) or ""
    _, title, examples = re.split(r"^(examples|Examples)$", text, maxsplit=1, flags=re.MULTILINE)
    assert title
    return commands(examples)


def _blocks(text: str) -> str:
    """Return what stands in the blocks of code of a Markdown file, and in its spans of code, a line each."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *spans])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_help_text_are_quoted(name: str) -> None:
    found = _examples(name)
    assert found or name == "completion"
    assert not [line for line in found if unquoted(line)]


@pytest.mark.parametrize(
    "path", ["README.md", "CONTRIBUTING.md", *(str(one.relative_to(ROOT)) for one in sorted(ROOT.glob("docs/**/*.md")))]
)
def test_the_commands_of_a_text_are_quoted(path: str) -> None:
    found = commands(_blocks((ROOT / path).read_text()))
    assert found or path != "README.md"
    assert not [line for line in found if unquoted(line)]


def test_the_commands_at_the_top_of_spaces_and_settings_are_quoted() -> None:
    files = [*ROOT.glob("search_spaces/**/*.yaml"), *ROOT.glob("conf/**/*.yaml")]
    lines = [line for file in files for line in file.read_text().splitlines() if line.startswith("#")]
    found = commands("\n".join(line.removeprefix("#").strip() for line in lines))
    assert found
    assert not [line for line in found if unquoted(line)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nas compare +space=mbconv strategies=[default,random]  # why", ["strategies=[default,random]"]),
        ("nas compare 'strategies=[default,random]' \"at=[3]\" a\\[b\\]", []),
        ("nas search search.fix={a: 1}", ["search.fix={a:", "1}"]),
        ("nas space mbconv --fix stages.*.depth=2", ["stages.*.depth=2"]),
        ("nas predict shipped photos/*.jpg", []),
        ("nas predict shipped photo.jpg   the classes [of] it", []),
    ],
)
def test_what_zsh_takes_for_a_pattern(line: str, words: list[str]) -> None:
    assert unquoted(line) == words
