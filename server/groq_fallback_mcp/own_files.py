"""Which files this server wrote, by a digest of their content: nothing else is ever overwritten.

A record is an empty file of the user's state, named by the digest. A file that somebody changed since has another one.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["FOLDER", "MOST_RECORDS", "is_own", "remember"]

FOLDER = "written"
MOST_RECORDS = 1_000
_CHUNK = 1 << 20


def remember(records: Path, content: bytes) -> None:
    """Record that this content was written. Blocking; where that cannot be done, the file cannot be overwritten later."""
    with suppress(OSError):
        records.mkdir(mode=0o700, parents=True, exist_ok=True)
        (records / hashlib.blake2b(content, digest_size=16).hexdigest()).touch(mode=0o600)
        _prune(records)


def is_own(records: Path, descriptor: int) -> bool:
    """Whether the open file holds what this server wrote. Blocking: it reads all of it."""
    digest = hashlib.blake2b(digest_size=16)
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
    return (records / digest.hexdigest()).is_file()


def _prune(records: Path) -> None:
    found = list(os.scandir(records))
    if len(found) > MOST_RECORDS:
        # half at a time, so that not every write has to look at each
        for entry in sorted(found, key=lambda entry: entry.stat().st_mtime)[: len(found) - MOST_RECORDS // 2]:
            with suppress(OSError):
                Path(entry.path).unlink()
