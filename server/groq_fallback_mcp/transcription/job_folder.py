"""What a job keeps on disk while it runs: its parts as FLAC, and each part's transcript as soon as there is one.

A job is named by what is transcribed and how, so the same call finds what an earlier one has done. Everything is readable
by its owner alone and removed when the job has its result, or a week after it was last touched.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from groq_fallback_mcp.atomic_file import write_atomically
from groq_fallback_mcp.audio.parts import Part, SplitRecording
from groq_fallback_mcp.call import AudioFile, Spooled
from groq_fallback_mcp.redaction import sanitize_json
from groq_fallback_mcp.transcription.transcript_answer import TranscriptAnswer

__all__ = ["JobFolder", "JobTakenError", "job_name"]

KEPT_S = 7 * 86_400.0
# Other ways of splitting or joining must not meet parts of this one.
VERSION = 2
# The fields of an answer that a part's file holds. Attempts and notes are those of the call that is under way.
_SAVED = {"transcript", "provider", "model", "simulated", "cost_usd", "silent"}
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


class JobTakenError(Exception):
    """Another process works on the same recording."""


@cache
def _split() -> TypeAdapter[SplitRecording]:
    return TypeAdapter(SplitRecording)


@cache
def _answer() -> TypeAdapter[TranscriptAnswer]:
    return TypeAdapter(TranscriptAnswer)


def job_name(recording: AudioFile, options: Sequence[object]) -> str:
    """A digest of the recording's bytes and of how it is to be transcribed. Blocking: it reads the whole file."""
    digest = hashlib.blake2b(json.dumps([VERSION, *options], default=str).encode(), digest_size=16)
    with recording.open() as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class JobFolder:
    """The folder of one job, held by this process until `release`. All methods block."""

    def __init__(self, root: Path, name: str) -> None:
        """Raises JobTakenError, and OSError where the folder cannot be made."""
        from filelock import FileLock

        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_old(root)
        self.path = root / name
        self.path.mkdir(mode=0o700, exist_ok=True)
        # taken in one thread and released in another; beside the folder: removed with it, another process could hold a lock that is no more
        self._lock = FileLock(root / f"{name}.lock", mode=0o600, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except TimeoutError:
            raise JobTakenError from None
        os.utime(self.path)

    def saved_parts(self) -> SplitRecording | None:
        """The parts as they were split before; None where that was not done to its end."""
        try:
            found = _split().validate_json((self.path / "parts.json").read_bytes())
        except (OSError, ValidationError):
            return None
        return found if all((self.path / part.file).is_file() for part in found.parts) else None

    def save_parts(self, found: SplitRecording) -> None:
        """Say that all parts are there."""
        write_atomically(self.path / "parts.json", _split().dump_json(found), durable=True)

    def saved_answer(self, part: Part) -> TranscriptAnswer | None:
        """The transcript of a part, None where it has none yet."""
        try:
            return _answer().validate_json((self.path / f"{part.file}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def save_answer(self, part: Part, answer: TranscriptAnswer) -> None:
        """Keep a part's transcript: whole on disk before this returns."""
        fields = _answer().dump_python(answer, mode="json", include=_SAVED)
        content = json.dumps(sanitize_json(fields), ensure_ascii=False).encode()
        write_atomically(self.path / f"{part.file}.json", content, durable=True)

    def spooled(self, part: Part) -> Spooled:
        """A part's audio, which stays in its file: several are on their way at once."""
        path = self.path / part.file
        return Spooled(path=path, size=path.stat().st_size)

    def release(self, *, finished: bool) -> None:
        """Let go of the job; `finished`: nothing of it is wanted any more."""
        if finished:
            shutil.rmtree(self.path, ignore_errors=True)
        # its file stays, empty: removed, somebody could hold the lock of a file that is no more. A week, as all here
        self._lock.release()


def _remove_old(root: Path) -> None:
    oldest = time.time() - KEPT_S
    for path in root.iterdir():
        try:
            if path.stat().st_mtime >= oldest:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            _log.warning("an old job cannot be removed: %s", error)
