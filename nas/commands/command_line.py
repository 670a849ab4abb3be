"""The words of a command line, made ready for Hydra: flags first, names checked, paths and names as they were typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from nas.errors import ConfigError, NasError, nearest
from nas.json_output import FLAG as JSON
from nas.own_code import named
from nas.run_folder import user_path

FLAGS = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--resolve",
    "--run",
    "-r",
    "--multirun",
    "-m",
    "--shell-completion",
    "-sc",
)
"""Flags of Hydra that stand alone."""
FLAGS_WITH_VALUE = (
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--config-dir",
    "-cd",
    "--experimental-rerun",
    "--info",
    "-i",
)
"""Flags of Hydra that a value follows."""
_LONG_FLAGS = [flag for flag in (*FLAGS, *FLAGS_WITH_VALUE, JSON) if flag.startswith("--")]
_OTHER_WORK = ("--hydra-help", "--version", "--shell-completion", "-sc", "--cfg", "-c", "--info", "-i")
"""Flags with which a command shows something else than what it finds out."""
_SETTING = re.compile(r"(?P<plus>\+{0,2})(?P<path>[A-Za-z_]\w*(?:[./][\w.-]+)*)=(?P<value>.*)", re.DOTALL)
_NULL = "null"
"""What is never text: it takes a setting back to what it is without a value."""


def groups_in(conf: Path) -> dict[str, list[str]]:
    """Return the config groups of a folder of settings: what each may be set to, by its name."""
    folders = [folder for folder in sorted(conf.iterdir()) if folder.is_dir()]
    groups = {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}
    return {name: choices for name, choices in groups.items() if choices}


def typed_paths(overrides: Iterable[str]) -> list[str]:
    """Return the paths of settings as typed: `train.epochs` of `++train.epochs=3`, and `train` of `recipe=sgd`."""
    paths = [re.sub(r"^[+~]*([\w.]+).*$", r"\1", override, flags=re.DOTALL) for override in overrides]
    return ["train" if path == "recipe" else path for path in paths]


def check_json(arguments: Sequence[str]) -> list[str]:
    """Return a command line without the flag `--json`, which is none of Hydra's.

    Raises:
        ConfigError: it is there beside a flag with which there is not one document.
    """
    rest = [argument for argument in arguments if argument != JSON]
    if len(rest) == len(arguments):
        return rest
    for flag in (argument.partition("=")[0] for argument in rest):
        if flag in ("--multirun", "-m"):
            raise ConfigError(f"{JSON} prints one document, but {flag} runs the command several times: leave one out")
        if flag in _OTHER_WORK:
            raise ConfigError(
                f"{JSON} prints what the command finds out, but {flag} shows something else: leave one out"
            )
    return rest


def hydra_arguments(
    arguments: Sequence[str],
    *,
    groups: Mapping[str, Collection[str]],
    text: Collection[str],
    several: Callable[[str], bool | None],
    flags: Collection[str] = (),
) -> list[str]:
    """Return a command line as Hydra takes it, flags first.

    Args:
        arguments: as the user typed them.
        groups: the config groups: what each may be set to, by its name.
        text: settings whose value is taken as it was typed.
        several: whether Hydra's grammar reads several values in a setting; None where it cannot read it.
        flags: those of the command itself, which are taken out already.

    Raises:
        ConfigError: a flag, group or word that there is not, or several values where one is meant.
    """
    of_hydra, words = _flags_apart(arguments, flags)
    _check_one_recipe(words)
    if {"-sc", "--shell-completion"} & set(of_hydra):  # install=bash and the like are words of Hydra's own
        return [*of_hydra, *words]
    sweep = bool({"-m", "--multirun"} & set(of_hydra))
    return [*of_hydra, *(_setting(word, groups, text, several, sweep) for word in words)]


def with_own_code(words: Sequence[str], code: Mapping[str, bool]) -> list[str]:
    """Return a command line with files of the user's own by path and content, since to type them is to trust them.

    Args:
        words: as the user typed them.
        code: settings that hold something in such a file; of each whether it is a list.

    Raises:
        ConfigError: there is no such file, or nothing of that name in it.
    """
    sweep = bool({"-m", "--multirun"} & set(words))
    return [_with_own_code(word, code, sweep) for word in words]


def check_single(words: Iterable[str], single: Mapping[str, str], known: Collection[str]) -> None:
    """Raise `ConfigError` for a setting typed below one that has no others below it: `space.fit=none`.

    Args:
        words: as the user typed them.
        single: settings that are one value each, by path, with what that must be in words.
        known: the paths of all settings.
    """
    for word in words:
        match = _SETTING.fullmatch(word)
        names = re.split("[./]", match["path"]) if match is not None else []
        for end in range(1, len(names)):
            above = ".".join(names[:end])
            if above in single:
                raise ConfigError(
                    f"{word!r:.200}: {above} is one value, {single[above]}, and has no setting "
                    f"{'.'.join(names[end:])!r:.80} in it. {_likely(names[-1], above, known)}"
                )


def _likely(name: str, above: str, known: Collection[str]) -> str:
    """Return a sentence with the settings that are likely meant by a name below another setting.

    These are the one beside that setting, else those of this name anywhere, else those of a name like it.
    """
    beside = above.rpartition(".")[0]
    same = [path for path in dict.fromkeys(known) if path.rpartition(".")[2] == name]
    path = f"{beside}.{name}".lstrip(".")
    if same:
        return f"Did you mean {' or '.join(map(repr, [path] if path in same else same))}?"
    return nearest(path, [other for other in known if other.rpartition(".")[0] == beside])


def _with_own_code(word: str, code: Mapping[str, bool], sweep: bool) -> str:
    match = _SETTING.fullmatch(word)
    if match is None or match["path"] not in code or match["value"] == _NULL:
        return word
    path, value = match["path"], match["value"]
    if code[path]:
        if not (value.startswith("[") and value.endswith("]")):
            raise ConfigError(f"{path} is a list, {path}=[FILE.py:NAME,...], but got {value!r:.80}")
        parts = [part.strip().strip("'\"") for part in value[1:-1].split(",") if part.strip()]
        return f"{path}=[{','.join(quoted(named(part, path)) for part in parts)}]"
    return f"{path}=" + ",".join(named(part, path) for part in (value.split(",") if sweep else [value]))


def _check_one_recipe(words: Sequence[str]) -> None:
    """Raise `ConfigError` where both words that choose a recipe are there: `train=` is the earlier one."""
    given = [word for word in words if re.fullmatch(r"\+?(train|recipe)=.*", word, re.DOTALL)]
    if len({word.lstrip("+").partition("=")[0] for word in given}) > 1:
        raise ConfigError(f"{' and '.join(map(repr, given))} both say how networks are trained; give recipe=NAME alone")


def _flags_apart(arguments: Sequence[str], own: Collection[str]) -> tuple[list[str], list[str]]:
    """Tell flags, with their values, from settings: argparse takes settings in one place only."""
    flags: list[str] = []
    words: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument.startswith("-"):
            flags += _flag(argument, left, own)
        else:
            words.append(argument)
    return flags, words


def _flag(argument: str, left: Iterator[str], own: Collection[str]) -> list[str]:
    name, equals, _ = argument.partition("=")
    if name in own:
        raise ConfigError(f"{name} is a flag without a value, but got {argument!r}")
    if argument in FLAGS or (equals and name in FLAGS_WITH_VALUE):
        return [argument]
    if argument in FLAGS_WITH_VALUE:
        value = next(left, None)
        return [argument] if value is None else [argument, value]
    setting = "+space" if name == "--space" else name.lstrip("-").replace("-", "_")
    raise ConfigError(
        f"unknown flag {name!r}. {nearest(name, [*_LONG_FLAGS, *own])} Settings have no dashes: {setting}=VALUE, or "
        "with its group, such as search.trials=50"
    )


def _setting(
    word: str,
    groups: Mapping[str, Collection[str]],
    text: Collection[str],
    several: Callable[[str], bool | None],
    sweep: bool,
) -> str:
    if word.startswith(("~", "hydra.", "+hydra.", "++hydra.", "hydra/", "+hydra/")):
        return word
    match = _SETTING.fullmatch(word)
    if match is None:
        raise ConfigError(f"{word!r} is no setting=value; --help shows the common settings, --cfg job all of them")
    path, value = match["path"], match["value"]
    if path in groups:
        return _group(path, value, groups[path], sweep)
    # `++` also adds what is not there, so that our own message names the nearest setting.
    if path in text:
        values = value.split(",") if sweep else [value]
        return f"++{path}=" + ",".join(
            text_value if text_value == _NULL else quoted(text_value) for text_value in values
        )
    counted = several(f"++{path}={value}")
    if counted is None and (plain := _without_quotes(value)) != value:
        way = f"type {shlex.quote(f'+{path}={plain}')}"
        if several(f"++{path}={plain}") is None:
            way = "one with such characters can be given in a file of settings only (--config-dir)"
        raise ConfigError(f"{word!r}: a name in braces stands without quotes; {way}")
    if counted is None:  # the check of the setting says what it should be
        return f"++{path}={quoted(value)}"
    if counted and not sweep:
        raise ConfigError(
            f"{word!r} gives several values: a list of them has brackets, {path}=[A,B], and --multirun runs the "
            "command once with each"
        )
    return f"++{path}={value}"


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether a command is only to say what it is, so that words before its settings do not matter."""
    return any(argument in ("--help", "-h", "--hydra-help", "--version") for argument in arguments)


