"""The process that decodes what others made: `python -m groq_fallback_mcp.audio.decode_process JSON`, started by decoder.py.

The recording is its standard input, opened and vetted by whoever started it. Standard output carries messages, each a letter,
the length of what follows in four bytes, and that: `s` samples, `r` the result as JSON, `h` nothing, a sign of life.
It has little memory, little time, no network to reach and no key in its environment.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from groq_fallback_mcp.audio.parts import TooLongError, split
from groq_fallback_mcp.audio.pcm import (
    BYTES_A_SAMPLE,
    MEMORY_BYTES,
    OUT_OF_MEMORY,
    SAMPLE_RATE,
    Damage,
    NotDecodableError,
    OutOfMemoryError,
    measured_s,
    pcm,
)
from groq_fallback_mcp.call import Opened, open_recording
from groq_fallback_mcp.system import on_macos

__all__ = ["main"]

LIFE_SIGN_S = 0.25
WATCH_S = 0.02
MOST_FILES = 32
SAMPLES_AT_ONCE = 256 * 1024


def main(arguments: list[str]) -> int:
    """Do the one task that the first argument describes."""
    task: Mapping[str, Any] = json.loads(arguments[0])
    output = _only_messages_to_stdout()
    import_module("av")
    if task["do"] == "split":
        import_module("numpy")
    _limit(task["longest_run_s"])
    source = open_recording(Opened(descriptor=0, size=task["size"], start=task["start"]))
    result = _result(task, source, output)
    _send(output, b"r", json.dumps(result).encode())
    return 0


def _result(task: Mapping[str, Any], source: BinaryIO, output: BinaryIO) -> dict[str, Any]:
    try:
        return _TASKS[task["do"]](task, source, output)
    except OutOfMemoryError:
        return {"refused": "memory", "why": ""}
    except NotDecodableError as error:
        return {"refused": "not_decodable", "why": str(error)}
    except TooLongError:
        return {"refused": "too_long", "why": ""}
    except MemoryError:
        return {"refused": "memory", "why": ""}
    except BrokenPipeError:
        raise
    except OSError as error:
        return {"refused": "os", "why": error.strerror or str(error), "errno": error.errno}


def _measure(task: Mapping[str, Any], source: BinaryIO, output: BinaryIO) -> dict[str, Any]:
    longest_s = task["longest_s"]
    return {"seconds": measured_s(source, task["media_type"], stopped=_life_signs(output), longest_s=longest_s)}


def _samples(task: Mapping[str, Any], source: BinaryIO, output: BinaryIO) -> dict[str, Any]:
    left = int(task["longest_s"] * SAMPLE_RATE * BYTES_A_SAMPLE)
    damage = Damage()
    for block in pcm(source, task["media_type"], stopped=_life_signs(output), damage=damage):
        left -= len(block)
        if left < 0:
            raise TooLongError
        for at in range(0, len(block), SAMPLES_AT_ONCE):
            _send(output, b"s", block[at : at + SAMPLES_AT_ONCE])
    return {}


def _split(task: Mapping[str, Any], source: BinaryIO, output: BinaryIO) -> dict[str, Any]:
    found = split(
        source,
        task["media_type"],
        Path(task["folder"]),
        stopped=_life_signs(output),
        part_s=task["part_s"],
        stated_s=task["stated_s"],
        cut=task["cut"],
    )
    return asdict(found)


_TASKS: Mapping[str, Callable[[Mapping[str, Any], BinaryIO, BinaryIO], dict[str, Any]]] = {
    "measure": _measure,
    "samples": _samples,
    "split": _split,
}


def _send(output: BinaryIO, name: bytes, body: bytes) -> None:
    output.write(name + len(body).to_bytes(4) + body)
    output.flush()


def _life_signs(output: BinaryIO) -> Callable[[], bool]:
    """Says from time to time that it goes on: where nobody listens any more, that ends the process."""
    last = time.monotonic()

    def going_on() -> bool:
        nonlocal last
        if time.monotonic() - last >= LIFE_SIGN_S:
            last = time.monotonic()
            _send(output, b"h", b"")
        return False

    return going_on


def _only_messages_to_stdout() -> BinaryIO:
    """Where messages go; what libraries print goes nowhere."""
    output = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    # whoever started it ends it: an interrupt at the terminal is theirs to handle
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return output


def _limit(longest_run_s: float) -> None:
    """Bound what this process may take from here on."""
    try:
        import resource
    except ImportError:
        return
    _lower(resource, resource.RLIMIT_CPU, int(longest_run_s) + 1)
    _lower(resource, resource.RLIMIT_CORE, 0)
    _lower(resource, resource.RLIMIT_NOFILE, MOST_FILES)
    held = _private_bytes()
    if held is not None:
        _lower(resource, resource.RLIMIT_DATA, held + MEMORY_BYTES)
        return
    # elsewhere the system does not count what is mapped: the most that was resident is looked at
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + MEMORY_BYTES // (1 if on_macos() else 1024)

    def watch() -> None:
        while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= most:
            time.sleep(WATCH_S)
        os._exit(OUT_OF_MEMORY)

    threading.Thread(target=watch, daemon=True).start()


def _lower(resource: Any, which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _private_bytes() -> int | None:
    """What Linux counts for RLIMIT_DATA, None elsewhere."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    except (OSError, StopIteration):
        return None


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except BrokenPipeError:
        status = 1
    # nothing is left to be tidied up, and a decoder may be stuck in its own
    os._exit(status)
