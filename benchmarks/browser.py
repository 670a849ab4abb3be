"""Headless Chromium for screenshots and for the time that a page takes, driven over a pipe by its DevTools protocol.

Needs Chromium (`apt-get install chromium`) and nothing else.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ENDS = b"\0"
"""Of each message."""
_PATIENCE = 60.0


def chromium() -> str | None:
    """Return the path of Chromium; None where it is not installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """A page in headless Chromium; a context, which ends it."""

    def __init__(self, *, width: int, height: int = 1000, dark: bool = False) -> None:
        program = chromium()
        if program is None:
            raise SystemExit("this needs Chromium: apt-get install chromium")
        self._profile = tempfile.TemporaryDirectory(prefix="nas-browser-", ignore_cleanup_errors=True)
        (read_ours, ours), (theirs, write_theirs) = os.pipe(), os.pipe()
        words = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        words += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={self._profile.name}", "about:blank"]
        # Chromium reads from descriptor 3 and writes to 4.
        shell = ["bash", "-c", f'exec 3<&{read_ours} 4>&{write_theirs}; exec "$@"', "browser", *words]
        self._process = subprocess.Popen(
            shell,
            pass_fds=(read_ours, write_theirs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_ours)
        os.close(write_theirs)
        self._write, self._read = ours, theirs
        self._buffer, self._number, self._session = b"", 0, ""
        self.requests: list[str] = []
        """Addresses that were asked for."""
        self.errors: list[str] = []
        """What the console said that is an error."""
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self._size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **self._size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._profile.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Do a command of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + _ENDS)
        until = time.monotonic() + _PATIENCE
        while True:
            answer = self._next(until - time.monotonic())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self, seconds: float) -> dict[str, Any]:
        """Return the next message, after noting what it says of the page; empty where none comes in time."""
        while _ENDS not in self._buffer:
            if not select.select([self._read], [], [], max(0.0, seconds))[0]:
                return {}
            self._buffer += os.read(self._read, 1 << 20)
        line, self._buffer = self._buffer.split(_ENDS, 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:500])
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(json.dumps(params["args"])[:500])

    def open(self, address: str, shows: str = "true", *, settle: float = 0.0) -> float:
        """Open a page and wait until it is loaded and an expression in it is true; returns the seconds.

        Args:
            address: of the page.
            shows: a JavaScript expression.
            settle: seconds to wait after that, which are not counted.
        """
        self._load("about:blank", "true")  # else the same address, with another part behind its #, loads nothing
        self.requests, self.errors = [], []
        took = self._load(address, shows)
        self.wait(settle)
        return took

    def _load(self, address: str, shows: str) -> float:
        started, self._loaded = time.monotonic(), False
        self.call("Page.navigate", url=address)
        while not self._loaded or not self.value(shows):
            if time.monotonic() - started > _PATIENCE:
                raise RuntimeError(f"{address} does not show {shows} after {_PATIENCE:g} s")
            self._next(0.01)
        return time.monotonic() - started

    def wait(self, seconds: float) -> None:
        """Let the page work on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._next(until - time.monotonic())

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression gives in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write a PNG of what is seen, or of the whole page, with few colours so that it is small."""
        if whole:
            height = int(self.value("document.documentElement.scrollHeight"))
            self.call("Emulation.setDeviceMetricsOverride", **{**self._size, "height": height})
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        _shrink(path)


def _shrink(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as image:
        few = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
