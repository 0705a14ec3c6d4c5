"""Where a key comes from when the environment has none: the system's keyring, then a file only its owner can read.

Each provider's key is kept under an account of its own, the name of its variable; Groq's unless another is named.

A keyring can wait for a person to unlock it, for ever when nobody sits there: it is asked in a thread, for a moment.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from pydantic import SecretStr

from groq_fallback_mcp.atomic_file import partial_name, sweep_partials, write_atomically
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.redaction import register_keys
from groq_fallback_mcp.system import on_windows

__all__ = [
    "ACCOUNT",
    "Credential",
    "Exposure",
    "exposure",
    "find_key",
    "forget_key",
    "keep_in_file",
    "keep_in_ring",
    "make_in_file",
    "mode_of",
    "open_private",
    "require_private",
    "stored_keys",
]

T = TypeVar("T")
SERVICE, ACCOUNT = "groq-fallback-mcp", "GROQ_API_KEY"
RING_S = 2.0
LONGEST_KEY = 4_096
_waiting: list[threading.Thread] = []
A_KEY = "a key"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A key and, for people, where it was found."""

    key: SecretStr
    source: str


def find_key(file: Path, account: str = ACCOUNT) -> Credential | None:
    """The key of the keyring, else of `file`. Raises ConfigurationError for a file that others can read."""
    return _in_ring(account) or _in_file(file)


def stored_keys(file: Path) -> list[Credential]:
    """The keys of the keyring and of `file`, the one that is used first. Raises as `find_key`."""
    return [found for found in (_in_ring(ACCOUNT), _in_file(file)) if found is not None]


def require_private(descriptor: int, file: Path, *, content: str = A_KEY) -> None:
    """Raise ConfigurationError unless the open file belongs to this user, who alone can read it. `content`: what is secret in it."""
    if on_windows():
        return
    match exposure(descriptor):
        case Exposure.NOT_A_FILE:
            why = "it is not a regular file"
            if content == A_KEY:
                raise _unreadable(file, why)
            raise ConfigurationError(f"Cannot read {content} of {file} ({why})", next_step="Put it into a regular file")
        case Exposure.OF_ANOTHER_USER:
            raise ConfigurationError(
                f"{file} contains {content}, and belongs to another user", next_step=f"Run chown and chmod 600 {file}"
            )
        case Exposure.TO_OTHERS:
            raise ConfigurationError(
                f"{file} contains {content}, and others can read it (mode {mode_of(descriptor)})",
                next_step=f"Run chmod 600 {file}, and replace what others may have read",
            )
        case None:
            pass


class Exposure(Enum):
    """Why a secret must not be read from a file."""

    NOT_A_FILE = auto()
    OF_ANOTHER_USER = auto()
    TO_OTHERS = auto()


def open_private(file: Path) -> int:
    """A descriptor for reading, without waiting, should it be a FIFO. Raises OSError."""
    return os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))


def exposure(descriptor: int) -> Exposure | None:
    """What is wrong with an open file that holds a secret; None where it is this user's, who alone can read it."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return Exposure.NOT_A_FILE
    if on_windows():
        return None
    if status.st_uid not in {os.getuid(), 0}:
        return Exposure.OF_ANOTHER_USER
    return Exposure.TO_OTHERS if status.st_mode & _OTHERS else None


def mode_of(descriptor: int) -> str:
    """The mode of an open file, as chmod takes it."""
    return f"{stat.S_IMODE(os.fstat(descriptor).st_mode):04o}"


def keep_in_ring(key: SecretStr, account: str = ACCOUNT) -> bool:
    """Put the key into the keyring; False where there is none."""
    wanted = key.get_secret_value()

    def put(ring: ModuleType) -> bool:
        ring.set_password(SERVICE, account, wanted)
        return bool(ring.get_password(SERVICE, account) == wanted)

    return bool(_ask_ring(put))


def keep_in_file(key: SecretStr, file: Path) -> None:
    """Write the key into a file of mode 0600, replacing what was there. Raises ConfigurationError where that cannot be done."""
    with _changing(file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep_partials(file.parent)
        write_atomically(file, f"{key.get_secret_value()}\n".encode())


def make_in_file(secret: str, file: Path) -> None:
    """Write a secret into a new file of mode 0600. A file that is there stays: a link to a whole file never replaces one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_partials(file.parent)
    whole = file.with_name(partial_name())
    write_atomically(whole, f"{secret}\n".encode(), durable=True)
    try:
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(whole)
    finally:
        whole.unlink(missing_ok=True)


def forget_key(file: Path, account: str = ACCOUNT) -> list[str]:
    """Remove the key from wherever it is kept; the names of those places. Raises ConfigurationError for a file that cannot be removed."""
    forgotten: list[str] = []

    def remove(ring: ModuleType) -> bool:
        if ring.get_password(SERVICE, account) is None:
            return False
        ring.delete_password(SERVICE, account)
        return True

    if _ask_ring(remove):
        forgotten.append("the system keyring")
    with _changing(file), contextlib.suppress(FileNotFoundError):
        file.unlink()
        forgotten.append(str(file))
    return forgotten


@contextlib.contextmanager
def _changing(file: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The key file {file} cannot be changed ({error.strerror or error})",
            next_step=f"Make {file.parent} writable, or free some space there",
        ) from None


def _in_ring(account: str) -> Credential | None:
    found = _ask_ring(lambda ring: ring.get_password(SERVICE, account))
    if not found:
        return None
    register_keys(str(found))
    return Credential(key=SecretStr(str(found)), source="the system keyring")


def _in_file(file: Path) -> Credential | None:
    try:
        descriptor = open_private(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(file, error.strerror or "it cannot be opened") from error
    try:
        require_private(descriptor, file)
        text = os.read(descriptor, LONGEST_KEY).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, type(error).__name__) from None
    finally:
        os.close(descriptor)
    register_keys(text)
    return Credential(key=SecretStr(text), source=str(file)) if text else None


def _ask_ring(question: Callable[[ModuleType], T]) -> T | None:
    """The answer; None without a keyring, where it refuses or is too slow, and as long as an earlier question hangs."""
    if any(thread.is_alive() for thread in _waiting):
        return None
    answers: list[T] = []

    def ask() -> None:
        # whatever a backend raises means that it cannot be used here
        with contextlib.suppress(Exception):
            import keyring

            answers.append(question(keyring))

    asking = threading.Thread(target=ask, name="keyring", daemon=True)
    asking.start()
    asking.join(RING_S)
    if asking.is_alive():
        # each provider's key would wait as long
        _waiting.append(asking)
    return answers[0] if answers else None


def _unreadable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"Cannot read the key file {file} ({why})",
        next_step="Remove it, then store the key again: groq-fallback-mcp key set --file",
    )
