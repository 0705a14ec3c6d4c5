"""The command line in a pseudo-terminal, as a person sees and types it."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path


class Terminal:
    """A command in a pseudo-terminal, against a simulator where one is given. `seen` is what was shown and not yet waited for."""

    def __init__(self, *arguments: str, home: Path, base_url: str | None = None, **more: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm",
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        }
        if base_url is not None:
            environment |= {"GROQ_API_KEY": "gsk_simulated", "GROQ_BASE_URL": base_url}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            # what runs in the background of a shell ignores it, and so would what it starts
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(sys.executable, [sys.executable, "-m", "groq_fallback_mcp", *arguments], environment | more)
        self.seen = ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.fd, text.encode())

    def wait_for(self, words: str, *, within_s: float = 30.0) -> str:
        """Everything shown up to these words."""
        end = time.monotonic() + within_s
        while words not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(end - time.monotonic(), 0))
            assert ready, self.seen
            if not self._read():
                break
        assert words in self.seen, self.seen
        before, _, self.seen = self.seen.partition(words)
        return before

    def ended(self, *, within_s: float = 30.0) -> int:
        """Its exit code, once it has shown everything."""
        end = time.monotonic() + within_s
        while select.select([self.fd], [], [], max(end - time.monotonic(), 0))[0]:
            if not self._read():
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            message = f"it has not ended, and shows: {self.seen}"
            raise AssertionError(message)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        """More of what it shows; False at the end."""
        try:
            part = os.read(self.fd, 65_536)
        except OSError:  # how Linux says that the other side is closed
            return False
        self.seen += part.decode("utf-8", "replace")
        return bool(part)
