"""Processes that answer questions about files, one a line of JSON; threads would wait for one another's lock of Python.

They end with their standard input, so that none outlives the process that has started them. Never loads torch.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import nas


class Processes:
    """Some processes that answer alike; a context, which ends them."""

    def __init__(self, module: str, first: object, count: int) -> None:
        """Start them.

        Args:
            module: that they run, which calls `serve`.
            first: what they are told before all questions: plain values.
            count: how many they are.

        Raises:
            OSError: one cannot be started.
        """
        self._all: list[subprocess.Popen[bytes]] = []
        self._idle = SimpleQueue[subprocess.Popen[bytes]]()
        try:
            for _ in range(count):
                self._all.append(_started(module))
                _send(self._all[-1], first)
                self._idle.put(self._all[-1])
        except BaseException:
            self._end()
            raise

    def answers(self, questions: Sequence[object]) -> Iterator[Any]:
        """Yield the answer to each question, in their order; both are plain values.

        Raises:
            OSError: a process has ended.
        """
        with ThreadPoolExecutor(max_workers=len(self._all)) as threads:
            yield from threads.map(self._ask, questions)

    def _ask(self, question: object) -> Any:
        process = self._idle.get()
        try:
            assert process.stdout is not None
            _send(process, question)
            line = process.stdout.readline()
        finally:
            self._idle.put(process)
        if not line.endswith(b"\n"):
            raise ChildProcessError("a process that reads images has ended")
        return json.loads(line)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._all:
            process.kill()
            with suppress(OSError):  # what could not be sent
                process.__exit__(None, None, None)


def _started(module: str) -> subprocess.Popen[bytes]:
    # Not by multiprocessing, whose processes import the script of the user, or have its threads' locks.
    where = [str(Path(nas.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, where))},
    )


def _send(process: subprocess.Popen[bytes], values: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(values).encode() + b"\n")
    process.stdin.flush()


def serve(begin: Callable[[Any], Callable[[Any], object]]) -> None:
    """Answer questions until there are no more, in a process of `Processes`.

    Args:
        begin: takes what is said first and returns what answers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that has started this one
    gc.freeze()  # what is loaded by now stays, and files leave nothing to be found
    gc.set_threshold(100_000)
    answer = begin(json.loads(sys.stdin.buffer.readline()))
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
