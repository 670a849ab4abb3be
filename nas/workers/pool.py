"""What a search asks of whatever evaluations run in.

A pool runs each task by `nas.workers.evaluating.evaluate`, wherever that is, so that whatever an evaluator does becomes
an outcome, and none can read the test split. `evaluate` lets `KeyboardInterrupt` through: where nobody types Ctrl-C the
pool makes a failure of it. What kills the place where a task runs becomes an outcome too, with the reason, and `killed`
where memory ran out; whether it is tried once more before that is the pool's business. After the outcome of a task, or
`end`, no report of it comes.

Limits of time and memory that the user states are the pool's to keep, and whoever makes it gives them to it; where
there is no limit of time (`search.trial_minutes`), the driver ends what takes too long. `Budget.checkpoint`, `weights`
and `int8` are paths that every place and the driver have to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from nas.workers.evaluating import Outcome, ReportListener, Task


class Pool(Protocol):
    """What evaluates: worker processes, the driver's own process, or workers on a simulated clock."""

    @property
    def free(self) -> int:
        """Number of tasks that can begin at once."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return what the evaluator says of its data; waits until that is known, and raises what it raised.

        Training states `nas.training.data.splits.ImageData.record`, a table also `networks` and `epochs`; a plain
        function nothing.
        """
        ...

    def submit(self, task: Task) -> None:
        """Have a task evaluated; only where something is `free`."""
        ...

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Return evaluations that ended; waits for one or some other news, at most so many seconds (None: any time).

        Raises what ends the pool: no worker can start.
        """
        ...

    def resize(self, workers: int) -> None:
        """Have another number of workers: what runs goes on, and those over the number end after it.

        Raises:
            ConfigError: there cannot be so many.
        """
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Do nothing else meanwhile on this machine."""
        ...

    def now(self) -> float:
        """Seconds on the clock of the pool, from any point."""
        ...

    def listen(self, listener: ReportListener) -> None:
        """Have `listener` called with each report of an evaluation, which waits to learn whether it is to end.

        That is done in the thread of the driver, while it is in `wait` or `submit`.
        """
        ...

    def running(self) -> Mapping[int, float]:
        """Return the seconds that evaluations take already, by number, as far as they can be ended on the way."""
        ...

    def end(self, number: int) -> None:
        """End an evaluation; no outcome of it comes."""
        ...

    def close(self) -> None:
        """End what runs, and give back what the pool holds."""
        ...
