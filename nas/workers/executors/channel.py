"""Messages between jobs and the driver by TCP, for executors that only return results, or that only start processes.

Each job, or worker, connects to the driver and shows that it has the key, which it was given. What others send is not
opened. Messages are not encrypted, so that the driver listens on 127.0.0.1 unless another address is asked for.
"""

from __future__ import annotations

import os
import queue
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

from nas.errors import ConfigError
from nas.workers.executors.executor import Alive, Began, Progress

LOOPBACK = "127.0.0.1"
_BACKLOG = 512
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where the driver listens, and what shows that a job is its own."""

    host: str
    port: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hung:
    """The connection of a job has ended."""

    lease: str
    at: float
    """Seconds of `time.monotonic`."""


def end_where_silent(connection: Connection, seconds: float) -> None:
    """Have a connection end where the machine at its other end gives no sign of life for so long.

    The system sees to that by itself (`tcp(7)`), whatever both programs do; one that stands still is no silence.
    """
    tries = 3
    each = max(1, round(seconds / (tries + 1)))
    options = {
        "TCP_KEEPIDLE": each,
        "TCP_KEEPINTVL": each,
        "TCP_KEEPCNT": tries,
        "TCP_USER_TIMEOUT": round(1000 * seconds),  # of what was sent and not received
    }
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):  # which depends on the system
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Connected:
    """A job's connection to the driver; a `nas.workers.executors.job.Link`."""

    def __init__(self, address: Address) -> None:
        """Connect; raises `OSError`, or `AuthenticationError` where another program listens there."""
        self._connection = Client((address.host, address.port), family="AF_INET", authkey=address.key)
        self._sending, self._parent = threading.Lock(), os.getppid()

    def tell(self, event: Began | Alive | Progress) -> None:
        """Send a message."""
        with self._sending:
            self._connection.send(event)

    def ask(self, event: Progress) -> bool:
        """Send a report, and return whether the evaluation is to end."""
        self.tell(event)
        # A process that was forked beside this one may hold the driver's end open when the driver is gone.
        while not self._connection.poll(_LOOK_SECONDS):
            if os.getppid() != self._parent:
                raise EOFError
        return bool(self._connection.recv())

    def __enter__(self) -> Connected:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()


class Channel:
    """The driver's side: puts what jobs send into a queue, and sends answers."""

    def __init__(
        self, messages: queue.SimpleQueue[Any], host: str = LOOPBACK, silent_seconds: float | None = None
    ) -> None:
        """Listen on a free port of an address of this machine, by which jobs reach it.

        Args:
            messages: takes what jobs send. The first message of each names its connection by its `lease`.
            host: the address.
            silent_seconds: a connection ends where its other machine gives no sign of life for so long.

        Raises:
            ConfigError: this machine has no such address.
        """
        self._messages, self._key, self._silent_seconds = messages, secrets.token_bytes(32), silent_seconds
        self._connections: dict[str, Connection] = {}
        self._lock, self._closed = threading.Lock(), False
        try:
            self._listener = Listener((host, 0), family="AF_INET", backlog=_BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"the driver cannot listen on {host!r}, which must be an address of this machine: {error}"
            ) from None
        self.address = Address(host, self._listener.address[1], self._key)
        threading.Thread(target=self._accept, daemon=True, name="nas-channel").start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except OSError:  # such as too many open files; or it is being closed
                time.sleep(_LOOK_SECONDS)
                continue
            threading.Thread(target=self._read, args=(connection,), daemon=True, name="nas-channel-of-a-job").start()

    def _read(self, connection: Connection) -> None:
        """Read the messages of one job, once it has shown the key."""
        lease = ""
        try:
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            if self._silent_seconds is not None:
                end_where_silent(connection, self._silent_seconds)
            while True:
                message = connection.recv()
                if not lease:
                    lease = message.lease
                    with self._lock:
                        self._connections[lease] = connection
                self._messages.put(message)
        except (OSError, EOFError, AuthenticationError):
            pass
        finally:
            with self._lock:
                self._connections.pop(lease, None)
            connection.close()
            if lease:
                self._messages.put(Hung(lease, time.monotonic()))

    def answer(self, lease: str, end: bool) -> None:
        """Answer the last report of a job; one whose connection has ended is no error."""
        self.send(lease, end)

    def send(self, lease: str, message: object) -> None:
        """Send a message to the job or worker of that name; one whose connection has ended is no error."""
        with self._lock:
            connection = self._connections.get(lease)
        if connection is not None:
            with suppress(OSError):
                connection.send(message)

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._closed = True
        with suppress(OSError):  # wakes the thread that waits for connections
            socket.create_connection((self.address.host, self.address.port), timeout=1).close()
        self._listener.close()
        with self._lock:
            connections = [*self._connections.values()]
        for connection in connections:
            with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)  # its thread then closes it


class Outbox:
    """Sends messages in order, in a thread of its own, so that nobody waits for one who does not read them."""

    def __init__(self, channel: Channel, lease: str) -> None:
        """Send by the connection of that name."""
        self._channel, self._lease = channel, lease
        self._messages: queue.SimpleQueue[object] = queue.SimpleQueue()
        threading.Thread(target=self._send, daemon=True, name="nas-outbox").start()

    def put(self, message: object) -> None:
        """Have a message sent."""
        self._messages.put(message)

    def close(self) -> None:
        """Send nothing any more after what was put."""
        self._messages.put(None)

    def _send(self) -> None:
        while (message := self._messages.get()) is not None:
            self._channel.send(self._lease, message)
