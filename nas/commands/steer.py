"""`nas steer RUN NAME=VALUE...`: a search that runs ends later, or earlier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.run_options import steer_parser
from nas.console import run
from nas.errors import ConfigError
from nas.json_output import add_facts
from nas.run_folder import shown, user_path

if TYPE_CHECKING:
    from nas.search.settings import SearchSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write the change; returns the exit code."""
    given = steer_parser().parse_args(arguments)
    return run("nas.steer", lambda: _steer(user_path(given.run), given.changes), json=given.json)


def _steer(folder: Path, words: Sequence[str]) -> None:
    from nas.search.steering import current, steer

    now = current(folder)
    changes = dict(_change(word, now) for word in words)
    steer(folder, changes)
    add_facts({"run_folder": folder, "before": _before(changes, now), "changes": changes})
    for name, value in changes.items():
        was = "" if now is None else f" (was {_text(_value(name, now))})"
        print(f"{shown(folder.absolute())}: search.{name}={_text(value)}{was}; the search takes it within seconds")


def _change(word: str, now: SearchSettings | None) -> tuple[str, Any]:
    """Return name and new value of a word such as `trials=100`, `trials=+50`, `patience=null`."""
    name, equals, text = word.partition("=")
    name = name.removeprefix("search.")
    if not equals or not text:
        raise ConfigError(f"{word!r:.80} is no change; write NAME=VALUE, such as trials=+50")
    if text == "null":
        return name, None
    try:
        value: float = int(text)
    except ValueError:
        try:
            value = float(text)
        except ValueError:
            raise ConfigError(
                f"{name} must be a number, with a sign to be added, or null, but got {text!r:.80}"
            ) from None
    if text[0] not in "+-":
        return name, value
    before = _value(name, now)
    if before is None:
        raise ConfigError(
            f"{word}: its record does not say what {name} is now, so that nothing can be added; give {name}=N"
        )
    return name, before + value


def _value(of: str, now: SearchSettings | None) -> Any:
    """Return what a setting is now; None where that is not known, or it is null."""
    if now is None:
        return None
    return now.known_trials if of == "trials" else getattr(now, of, None)


def _before(changes: dict[str, Any], now: SearchSettings | None) -> dict[str, Any]:
    return {name: _value(name, now) for name in changes}


def _text(value: Any) -> str:
    return "null" if value is None else f"{value:g}"
