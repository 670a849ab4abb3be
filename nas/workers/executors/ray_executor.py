"""Jobs on the machines of a Ray cluster: an actor a worker, made when there is work for it, ended with the search.

Ray is loaded where an executor is made and nowhere else. Only its core is used: actors, the object store for what jobs
carry, and the runtime environment for modules of the user's own.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from nas.errors import ConfigError, WorkerError, plain, reason_of
from nas.evaluation import Evaluator
from nas.held_out import FORBIDDEN
from nas.run_folder import user_path
from nas.workers.executors.channel import LOOPBACK
from nas.workers.executors.executor import Ended, Event, Job, Lost, Worker
from nas.workers.executors.ray_worker import RayWorker
from nas.workers.executors.settings import RaySettings
from nas.workers.worker import check_not_starting, with_own_code

INSTALL = "pip install 'nas[ray]'"
_POLL_SECONDS = 30.0
"""Of a call that waits in a worker for its messages."""
_NODES_SECONDS = 1.0
"""How often it is asked which machines there are."""
_TALK = "talk"
_MIB = 2**20
_TOKEN_SETTINGS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def import_ray() -> Any:
    """Load Ray; raises `ConfigError` where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_USAGE_STATS_PROMPT_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"executor=ray needs Ray, which is not installed ({error}): {INSTALL}") from None
    return ray


@dataclass
class _Actor:
    """A worker of this search."""

    handle: Any
    talk: Any
    """The call that fetches its messages; it also shows that the actor is gone."""
    lease: str | None = None
    run: Any = None
    """The call that does its job; None while it has none."""
    worker: Worker | None = None
    """None until its first job has begun."""