def first_word_to(name: str, arguments: Sequence[str], usage: str) -> list[str]:
    """Turn the one word before the settings of a command into a setting: `ARCH seed=1` into `network=ARCH seed=1`.

    Args:
        name: of the setting.
        arguments: as the user typed them.
        usage: of the command, for the message.

    Raises:
        ConfigError: several words, or one among the settings.
    """
    if asks_for_help(arguments):
        return [argument for argument in arguments if argument.startswith("-")]
    words = [
        argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
        # `--cfg job` is an option with its value.
        if "=" not in argument and not argument.startswith("-") and before not in FLAGS_WITH_VALUE
    ]
    if not words:
        return list(arguments)
    if len(words) > 1 or words[0] != arguments[0]:
        raise ConfigError(f"one word comes before the settings, but got {shlex.join(arguments)!r}: {usage}")
    return [f"{name}={words[0]}", *arguments[1:]]


def words_to(name: str, arguments: Sequence[str], usage: str) -> list[str]:
    """Turn the words before the settings of a command into a list: `A B seed=1` into `+networks=['A','B'] seed=1`.

    Args:
        name: of the setting.
        arguments: as the user typed them.
        usage: of the command, for the message.

    Raises:
        ConfigError: a word among the settings.
    """
    if asks_for_help(arguments):
        return [argument for argument in arguments if argument.startswith("-")]
    words = list(takewhile(_is_word, arguments))
    rest = list(arguments[len(words) :])
    for before, argument in zip(["", *rest], rest, strict=False):
        if _is_word(argument) and not before.startswith("-"):  # `--cfg job` is an option with its value
            raise ConfigError(f"{argument!r} is no setting=value; {name} come before the settings: {usage}")
    return [f"+{name}=[{','.join(map(quoted, words))}]", *rest] if words else rest


