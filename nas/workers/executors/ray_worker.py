"""What an actor of Ray does: one job at a time, and it hands over what that says."""

from __future__ import annotations

import queue
from contextlib import suppress

from nas.held_out import forbid_test_split
from nas.workers.executors.executor import Alive, Began, Ended, Job, Progress
from nas.workers.executors.job import run_job
from nas.workers.worker import PickledEvaluator


class RayWorker:
    """An actor; it is also the way of its jobs to the driver, which fetches their messages.

    `run` is called in a thread of its own, `messages` and `answer` beside it.
    """

    def __init__(self, packed: bytes) -> None:
        """Take an evaluator, pickled."""
        import ray

        self._node = ray.get_runtime_context().get_node_id()
        forbid_test_split()  # whatever is evaluated: results of evaluations are chosen by
        self._sent = PickledEvaluator.packed(packed)
        self._messages: queue.SimpleQueue[Began | Alive | Progress] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

    def run(self, job: Job) -> Ended:
        """Do a job."""
        return run_job(job, self._sent, self, self._node)

    def messages(self, seconds: float) -> list[Began | Alive | Progress]:
        """Return what the job has said since the last call; waits so long for the first."""
        found = []
        with suppress(queue.Empty):
            found.append(self._messages.get(timeout=seconds))
            while True:
                found.append(self._messages.get_nowait())
        return found

    def answer(self, lease: str, end: bool) -> None:
        """Take the answer to the last report."""
        self._answers.put((lease, end))

    def tell(self, event: Began | Alive | Progress) -> None:
        """Keep a message until it is fetched."""
        self._messages.put(event)

    def ask(self, event: Progress) -> bool:
        """Wait for the answer to a report; where the driver is gone Ray ends this process."""
        self._messages.put(event)
        while True:
            lease, end = self._answers.get()
            if lease == event.lease:
                return end
