"""MLflow's database, and writing many values to it in few calls."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from filelock import FileLock

from nas.errors import ConfigError
from nas.records.server import answers, brief_requests, set_up_requests
from nas.records.values import Values
from nas.run_folder import refuse_link, refuse_links

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run

    from nas.records.batch import BatchStore

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
"""In the folder of records: what MLflow knows, and the folder of files that belong to runs."""
_FILES = ("", "-journal", "-wal", "-shm")
"""Of a database, by what its name ends with."""
_LOCK_SECONDS = 120
"""How long one waits for another that makes the tables; that takes seconds."""
MAX_BATCH = 900
"""Values that are written in one call: MLflow takes 1,000."""
_MAX_PARAMS = 100
_MAX_TAGS = 100


@dataclass(frozen=True)
class Store:
    """An open database or a server, and where the files of its runs lie."""

    client: MlflowClient
    batches: BatchStore | None
    """Writes many runs at once; None: a server takes one at a time."""
    artifacts: str | None
    """Address of the folder; None: the server has its own."""
    server: str | None = None
    """Its address."""

    def is_away(self, error: Exception, *, of_record: bool = False) -> bool:
        """Whether it is a server that does not answer now, or cannot read its own records: it can be asked again later.

        Args:
            error: that it gave, which may say so.
            of_record: whether it came of a record, which may be what the server fails by.
        """
        if self.server is None:
            return False
        if _passes(error, (429, 503, 504)) or (not of_record and _passes(error, range(500, 600))):
            return True
        return not self.is_there()

    def is_there(self) -> bool:
        """Whether a server answers within seconds, and can read its records; a database is always there."""
        return self.server is None or (answers(self.server) and self._reads())

    def _reads(self) -> bool:
        """Whether a server that is there can read its records: its database may be away, or somebody else answer."""
        try:
            with brief_requests():
                self.client.search_experiments(max_results=1)
        except Exception as error:
            return not _passes(error, (429, *range(500, 600)))
        return True


def _passes(error: Exception, statuses: Collection[int]) -> bool:
    """Whether an error is an answer of a server with one of some statuses of HTTP."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return False
    status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return status in statuses


def open_store(root: Path, server: str | None = None) -> Store:
    """Open the database in a folder of records, as `open_client` does; loads MLflow, which takes seconds.

    Args:
        root: the folder.
        server: an MLflow server that records go to instead; nothing is asked of it yet.
    """
    if server is not None:
        set_up_requests()
        from mlflow import MlflowClient

        _quiet()
        return Store(MlflowClient(tracking_uri=server), None, None, server)
    from nas.records.batch import BatchStore

    database, artifacts = places(root)
    client = open_client(database)
    return Store(client, BatchStore(database_uri(database), artifacts), artifacts)


def places(root: Path) -> tuple[Path, str]:
    """Return the database in a folder of records, and the address of the folder of its artifacts; both absolute."""
    folder = root.resolve()
    return folder / DATABASE, (folder / ARTIFACTS).as_uri()


def database_uri(database: Path) -> str:
    """Return the address of a database for MLflow and SQLAlchemy, whatever is in its path.

    Raises:
        ValueError: the path has a `?`, which addresses cannot say before SQLAlchemy 2.1.
    """
    from sqlalchemy.engine import make_url

    plain = str(database)
    escaped = plain.replace("%", "%25").replace("?", "%3F")
    # With the name of the driver, since for an address without it MLflow makes the folders of the escaped path.
    for uri in (f"sqlite:///{plain}", f"sqlite+pysqlite:///{escaped}", f"sqlite+pysqlite:///{plain}"):
        if make_url(uri).database == plain:
            return uri
    raise ValueError(f"records cannot be kept in a folder with '?' in its path: {plain!r}")


