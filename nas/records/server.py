"""An MLflow server that records go to: its address, and whether it answers."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from nas.errors import ConfigError, NasError

VARIABLE = "MLFLOW_TRACKING_URI"
"""MLflow's own variable for the address, which counts where no setting gives one."""
_ANSWER_SECONDS = 5.0
_REQUESTS = {
    # MLflow would try for minutes, while what came since can wait in the run folder.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
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
        raise ConfigError(f"records.uri must be the http://... or https://... of an MLflow server, but got {given!r}")
    if "@" in urlsplit(given).netloc:
        raise ConfigError(
            "records.uri must have no user or password in it, since settings are recorded: set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    return given.rstrip("/")


def _is_server(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def shown_server(server: str) -> str:
    """Return an address without user and password, as it may be shown."""
    parts = urlsplit(server)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def answers(server: str) -> bool:
    """Whether a server is there: also one that refuses the question, as behind a password."""
    try:
        with urllib.request.urlopen(f"{shown_server(server)}/health", timeout=_ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def set_up_requests() -> None:
    """Have MLflow give up soon on a server that does not answer, and print nothing; what the user has set stays."""
    for name, value in _REQUESTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line each time
