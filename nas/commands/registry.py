"""The commands: what `nas NAME` and `python -m nas.NAME` do, a row each.

Nothing that a command does is loaded before it is to be done: the list, help and tab completion answer at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import takewhile
from typing import Any

from nas.commands import options, run_options
from nas.commands.command import OptionsCommand, SettingsCommand
from nas.commands.command_line import check_json, first_word_to, typed_paths, words_to
from nas.console import guard_streams, lost_output, say_error
from nas.errors import ConfigError
from nas.json_output import FLAG, add_exit_code, json_document

HELP = frozenset({"--help", "-h"})
"""The flags that every command takes."""


def _search_config() -> type:
    from nas.search.config import Config

    return Config


def _compare_config() -> type:
    from nas.commands.compare import CompareConfig

    return CompareConfig


def _spaces_config() -> type:
    from nas.commands.spaces import SpacesConfig

    return SpacesConfig


def _scale_config() -> type:
    from nas.scaling.study.config import ScaleConfig

    return ScaleConfig


def _lr_config() -> type:
    from nas.commands.lr import LrConfig

    return LrConfig


def _export_config() -> type:
    from nas.commands.export import ExportConfig

    return ExportConfig


def _finish_config() -> type:
    from nas.finishing.config import FinishConfig

    return FinishConfig


def _train_config() -> type:
    from nas.commands.train import TrainConfig

    return TrainConfig


def _evaluate_config() -> type:
    from nas.commands.evaluate import EvaluateConfig

    return EvaluateConfig


def _diagnose_config() -> type:
    from nas.commands.diagnose import DiagnoseConfig

    return DiagnoseConfig


def _data_config() -> type:
    from nas.commands.data import DataCommandConfig

    return DataCommandConfig


def _search(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.search import search

    return search(values, typed)


def _dry_run(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.search import search

    return search(values, typed, dry_run=True)


def _limits(values: dict[str, Any], _: list[str]) -> int:
    from nas.commands.limits import limits

    return limits(values)


def _compare(values: dict[str, Any], _: list[str]) -> int:
    from nas.commands.compare import compare

    return compare(values)


def _spaces(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.spaces import compare

    return compare(values, typed_paths(typed))


def _scale(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.scale import scale_command

    return scale_command(values, typed_paths(typed))


def _export(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.export import export_command

    return export_command(values, typed_paths(typed))


def _of_export(words: Sequence[str]) -> list[str]:
    return first_word_to("model", words, "nas export RUN|ARCH [setting=value ...]; --help says more")


def _data(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.data import data_command

    return data_command(values, typed_paths(typed))


def _of_data(words: Sequence[str]) -> list[str]:
    """Make settings of a first word that is none: `photos` becomes `data=image_folder data.root=photos`."""
    found = first_word_to("data.root", words, "nas data ROOT [setting=value ...]; --help says more")
    if found == list(words):
        return found
    if any(word.startswith("data=") for word in words):
        return found
    from nas.commands.data_root import data_at

    return [*data_at(words[0]), *found[1:]]


def _finish(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.finish import finish_command

    return finish_command(values, typed_paths(typed))


def _of_finish(words: Sequence[str]) -> list[str]:
    return first_word_to("run", words, "nas finish RUN [setting=value ...]; --help says more")


def _train(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.train import train_command

    return train_command(values, typed_paths(typed))


def _lr(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.lr import lr_command

    return lr_command(values, typed_paths(typed))


def _of_lr(words: Sequence[str]) -> list[str]:
    return first_word_to("network", words, "nas lr ARCH [setting=value ...]; --help says more")


def _evaluate(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.evaluate import evaluate_command

    return evaluate_command(values, typed_paths(typed))


def _diagnose(values: dict[str, Any], typed: list[str]) -> int:
    from nas.commands.diagnose import diagnose_command

    return diagnose_command(values, typed_paths(typed))


def _of_diagnose(words: Sequence[str]) -> list[str]:
    return words_to("networks", words, "nas diagnose ARCH [ARCH ...] [setting=value ...]; --help says more")


def _of_train(words: Sequence[str]) -> list[str]:
    return first_word_to("network", words, "nas train ARCH [setting=value ...]; --help says more")


def _of_evaluate(words: Sequence[str]) -> list[str]:
    return first_word_to("model", words, "nas evaluate DIR [setting=value ...]; --help says more")


def _with_training(words: Sequence[str]) -> list[str]:
    """`train` is the group of recipes, and whether to train at all is what people look for under the same name."""
    return [re.sub(r"^train=(true|false)$", r"training=\1", word, flags=re.I) for word in words]


def _compared_spaces(words: Sequence[str]) -> list[str]:
    from nas.commands.spaces_words import overrides_from

    return overrides_from(words)


Command = OptionsCommand | SettingsCommand

COMMANDS: Mapping[str, Command] = {
    "advise": OptionsCommand("Say which networks, spaces and limits to start from", options.advise_parser),
    "space": OptionsCommand("Show what a search space holds", options.space_parser),
    "limits": SettingsCommand(
        "Explain what limits leave of a space", _limits, _search_config, added=("space", "experiment")
    ),
    "search": SettingsCommand(
        "Search a space for the best network under hard limits",
        _search,
        _search_config,
        added=("space", "experiment"),
        flags={"--dry-run": _dry_run},
    ),
    "finish": SettingsCommand(
        "Train the best of a search anew, beside published networks",
        _finish,
        _finish_config,
        added=(),
        words=_of_finish,
        argument="run",
    ),
    "train": SettingsCommand(
        "Train one network by a recipe, and keep its weights",
        _train,
        _train_config,
        added=(),
        words=_of_train,
        argument="network",
    ),
    "lr": SettingsCommand(
        "Find a learning rate for a network by a range test",
        _lr,
        _lr_config,
        added=(),
        words=_of_lr,
        argument="network",
    ),
    "evaluate": SettingsCommand(
        "Say how well a trained model does, class by class",
        _evaluate,
        _evaluate_config,
        added=(),
        words=_of_evaluate,
        argument="model",
    ),
    "diagnose": SettingsCommand(
        "Measure what happens inside networks, side by side",
        _diagnose,
        _diagnose_config,
        added=(),
        words=_of_diagnose,
        argument="networks",
    ),
    "profile": OptionsCommand("Print the costs of a network, block by block", options.profile_parser),
    "calibrate": OptionsCommand("Learn to predict latency on this device", options.calibrate_parser),
    "compare": SettingsCommand("Compare search strategies over seeds", _compare, _compare_config),
    "spaces": SettingsCommand(
        "Compare search spaces by random networks of each",
        _spaces,
        _spaces_config,
        added=(),
        words=_compared_spaces,
        first=("compare",),
    ),
    "proxies": OptionsCommand("Say how well cheap proxies rank the networks of a search", options.proxies_parser),
    "scale": SettingsCommand(
        "Make larger and smaller networks from one, train and forecast them",
        _scale,
        _scale_config,
        words=_with_training,
    ),
    "export": SettingsCommand(
        "Write a trained network as files that ship: ONNX, 8 bits, source, card",
        _export,
        _export_config,
        added=(),
        words=_of_export,
    ),
    "data": SettingsCommand(
        "Say what a data set holds, before anything is trained on it",
        _data,
        _data_config,
        added=(),
        words=_of_data,
    ),
    "browse": OptionsCommand("Open MLflow's pages of what is recorded", options.browse_parser),
    "records": OptionsCommand("Write to MLflow what it lacks of a search and its finish", options.records_parser),
    "report": OptionsCommand("Write what came of runs as a page for the browser", options.report_parser),
    "predict": OptionsCommand("Say what pictures show, by an exported model", options.predict_parser),
    "runs": OptionsCommand("List the runs of a folder, and how each of them stands", run_options.runs_parser),
    "steer": OptionsCommand(
        "Change a search that runs: its end, its workers, failed trials again", run_options.steer_parser
    ),
    "clean": OptionsCommand("Say what runs take of the disk, and remove what nothing needs", run_options.clean_parser),
    "completion": OptionsCommand("Print the script that completes `nas` in a shell", options.completion_parser),
}


def run_command(name: str) -> int:
    """Do what `sys.argv[1:]` asks of a command, and return the exit code.

    With `--json` standard output has one JSON document and nothing else, whatever happens; but help is help.
    """
    guard_streams()
    command, words = COMMANDS[name], list(takewhile("--".__ne__, sys.argv[1:]))
    as_json = FLAG in words and not HELP & set(words)
    with json_document(as_json):
        code = _run_with_settings(name, command) if isinstance(command, SettingsCommand) else _run(name, command)
        if code:
            add_exit_code(code)
    lost = lost_output() if not code and (as_json or name in _FOR_PROGRAMS) else None
    if lost is not None:
        say_error(f"nas.{name}", f"what it printed is not whole: {lost.strerror}")
        return 2
    return code


_FOR_PROGRAMS = frozenset({"predict"})
"""Commands whose standard output is what they are for, also without `--json`."""


def _run(name: str, command: OptionsCommand) -> int:
    if HELP & set(sys.argv[1:]):
        command.parser().parse_args()  # ends here, but where it is a value, as in `-- --help`
    code = import_module(f"nas.commands.{name}").main()
    assert isinstance(code, int)
    return code


def _run_with_settings(name: str, command: SettingsCommand) -> int:
    try:
        sys.argv[1:] = check_json(sys.argv[1:])
    except ConfigError as error:
        say_error(f"nas.{name}", error)
        return 2
    if HELP & set(sys.argv[1:]) and HELP.issuperset(command.words(sys.argv[1:])):
        from nas.commands.conf_files import help_text

        text = help_text(name)
        if text is not None:
            print(text)
            return 0
    from nas.commands.hydra_main import hydra_main

    work = next((command.flags[word] for word in sys.argv[1:] if word in command.flags), command.work)
    sys.argv[1:] = [word for word in sys.argv[1:] if word not in command.flags]
    hydra_main(name, work, command.config, words=command.words, flags=command.flags)
    return 0