def _is_word(argument: str) -> bool:
    return not argument.startswith("-") and "=" not in argument


_QUOTED_NAME = re.compile(r"""([{,]\s*)(["'])(.*?)\2(\s*:)""")
"""Inside braces."""


def _without_quotes(value: str) -> str:
    """Return a mapping of Hydra's with its names as its grammar takes them: bare, with backslashes."""
    return _QUOTED_NAME.sub(lambda match: match[1] + re.sub(r"([\\()\[\]{}:=, ])", r"\\\1", match[3]) + match[4], value)


def _meant(name: str, choice: str) -> str:
    """Return the settings that are meant by what was given in place of a data set, as a sentence, where that shows."""
    if name != "data":
        return ""
    if re.fullmatch(r".+\.py:\w+", choice, re.DOTALL):
        return f" A data set of your own is data=own data.module={choice}"
    try:
        return f" Pictures in a folder are data=image_folder data.root={choice}" if user_path(choice).is_dir() else ""
    except (NasError, OSError, ValueError):  # what cannot be looked up is no folder
        return ""


def _group(name: str, value: str, choices: Collection[str], sweep: bool) -> str:
    for choice in value.split(",") if sweep else [value]:
        if choice not in choices:
            raise ConfigError(f"unknown {name} {choice!r}. {nearest(choice, choices)}{_meant(name, choice)}")
    # What every command has a default for is replaced; an experiment is added.
    return f"{'+' if name == 'experiment' else ''}{name}={value}"


def quoted(text: str) -> str:
    """Return a text so that Hydra and OmegaConf read it back as it is, whatever characters it has.

    Hydra: backslashes count where a quote follows them. OmegaConf: where `${` does.
    """
    literal = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    return "'" + re.sub(r"(\\*)('|\Z)", lambda match: match[1] * 2 + match[2].replace("'", r"\'"), literal) + "'"
