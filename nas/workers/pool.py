"""What a search asks of whatever evaluations run in."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from nas.workers.evaluating import Hear, Outcome, Task


class Pool(Protocol):
    """What evaluates: worker processes, or the driver's own process."""

    @property
    def free(self) -> int: ...

    def submit(self, task: Task) -> None: ...

    def wait(self, timeout: float | None) -> list[Outcome]: ...

    def paused(self) -> AbstractContextManager[None]:
        """Do nothing else meanwhile on this machine."""
        ...

    def now(self) -> float:
        """Seconds on the clock of the pool, from any point."""
        ...

    def listen(self, hear: Hear) -> None:
        """Tell `hear` how evaluations go; it says whether one is to end."""
        ...

    def running(self) -> Mapping[int, float]:
        """Return the seconds that evaluations take already, by number, as far as they can be ended on the way."""
        ...

    def end(self, number: int) -> None:
        """End an evaluation, of which nothing is heard then."""
        ...
