"""`nas steer RUN NAME=VALUE...`: another end of a search that runs, other workers, and failed trials once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.run_options import steer_parser
from nas.console import run
from nas.errors import ConfigError
from nas.json_output import add_facts
from nas.run_folder import in_use, shown, user_path

if TYPE_CHECKING:
    from nas.search.settings import SearchSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write the change; returns the exit code."""
    given = steer_parser().parse_args(arguments)
    return run("nas.steer", lambda: _steer(user_path(given.run), given.changes), json=given.json)


def _steer(folder: Path, words: Sequence[str]) -> None:
    from nas.search.steering import RERUN, WORKERS, change_text, current, current_workers, setting_of, steer

    workers = current_workers(folder)
    now = ({} if workers is None else {WORKERS: workers}) | _values(current(folder))
    changes = steer(folder, dict(_change(word, now) for word in words))
    before = {name: now.get(name) for name in changes if name != RERUN}
    add_facts({"run_folder": folder, "before": before, "changes": changes})
    runs, place = in_use(folder), shown(folder.absolute())
    for name, value in changes.items():
        when = "the search takes it within seconds"
        if name == RERUN and not runs:
            when = f"no search runs there now: nas search resume={place} runs them"
        was = f" (was {change_text(now[name])})" if name in now and name != RERUN else ""
        print(f"{place}: {setting_of(name)}={change_text(value)}{was}; {when}")


def _values(settings: SearchSettings | None) -> dict[str, Any]:
    """Return what is known of the settings that can be changed, by name."""
    from nas.search.steering import STEERED

    if settings is None:
        return {}
    return {name: getattr(settings, name) for name in STEERED} | {"trials": settings.known_trials}


def _change(word: str, now: Mapping[str, Any]) -> tuple[str, Any]:
    """Return name and new value of a word such as `trials=100`, `trials=+50`, `patience=null`, `rerun=12,15`."""
    name, equals, text = word.partition("=")
    name = name.removeprefix("search.")
    if not equals or not text:
        raise ConfigError(f"{word!r:.80} is no change; write NAME=VALUE, such as trials=+50")
    if name == "rerun":
        return name, _trials(text)
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
    before = now.get(name)
    if before is None:
        raise ConfigError(
            f"{word}: its record does not say what {name} is now, so that nothing can be added; give {name}=N"
        )
    return name, before + value


def _trials(text: str) -> str | list[int]:
    """Return the numbers of trials, or the word for all that have failed."""
    if text == "failed":
        return text
    numbers = [number.strip() for number in text.strip("[]").split(",")]
    if not all(number.isdecimal() and len(number) < 12 for number in numbers):
        raise ConfigError(f"rerun must be failed or numbers of trials, such as rerun=12,15, but got {text!r:.80}")
    return list(dict.fromkeys(map(int, numbers)))
