"""Decodes recordings in a process of its own, with a bound on its memory and its time: what they hold was made by others.

All functions block: run them in a thread. The process ends with the call, whatever becomes of it. Needs the extra `audio`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from groq_fallback_mcp.audio.headers import Headers
from groq_fallback_mcp.audio.parts import SplitRecording, TooLongError
from groq_fallback_mcp.audio.pcm import MEMORY_BYTES, OUT_OF_MEMORY, AbandonedError, NotDecodableError, OutOfMemoryError
from groq_fallback_mcp.call import Opened, Spooled

__all__ = ["measure_s", "read_samples", "split_apart"]

Stopped = Callable[[], bool]
Recording = bytes | Spooled | Opened

LOOKED_AT_S = 0.05
# The longest message is the list of the parts of a day; samples come in smaller ones.
MOST_MESSAGE_BYTES = 4 * 1024 * 1024
# Everything else of the environment stays here, the keys above all. These are what Python and its libraries are found by.
_PASSED_ON = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "LANG",
    "LC_ALL",
    "SYSTEMROOT",
    "TMPDIR",
    "TEMP",
    "TMP",
)
# Large blocks go back to the system as soon as they are free: what lies between smaller ones would count as taken.
_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "OPENBLAS_NUM_THREADS": "1",
}


def measure_s(recording: Recording, media_type: str, *, longest_s: float, longest_run_s: float, stopped: Stopped) -> float:
    """Seconds that a recording lasts, by its packets and without decoding them; what goes on after `longest_s` is not counted.

    Raises NotDecodableError, and AbandonedError once `stopped()`. `longest_run_s` is the processor time that it may take.
    """
    task = {"do": "measure", "media_type": media_type, "longest_s": longest_s}
    with _decoding(recording, task, longest_run_s=longest_run_s, stopped=stopped) as messages:
        return float(_result(messages)["seconds"])


def read_samples(
    recording: Recording, media_type: str, *, longest_s: float, longest_run_s: float, stopped: Stopped
) -> Generator[bytes]:
    """Blocks of 16-bit samples, SAMPLE_RATE a second, mono. Raises as `measure_s`, and TooLongError after `longest_s`."""
    task = {"do": "samples", "media_type": media_type, "longest_s": longest_s}
    with _decoding(recording, task, longest_run_s=longest_run_s, stopped=stopped) as messages:
        for name, body in messages:
            if name == b"s":
                yield body
            elif name == b"r":
                _accepted(body)
                return
    raise AssertionError  # pragma: no cover - messages end in a result or an error


def split_apart(
    recording: Recording,
    media_type: str,
    folder: Path,
    *,
    part_s: float,
    headers: Headers,
    longest_run_s: float,
    stopped: Stopped,
) -> SplitRecording:
    """The recording as FLAC files in `folder`; see parts.split. Raises as `measure_s`, TooLongError, and OSError."""
    task = {
        "do": "split",
        "media_type": media_type,
        "folder": str(folder),
        "part_s": part_s,
        "stated_s": headers.stated_s,
        "cut": headers.cut,
    }
    with _decoding(recording, task, longest_run_s=longest_run_s, stopped=stopped) as messages:
        return TypeAdapter(SplitRecording).validate_python(_result(messages))


def _result(messages: Iterator[tuple[bytes, bytes]]) -> Mapping[str, Any]:
    return next(_accepted(body) for name, body in messages if name == b"r")


def _accepted(body: bytes) -> Mapping[str, Any]:
    """The result, or the refusal that it is as an exception."""
    found: Mapping[str, Any] = json.loads(body)
    why = str(found.get("why", ""))
    match found.get("refused"):
        case None:
            return found
        case "too_long":
            raise TooLongError
        case "memory":
            raise OutOfMemoryError(_memory())
        case "os":
            raise OSError(found.get("errno"), why)
        case _:
            raise NotDecodableError(why)


@contextmanager
def _decoding(
    recording: Recording, task: Mapping[str, Any], *, longest_run_s: float, stopped: Stopped
) -> Generator[Iterator[tuple[bytes, bytes]]]:
    """The messages of a process that does the task, which is ended with the block."""
    with ExitStack() as stack:
        source = _descriptor(recording, stack)
        given = {**task, "size": source.size, "start": source.start, "longest_run_s": longest_run_s}
        process = subprocess.Popen(  # noqa: S603 - our own module, and nothing of the recording among the arguments
            [sys.executable, *_flags(), "-m", "groq_fallback_mcp.audio.decode_process", json.dumps(given)],
            stdin=source.descriptor,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        output = process.stdout
        assert output is not None  # noqa: S101 - it was asked for
        over = threading.Event()
        watch = threading.Thread(target=_end_when, args=(process, stopped, over), daemon=True)
        watch.start()
        try:
            yield _messages(process, output, stopped)
        finally:
            over.set()
            with suppress(OSError):
                process.kill()
            process.wait()
            output.close()
            watch.join()


def _flags() -> list[str]:
    """Nothing of the working folder is imported, and no variable is read that this process does not read."""
    return [*(["-E"] if sys.flags.ignore_environment else []), "-P"]


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if "PYTHONPATH" in passed_on:
        # an empty or relative entry is the working folder, or lies in it
        entries = passed_on["PYTHONPATH"].split(os.pathsep)
        passed_on["PYTHONPATH"] = os.pathsep.join(entry for entry in entries if Path(entry).is_absolute())
    return _MALLOC | passed_on


def _descriptor(recording: Recording, stack: ExitStack) -> Opened:
    """An open file that holds the recording; one of ours is closed with the stack."""
    if isinstance(recording, Opened):
        return recording
    if isinstance(recording, Spooled):
        file = stack.enter_context(recording.path.open("rb"))
        return Opened(descriptor=file.fileno(), size=recording.size)
    held = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with the stack
    held.write(recording)
    held.flush()
    held.seek(0)
    return Opened(descriptor=held.fileno(), size=len(recording))


def _end_when(process: subprocess.Popen[bytes], stopped: Stopped, over: threading.Event) -> None:
    while not over.wait(LOOKED_AT_S):
        if stopped():
            with suppress(OSError):
                process.kill()
            return


def _messages(process: subprocess.Popen[bytes], output: IO[bytes], stopped: Stopped) -> Iterator[tuple[bytes, bytes]]:
    """What the process says. It ends in a result; a process that ends without one has found the recording to be harmful."""
    while True:
        head = output.read(5)
        size = int.from_bytes(head[1:])
        body = output.read(size) if len(head) == 5 and size <= MOST_MESSAGE_BYTES else b""
        if len(head) < 5 or len(body) < size:
            process.kill()
            _explain(process.wait(), stopped)
        if stopped():
            raise AbandonedError
        yield head[:1], body


def _explain(status: int, stopped: Stopped) -> None:
    if stopped():
        raise AbandonedError
    if status == OUT_OF_MEMORY:
        raise OutOfMemoryError(_memory())
    message = f"the decoder ended without a result (status {status})"
    raise NotDecodableError(message)


def _memory() -> str:
    return f"decoding it takes more than {MEMORY_BYTES // (1024 * 1024)} MB of memory"
