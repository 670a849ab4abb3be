"""`nas records`: what MLflow lacks of a search and its finish, written from its run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.commands.options import records_parser
from nas.console import run
from nas.errors import NasError
from nas.json_output import add_facts
from nas.run_folder import FINISH, shown, user_path


class MissingRecordsError(NasError):
    """MLflow still lacks something."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write; returns the exit code."""
    given = records_parser().parse_args(arguments)
    return run("nas.records", lambda: _write(user_path(given.run), given.uri), json=given.json)


def _write(folder: Path, uri: str | None) -> None:
    from nas.finishing.folder import SETTINGS
    from nas.finishing.records import record_finish
    from nas.records.browsing import server_in
    from nas.records.server import server_of, shown_server
    from nas.records.tracker import MlflowTracker
    from nas.search.load import load_study
    from nas.search.log import RunFolder

    study = load_study(folder)
    server = server_of(uri) if uri is not None else server_in(folder)
    held = RunFolder(folder, resume=True)  # a search that runs in it writes itself
    try:
        root = folder.absolute().parent
        where = shown_server(server) if server is not None else str(shown(root / "mlflow.db"))
        print(f"Writing what {where} lacks of {len(study.trials):,} trials ...", flush=True)
        tracker = MlflowTracker(root, server)
        tracker.begin(study)
        tracker.end(study)
        tracker.log_files(sorted(folder.glob("report*.[hp]*")))  # the page and its pictures
        add_facts({"run_folder": folder, "trials": len(study.trials), "mlflow": tracker.facts(folder)})
        if tracker.trouble:
            raise MissingRecordsError(tracker.trouble)
        if (folder / FINISH / SETTINGS).is_file():
            finish = record_finish(folder.absolute() / FINISH, study, server)
            if finish.trouble:
                raise MissingRecordsError(finish.trouble)
            add_facts({"finish": finish.facts})
            print(f"Its finish is there too. {finish.registered}".rstrip())
        print(f"MLflow has all of {shown(folder)}: {tracker.seconds:.1f} s")
    finally:
        held.close()
