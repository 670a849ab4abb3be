"""`nas browse`: MLflow's pages of what is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from nas.commands.options import browse_parser
from nas.console import run
from nas.json_output import add_facts, print_document
from nas.run_folder import user_path

_UNTIL = "It is served to this machine alone, until Ctrl-C."


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, and serve until interrupted; returns the exit code."""
    given = browse_parser().parse_args(arguments)
    return run("nas.browse", lambda: _serve(given.run, given.records, given.port), json=given.json, may_be_silent=True)


def _serve(run_folder: str | None, records: str, port: int) -> None:
    from nas.records.browsing import check_free, database_of, page_of, recorded_in, serve
    from nas.records.server import server_of, shown_server

    recorded = recorded_in(user_path(run_folder).absolute()) if run_folder is not None else None
    server = recorded.server if recorded is not None else server_of(None)
    if server is not None:
        page = page_of(recorded) if recorded is not None else "/"
        add_facts({"address": f"{shown_server(server)}{page}"})
        print(f"Open {shown_server(server)}{page}")
        return
    root = recorded.root if recorded is not None else user_path(records)
    database_of(root)
    check_free(port)  # all this before MLflow is loaded, which takes seconds
    print("Starting MLflow's server ...", flush=True)
    page = page_of(recorded) if recorded is not None else "/"
    print("Waiting until it answers, which takes some seconds ...", flush=True)
    answered = False

    def ready(address: str) -> None:
        nonlocal answered
        answered = True
        add_facts({"address": f"{address}{page}"})
        print_document()  # a program that waits for it cannot wait for the end
        print(f"Open {address}{page}\n{_UNTIL}", flush=True)

    try:
        serve(root, port, ready)
    except KeyboardInterrupt:  # how it is meant to end, but not before anybody could open a page
        if not answered:
            raise
