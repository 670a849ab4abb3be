"""Writes the runs of many trials to MLflow's database at once.

Loaded where MLflow is: it is a store of MLflow's.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlflow.entities import Experiment, RunStatus, RunTag
from mlflow.store.tracking.dbmodels.models import SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import text
from sqlalchemy.orm import Session, selectinload

from nas.records.store import chunks
from nas.records.values import Record


class _Gathering(Session):
    """A session whose commits wait until `write`."""

    def commit(self) -> None:
        """Wait: what MLflow wants to commit is committed together."""

    def write(self) -> None:
        """Commit everything."""
        super().commit()


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Let Python look for no garbage meanwhile: so many rows would have it look through the whole study many times."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class BatchStore(SqlAlchemyStore):
    """MLflow's store, in which the calls for many runs can share one session and one transaction.

    Each of its calls opens sessions of its own, reads the run back in every one and commits: that, and not the
    database, takes most of the time. All rows are still made by MLflow; only where its sessions come from, and what it
    reads again within a transaction, is changed here.
    """

    def __init__(self, uri: str, artifacts: str) -> None:
        """Open a database whose tables are there."""
        self._shared: _Gathering | None = None
        self._experiments: dict[str, Experiment] = {}
        super().__init__(uri, artifacts)
        # MLflow keeps connections by address, also to a file that was deleted since.
        self.engine.dispose()
        self._own_sessions = self.ManagedSessionMaker
        self.ManagedSessionMaker = self._session

    @contextmanager
    def _session(self, **arguments: Any) -> Iterator[Session]:
        if self._shared is not None:
            yield self._shared
        else:
            with self._own_sessions(**arguments) as session:
                yield session

    @contextmanager
    def _together(self) -> Iterator[_Gathering]:
        """Let calls share one transaction, which is written at the end, whole or not at all."""
        with _Gathering(bind=self.engine, autoflush=False) as session:
            session.execute(text("PRAGMA foreign_keys = ON"))
            session.execute(text("PRAGMA busy_timeout = 20000"))
            self._shared = session
            try:
                yield session
                session.write()
            finally:
                self._shared = None

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return an experiment, which is read once."""
        if experiment_id not in self._experiments:
            self._experiments[experiment_id] = super().get_experiment(experiment_id)
        return self._experiments[experiment_id]

    def _get_run(self, session: Session, run_uuid: str, eager: bool = False) -> SqlRun:
        """Return a run, which is not read again within a transaction."""
        run = session.get(SqlRun, run_uuid) if self._shared is not None else None
        return run if run is not None else super()._get_run(session, run_uuid, eager)

    def write(self, experiment: str, records: Sequence[Record]) -> list[str]:
        """Write runs in one transaction, all or none; returns their ids."""
        with _without_collecting(), self._together() as session:
            ids = [self._create(experiment, record) for record in records]
            session.flush()
            # Held while they are filled: a session forgets what nobody holds, and would read it again.
            runs = self._load(session, ids)
            assert len(runs) == len(ids)
            for run_id, record in zip(ids, records, strict=True):
                for metrics, params in chunks(record.values):
                    self.log_batch(run_id, metrics, params, [])
                self.update_run_info(run_id, RunStatus.from_string(record.status), record.ended, None)
        return ids

    def _load(self, session: Session, ids: Sequence[str]) -> list[SqlRun]:
        """Read what MLflow asks of each run, which is next to nothing yet, for all of them at once."""
        run: Any = SqlRun  # MLflow's tables have no types
        parts = (run.params, run.latest_metrics, run.tags)
        query = session.query(run).options(*map(selectinload, parts)).filter(run.run_uuid.in_(ids))
        return list(query.populate_existing())

    def _create(self, experiment: str, record: Record) -> str:
        tags = [RunTag(key, value) for key, value in {**record.tags, **record.values.tags}.items()]
        return str(self.create_run(experiment, "unknown", record.started, tags, record.name).info.run_id)