def open_client(database: Path) -> MlflowClient:
    """Return a client of a database, which is made first where there is none.

    Its tables are made in a file that gets its name when they are whole: a database that was cut off in the middle, or
    that two searches make at once, cannot be used ever again.

    Raises:
        ConfigError: it, or the folder of the artifacts beside it, is or holds a link; or its tables are those of
            another version of MLflow. sqlite3.Error: it cannot be
            opened; MLflow would try for minutes.
    """
    from mlflow import MlflowClient

    _quiet()
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = database.with_name(f".{database.name}.lock")
    refuse_link(lock)
    with _held(lock, database):
        for name in (*(f"{database.name}{ending}" for ending in _FILES), ARTIFACTS):
            refuse_link(database.with_name(name))
        refuse_links(database.with_name(ARTIFACTS))
        if not database.exists():
            for left in database.parent.glob(f".{database.name}*.partial"):  # by a process that was killed
                left.unlink()
            # MLflow keeps connections by address, so a name that was used before would lead to a file that is gone.
            partial = database.with_name(f".{database.name}.{uuid4().hex[:8]}.partial")
            MlflowClient(tracking_uri=database_uri(partial)).search_experiments(max_results=1)
            partial.replace(database)
        _check_tables(database)
        return MlflowClient(tracking_uri=database_uri(database))


@contextmanager
def _held(lock: Path, database: Path) -> Iterator[None]:
    """Hold what makes the tables of a database; one that is there in a folder that may only be read needs none made."""
    held = FileLock(lock, timeout=_LOCK_SECONDS, thread_local=False)
    try:
        held.acquire()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not database.is_file():
            raise
    try:
        yield
    finally:
        held.release()


def _check_tables(database: Path) -> None:
    """Raise a `ConfigError` where the tables of a database are those of another version of MLflow.

    MLflow itself says of newer tables, too, that they are to be upgraded.
    """
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with closing(sqlite3.connect(database)) as connection:
        tables = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
        there = connection.execute(tables).fetchone()[0]
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone() if there else None
    if found is None:
        return  # MLflow makes them
    versions = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if found[0] in versions.get_heads():
        return
    try:
        versions.get_revision(found[0])
    except CommandError:
        raise ConfigError(
            f"{database} was made by another MLflow than {mlflow.__version__}, probably a newer one: "
            "install that, or keep records in another folder"
        ) from None
    raise ConfigError(
        f"{database} was made by an older MLflow than {mlflow.__version__}: copy it to a safe place, then "
        f"mlflow db upgrade {quote(database_uri(database))}"
    )


def _quiet() -> None:
    """Let MLflow, which sets its own level when it is loaded, say next to nothing.

    What it says of its tables is of no use here, and what goes wrong is raised beside being logged.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)


def experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """Return the id of an experiment, which is made where there is none of that name."""
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known is not None else client.create_experiment(name, artifacts))


def find_runs(client: MlflowClient, experiment: str, condition: str) -> list[Run]:
    """Return all runs of an experiment that a condition holds for, oldest first."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment], condition, max_results=1000, page_token=token, order_by=["attributes.start_time"]
        )
        runs += page
        token = page.token
        if not token:
            return runs


def log_values(client: MlflowClient, run_id: str, values: Values) -> None:
    """Write many values in few calls: a call costs about as much as fifty values."""
    from mlflow.entities import RunTag

    for metrics, params in chunks(values):
        client.log_batch(run_id, metrics=metrics, params=params)
    tags = [RunTag(key, value) for key, value in values.tags.items()]
    for start in range(0, len(tags), _MAX_TAGS):
        client.log_batch(run_id, tags=tags[start : start + _MAX_TAGS])


def chunks(values: Values) -> Iterator[tuple[Sequence[Metric], Sequence[Param]]]:
    """Yield metrics and params in as many pieces as MLflow takes in one call."""
    calls = max(-(-len(values.metrics) // MAX_BATCH), -(-len(values.params) // _MAX_PARAMS))
    for call in range(calls):
        yield (
            values.metrics[call * MAX_BATCH : (call + 1) * MAX_BATCH],
            values.params[call * _MAX_PARAMS : (call + 1) * _MAX_PARAMS],
        )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{"train.epochs": 10}` for `{"train": {"epochs": 10}}`."""
    settings: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        settings |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return settings