class RayExecutor:
    """Runs jobs by actors, each with as many cores and GPUs as a trial takes."""

    can_end = True
    name = "ray"

    def __init__(self, settings: RaySettings, workers: int | None = None) -> None:
        """Take settings, and how many jobs are to run at a time; None is as many as the cluster has room for.

        Raises:
            ConfigError: Ray is not installed.
        """
        check_not_starting()
        self._settings, self._most = settings, workers
        if settings.address is None:
            _use_token()
            os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves trials beside other programs
        self._ray = import_ray()
        self._actors: list[_Actor] = []
        self._room, self._seen = 1, -_NODES_SECONDS
        self._own = False
        """Whether this has connected to the cluster, or started it."""
        self.notes: Sequence[str] = ()

    def open(self, evaluator: Evaluator) -> None:
        """Connect to the cluster, or start one, and put the evaluator into its object store."""
        try:
            packed = self._ray.cloudpickle.dumps(with_own_code(evaluator))
        except Exception as error:  # anything may be in it
            raise WorkerError(f"the evaluator cannot be sent to workers ({reason_of(error)})") from error
        self._own = not self._ray.is_initialized()
        if self._own:
            self._connect()
        self._evaluator = self._ray.put(packed)
        self._class = self._ray.remote(concurrency_groups={_TALK: 2})(RayWorker)

    def _connect(self) -> None:
        settings, started = self._settings, self._settings.address is None
        options: dict[str, Any] = {"address": settings.address}
        if started:
            options = {"address": "local", "_node_ip_address": LOOPBACK, "dashboard_host": LOOPBACK}
        if settings.modules:
            options["runtime_env"] = {"py_modules": [str(user_path(one).absolute()) for one in settings.modules]}
        try:
            with _signals_kept():
                context = self._ray.init(
                    **options, log_to_driver=False, configure_logging=False, namespace=f"nas-{os.getpid()}"
                )
        except Exception as error:  # there is no end to what can be wrong with a cluster
            where = (
                "no Ray cluster can be started here"
                if started
                else f"no Ray cluster at executor.address={settings.address}"
            )
            raise ConfigError(f"{where}: {_first_line(error)}") from error
        where = "Ray on this machine" if started else f"Ray at {settings.address}"
        url = getattr(context, "dashboard_url", None)
        self.notes = (f"{where}; dashboard: http://{url}" if url else f"{where}, without a dashboard",)

    @property
    def room(self) -> int:
        """Jobs at a time: as many as were asked for, or as fit on the machines that there are now."""
        if self._most is not None:
            return self._most
        if time.monotonic() - self._seen >= _NODES_SECONDS:
            self._room, self._seen = sum(self._fits(node) for node in self._nodes()), time.monotonic()
        return self._room

    def resize(self, workers: int) -> None:
        """Run so many jobs at a time, also where the cluster has no room for them yet."""
        self._most = workers
        self._end_superfluous()

    def _end_superfluous(self) -> None:
        """End actors without a job that are more than are to be, so that others can have their place."""
        if self._most is not None:
            idle = [actor for actor in self._actors if actor.run is None]
            for actor in idle[: max(0, len(self._actors) - self._most)]:
                self._end(actor)

    def _nodes(self) -> list[Mapping[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _fits(self, node: Mapping[str, Any]) -> int:
        """Return how many jobs a machine has room for, with nothing else on it."""
        settings, there = self._settings, node["Resources"]
        needs = {"CPU": settings.cpus, "GPU": settings.gpus, "memory": (settings.memory_mib or 0) * _MIB}
        needs |= {name: float(count) for name, count in settings.resources.items()}
        return min(int(there.get(name, 0) / need + 1e-9) for name, need in needs.items() if need > 0)

    def start(self, job: Job, *, avoid: Worker | None = None) -> None:
        """Give a job to an actor that has none, or to a new one, which Ray starts where there is room."""
        idle = [actor for actor in self._actors if actor.run is None and not _in(actor, avoid)]
        actor = idle[0] if idle else self._new_actor(avoid)
        actor.lease, actor.run = job.lease, actor.handle.run.remote(job)

    def _new_actor(self, avoid: Worker | None) -> _Actor:
        options: dict[str, Any] = {
            "num_cpus": self._settings.cpus,
            "num_gpus": _whole(self._settings.gpus),
            "resources": dict(self._settings.resources),
            "runtime_env": {"env_vars": self._environment()},
            "max_restarts": 0,
        }
        if self._settings.memory_mib is not None:
            options["memory"] = int(self._settings.memory_mib * _MIB)
        if (other := self._other_node(avoid)) is not None:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(other, soft=True)
        handle = self._class.options(**options).remote(self._evaluator)
        actor = _Actor(handle, self._talk(handle))
        self._actors.append(actor)
        return actor

    def _other_node(self, avoid: Worker | None) -> str | None:
        """Return a machine that has room beside our own workers and is not the one to be avoided."""
        if avoid is None:
            return None
        ours = [actor.worker.node for actor in self._actors if actor.worker is not None]
        others = [node for node in self._nodes() if node["NodeID"] != avoid.node]
        free = {node["NodeID"]: self._fits(node) - ours.count(node["NodeID"]) for node in others}
        best = max(free, key=lambda name: free[name], default=None)
        return best if best is not None and free[best] > 0 else None

    def _environment(self) -> dict[str, str]:
        """Return what is in the environment of workers: as many threads as cores, no GPU that they have not."""
        threads = str(max(1, int(self._settings.cpus)))
        found = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive", FORBIDDEN: "1"}
        return found if self._settings.gpus else {**found, "CUDA_VISIBLE_DEVICES": ""}

    def _talk(self, handle: Any) -> Any:
        return handle.messages.options(concurrency_group=_TALK).remote(_POLL_SECONDS)

    def receive(self, timeout: float) -> Sequence[Event]:
        """Return what came; see `Executor`."""
        calls = [call for actor in self._actors for call in (actor.talk, actor.run) if call is not None]
        if not calls:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(calls, num_returns=1, timeout=timeout, fetch_local=False)
        if ready:
            ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0, fetch_local=False)
        known = set(ready)
        events = [event for actor in [*self._actors] for event in self._events(actor, known)]
        self._end_superfluous()
        return events

    def _events(self, actor: _Actor, ready: set[Any]) -> Iterator[Event]:
        """Yield what came of one actor: its messages before the end of its job."""
        if actor.talk in ready:
            try:
                messages = self._ray.get(actor.talk)
            except Exception as error:  # whatever has ended it
                yield from self._gone(actor, error)
                return
            actor.talk = self._talk(actor.handle)
            for message in messages:
                actor.worker = getattr(message, "worker", actor.worker)
                yield message
        if actor.run in ready:
            try:
                ended: Ended = self._ray.get(actor.run)
            except Exception as error:  # also of the way to the driver
                yield from self._gone(actor, error)
                return
            actor.lease = actor.run = None
            if ended.began is not None:
                actor.worker = ended.began.worker
            yield ended

    def _gone(self, actor: _Actor, error: Exception) -> Iterator[Event]:
        """Leave an actor out that is gone, and with it its job."""
        lease = actor.lease
        self._end(actor)
        if lease is not None:
            memory = "OutOfMemory" in type(error).__name__ or "OUT_OF_MEMORY" in str(error)
            yield Lost(lease, _first_line(error), out_of_memory=memory)

    def answer(self, lease: str, end: bool) -> None:
        """Answer a report."""
        for actor in self._actors:
            if actor.lease == lease:
                actor.handle.answer.options(concurrency_group=_TALK).remote(lease, end)

    def cancel(self, lease: str) -> None:
        """End the actor that has a job."""
        for actor in [*self._actors]:
            if actor.lease == lease:
                self._end(actor)

    def _end(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        with suppress(Exception):  # it is gone
            self._ray.kill(actor.handle)

    def close(self) -> None:
        """End all actors, and the cluster where it was started for them."""
        for actor in [*self._actors]:
            self._end(actor)
        if self._own:
            with _signals_kept():
                self._ray.shutdown()


def _in(actor: _Actor, avoid: Worker | None) -> bool:
    return avoid is not None and actor.worker is not None and actor.worker.node == avoid.node


def _whole(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number


def _first_line(error: BaseException) -> str:
    """Return what an error of Ray says in short: it adds pages of advice."""
    lines = filter(None, map(str.strip, str(error).splitlines()))
    return plain(f"{type(error).__name__}: {next(lines, '')}")


def _use_token() -> None:
    """Have a cluster that is started here ask for a token that only this search knows, unless the user says otherwise.

    Ray reads the mode when it is loaded; where it is loaded already it takes a token by itself, if its version does so.
    """
    if any(name in os.environ for name in _TOKEN_SETTINGS):
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if "ray" not in sys.modules:
        os.environ["RAY_AUTH_MODE"] = "token"


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handlers of signals as they are, which Ray changes: a search ends in order by them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
