"""The real server as a child process, driven line by line by a client that may behave as badly as it likes."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["PATIENCE_S", "ServerProcess", "peak_mib", "running"]

PATIENCE_S = 20.0
CLIENT = {"name": "torture", "version": "0"}


class ServerProcess:
    """A server, with a thread that reads its stdout unless told not to."""

    def __init__(self, process: subprocess.Popen[bytes], *, reading: bool = True) -> None:
        self.process = process
        self.replies: dict[Any, dict[str, Any]] = {}
        self.others: list[dict[str, Any]] = []
        self.seen: list[Any] = []
        self._came: queue.Queue[None] = queue.Queue()
        self._next = 1_000_000
        if reading:
            self.read()

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def read(self) -> None:
        """Read stdout from now on. Every line must be JSON-RPC."""
        threading.Thread(target=self._read, daemon=True).start()

    def write(self, data: bytes) -> None:
        """Raw bytes."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, **message: Any) -> None:
        """One message."""
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def call(self, number: int | str, tool: str, **arguments: Any) -> None:
        """Ask for a tool, without waiting."""
        self.send(id=number, method="tools/call", params={"name": tool, "arguments": arguments})

    def wait(self, number: int | str | None, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """The reply to a request."""
        self.until(lambda: number in self.replies, seconds)
        return self.replies[number]

    def until(self, reached: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until something holds that only replies can change."""
        end = time.monotonic() + seconds
        while not reached():
            left_s = end - time.monotonic()
            assert left_s > 0, f"nothing came for {seconds} s; the server's status is {self.process.poll()}"
            try:
                self._came.get(timeout=min(left_s, 0.2))
            except queue.Empty:
                continue

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and wait for its result."""
        self._next += 1
        self.call(self._next, tool, **arguments)
        return dict(self.wait(self._next)["result"])

    def ask_within(self, seconds: float, tool: str, **arguments: Any) -> dict[str, Any]:
        """The same, for what may take long."""
        self._next += 1
        self.call(self._next, tool, **arguments)
        return dict(self.wait(self._next, seconds)["result"])

    def ping(self) -> float:
        """Seconds until it answers."""
        self._next += 1
        started = time.monotonic()
        self.send(id=self._next, method="ping")
        assert self.wait(self._next)["result"] == {}
        return time.monotonic() - started

    def handshake(self) -> None:
        """Initialize and initialized."""
        self.handshake_unread()
        self.wait("hello")

    def handshake_unread(self) -> None:
        """The same, without waiting for the reply."""
        parameters = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
        self.send(id="hello", method="initialize", params=parameters)
        self.send(method="notifications/initialized")

    def exit_within(self, seconds: float) -> int:
        """Its status, once it has ended by itself."""
        return self.process.wait(timeout=seconds)

    def peak_mib(self) -> float:
        """The most memory it has had resident."""
        return peak_mib(self.pid)

    def forget_peak(self) -> None:
        """Count the peak from here on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def resident_mib(self) -> float:
        """The memory it has resident now."""
        return _status(self.pid, "VmRSS") / 1024

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            if "method" in message:
                self.others.append(message)
            else:
                self.seen.append(message["id"])
                self.replies[message["id"]] = message
            self._came.put(None)


@contextmanager
def running(
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (sys.executable, "-m", "groq_fallback_mcp"),
    reading: bool = True,
    handshake: bool = True,
    preexec: Callable[[], None] | None = None,
    stderr: int = subprocess.DEVNULL,
) -> Iterator[ServerProcess]:
    """A server with an environment of its own and no neighbor's state; killed at the end if it still runs."""
    clean = {
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
        "GROQ_API_KEY": "gsk_tortured0000",
        "GROQ_BASE_URL": "http://127.0.0.1:9",
        "GROQ_FALLBACK_CONFIG": str(folder / "none.toml"),
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        "GROQ_FALLBACK_STATE": f"sqlite://{folder}/ledger.sqlite3",
        "GROQ_FALLBACK_FILES": str(folder),
    }
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=clean | dict(environment or {}),
        cwd=folder,
        preexec_fn=preexec,  # noqa: PLW1509 - only limits are set
    )
    server = ServerProcess(process, reading=reading)
    try:
        if handshake and reading:
            server.handshake()
        yield server
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def peak_mib(pid: int) -> float:
    """The most memory a process has had resident."""
    return _status(pid, "VmHWM") / 1024


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(name)
