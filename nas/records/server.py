"""An MLflow server that records go to: its address, and whether it answers."""

from __future__ import annotations

import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from nas.errors import ConfigError, NasError, in_a_line
from nas.run_folder import shown
from nas.to_type import to_type

VARIABLE = "MLFLOW_TRACKING_URI"
"""MLflow's own variable for the address, which counts where no setting gives one."""
_ANSWER_SECONDS = 5.0
_LONGEST = 1000
"""Characters of what went wrong."""
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_REQUESTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # it would also make a run again whose answer was lost
    _TIMEOUT: "20",  # seconds; what came since can wait in the run folder
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a trial
}


class ServerAwayError(NasError):
    """The server does not answer."""


def server_of(given: str | None) -> str | None:
    """Return the address of the server that records go to; None: there is none, they stay in the folder of records.

    Args:
        given: by a setting; None: what `MLFLOW_TRACKING_URI` says, where that is the address of a server.

    Raises:
        ConfigError: it is no address of a server, or has a password in it, which would be recorded.
    """
    if given is None:
        variable = os.environ.get(VARIABLE, "")
        return variable.rstrip("/") if _is_server(variable) else None
    if not _is_server(given):
        got = without_password(given)
        raise ConfigError(f"records.uri must be the http://... or https://... of an MLflow server, but got {got!r}")
    if "@" in urlsplit(given).netloc:
        raise ConfigError(
            "records.uri must have no user or password in it, since settings are recorded: set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return given.rstrip("/")


def recorded_server(given: object) -> str | None:
    """Return the server of a run by what its folder says, which may come from a stranger.

    Args:
        given: `records.uri` in its settings.

    Raises:
        ConfigError: it is no address, or a server other than that of `MLFLOW_TRACKING_URI` would be sent the user's
            password.
    """
    usual = server_of(None)
    if not isinstance(given, str):
        return usual
    server = server_of(given)
    if server != usual and _has_credentials():
        raise ConfigError(
            f"this run was recorded on {server}, which would be sent your MLflow credentials: "
            f"set {VARIABLE}={server} if it is to have them"
        )
    return server


def _has_credentials() -> bool:
    names = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    return any(map(os.environ.get, names)) or (Path.home() / ".mlflow" / "credentials").exists()


def without_password(text: str) -> str:
    """Return what MLflow says without the user and password of an address in it, be it a server's or a database's."""
    # Up to the last @ before a slash: a password may hold one.
    return re.sub(r"://[^/\s]*@", "://", text)


def _is_server(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and address.isprintable()
    except ValueError:  # also of a port that is none
        return False


def shown_server(server: str) -> str:
    """Return an address without user and password, as it may be shown."""
    parts = urlsplit(server)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def not_written(error: BaseException) -> str:
    """Say that nothing was written, and why."""
    return f"MLflow was not written: {told(error)}"


def lacks_last(error: ServerAwayError) -> str:
    """Say that a server has not all, since it is away."""
    return f"MLflow lacks what came last: {error}"


def no_answer(server: str) -> ServerAwayError:
    """Return the error of a server that does not answer."""
    return ServerAwayError(f"{shown_server(server)} does not answer")


def told(error: BaseException) -> str:
    """Return what went wrong with MLflow, in a line; who is no MLflow server answers with a page."""
    return in_a_line(without_password(f"{type(error).__name__}: {error}"), _LONGEST)


def record_facts(server: str | None, root: Path, folder: Path, trouble: str) -> dict[str, Any]:
    """Return where the records of a run are, as plain values.

    Args:
        server: its address; None: there is none, they are in the folder of records.
        root: the folder of records.
        folder: of the run.
        trouble: what is not there, in words; empty where all is.
    """
    return {
        "server": None if server is None else shown_server(server),
        "database": root / "mlflow.db" if server is None else None,
        "browse": to_type("browse", shown(folder.absolute())),
        "trouble": trouble,
    }


def answers(server: str) -> bool:
    """Whether a server is there: also one that refuses the question, as behind a password."""
    try:
        with urllib.request.urlopen(f"{shown_server(server)}/health", timeout=_ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, HTTPException, ValueError):  # nobody is there, or somebody else
        return False


@contextmanager
def brief_requests() -> Iterator[None]:
    """Have MLflow give up within seconds, to see whether a server is there; a shorter time that the user has set stays.

    What another thread asks of a server meanwhile has no longer.
    """
    before = os.environ.get(_TIMEOUT)
    try:
        shorter = before is not None and float(before) < _ANSWER_SECONDS
    except ValueError:
        shorter = False
    if not shorter:
        os.environ[_TIMEOUT] = f"{_ANSWER_SECONDS:.0f}"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_TIMEOUT, None)
        else:
            os.environ[_TIMEOUT] = before


def set_up_requests() -> None:
    """Have MLflow give up soon on a server that does not answer, and print nothing; what the user has set stays."""
    for name, value in _REQUESTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line each time
