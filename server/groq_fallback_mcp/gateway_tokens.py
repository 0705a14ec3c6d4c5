"""The file of the gateway's named tokens: for each a hash, what it may spend and use. Read again when it has changed.

Only hashes are kept, so the file gives nobody access. A token is 32 random bytes: there is nothing to guess, so a plain SHA-256 is as
good as a slow hash made for passwords, and takes a microsecond of each request.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groq_fallback_mcp.atomic_file import sweep_partials, write_atomically
from groq_fallback_mcp.credentials import open_private
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.json_types import is_array
from groq_fallback_mcp.redaction import register_secrets
from groq_fallback_mcp.system import on_windows

__all__ = [
    "CALLER",
    "MOST_TOKENS",
    "RESERVED_NAMES",
    "TOKENS_FILE",
    "GatewayToken",
    "TokensFile",
    "add_token",
    "change_token",
    "checked_name",
    "read_tokens",
    "remove_token",
    "rotate_token",
    "token_hash",
]

TOKENS_FILE = "gateway-tokens.toml"
# Where it is kept in the state of a request's scope whose token it came with.
CALLER = "caller"
MOST_TOKENS = 1_000
MOST_BYTES = 1024 * 1024
RESERVED_NAMES = ("owner",)
LOOK_EVERY_S = 1.0
LOCK_S = 10.0
_BYTES = 32
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_HEADER = "# Tokens of the gateway, written by groq-fallback-mcp gateway token. It holds their SHA-256, not the tokens.\n"

_log = logging.getLogger(__name__)


class GatewayToken(BaseModel):
    """A named token: who may use the gateway, how much of it and for what. None sets no bound."""

    # an ignored field could be a misspelled limit
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=rf"^{_NAME.pattern}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: Annotated[date, Field(strict=True)]
    budget_usd_per_day: Annotated[Decimal | None, Field(ge=0, le=10**9)] = None
    tokens_per_day: Annotated[int | None, Field(ge=0, le=10**15, strict=True)] = None
    models: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] | None = Field(default=None, max_length=200)
    rpm: Annotated[int | None, Field(ge=1, le=10**6, strict=True)] = None
    batch: Annotated[bool, Field(strict=True)] = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """How a file looked: its time of change, size and inode; zeros where there is none."""

    mtime_ns: int = 0
    size: int = 0
    inode: int = 0


class TokensFile:
    """The tokens by their hash, as the file has them now.

    The file is looked at when it is made, and then at most once in LOOK_EVERY_S of `monotonic` seconds. Raises ConfigurationError at first
    for a file that cannot be used; one that is damaged or gone later is logged, and the tokens stay as they were.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._seen = _look(path)
        self._tokens = _by_hash(read_tokens(path))

    def current(self) -> Mapping[bytes, GatewayToken]:
        """The tokens; the same object while they stay the same."""
        now = self._monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            seen = _look(self._path)
            if seen == _Seen() and self._tokens:
                if self._seen != seen:
                    _log.warning("the gateway's tokens stay as they were: %s is gone", self._path)
                self._seen = seen
            elif seen != self._seen:
                self._seen = seen
                try:
                    self._tokens = _by_hash(read_tokens(self._path))
                except ConfigurationError as error:
                    _log.warning("the gateway's tokens stay as they were: %s", error)
        return self._tokens


def read_tokens(path: Path) -> tuple[GatewayToken, ...]:
    """The tokens of a file, none where it does not exist. Blocking. Raises ConfigurationError for one that cannot be used."""
    try:
        descriptor = open_private(path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror or type(error).__name__})") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, "is not a regular file")
        if not on_windows() and (status.st_mode & _OTHERS_WRITE or status.st_uid not in {os.getuid(), 0}):
            raise _unusable(path, "can be changed by other users", next_step=f"Run chmod 600 {path}, and check its tokens")
        # a regular file gives all that is asked of it at once
        content = os.read(descriptor, MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MOST_BYTES:
        raise _unusable(path, f"is larger than {MOST_BYTES:,} bytes")
    try:
        document = tomllib.loads(content.decode("utf-8-sig"), parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"is not valid TOML ({str(error)[:80]})") from None
    unknown = next((name for name in document if name != "tokens"), None)
    rows: Any = document.get("tokens", [])
    if unknown is not None or not is_array(rows):
        raise _unusable(path, "must have [[tokens]] tables only")
    if len(rows) > MOST_TOKENS:
        raise _unusable(path, f"has more than {MOST_TOKENS:,} tokens")
    return _unique(path, [_token(path, number, row) for number, row in enumerate(rows, start=1)])


def add_token(path: Path, make: Callable[[str], GatewayToken]) -> str:
    """Add a token; `make` gives its row for its hash. Returns the token, which is kept nowhere. Blocking.

    Raises ConfigurationError for a name that exists, too many tokens, and a file that cannot be used or written.
    """
    path = path.resolve()
    secret, sha256 = _new_secret()
    token = make(sha256)
    with _changing(path) as tokens:
        if any(one.name == token.name for one in tokens):
            raise ConfigurationError(
                f"The gateway token {token.name!r} already exists",
                next_step=f"Choose another name, or run groq-fallback-mcp gateway token remove {token.name} first",
            )
        if len(tokens) >= MOST_TOKENS:
            raise ConfigurationError(
                f"There are {MOST_TOKENS:,} gateway tokens, the most there can be", next_step="Remove some first"
            )
        _write(path, (*tokens, token))
    return secret


def change_token(path: Path, name: str, changed: Callable[[GatewayToken], GatewayToken]) -> None:
    """Replace a token's row by what `changed` makes of it. Blocking. Raises ConfigurationError as `remove_token`."""
    _replace(path, name, lambda token: (changed(token),))


def rotate_token(path: Path, name: str) -> str:
    """Give a token's name and limits a new secret, which is returned; the former one ends. Blocking. Raises as `change_token`."""
    secret, sha256 = _new_secret()
    change_token(path, name, lambda token: token.model_copy(update={"sha256": sha256}))
    return secret


def remove_token(path: Path, name: str) -> None:
    """Remove a token. Blocking. Raises ConfigurationError where there is no such token, or the file cannot be used or written."""
    _replace(path, name, lambda _: ())


def checked_name(name: str) -> str:
    """A name that a token may have. Raises ConfigurationError for any other."""
    if _NAME.fullmatch(name) is None or name in RESERVED_NAMES:
        reserved = " other than owner" if name in RESERVED_NAMES else ""
        raise ConfigurationError(
            f"Invalid token name {name[:80]!r}", next_step=f"Use 1 to 40 lowercase letters, digits and hyphens{reserved}"
        )
    return name


def token_hash(token: bytes) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token).digest()


def _new_secret() -> tuple[str, str]:
    """A token, and its hash as the file has it."""
    secret = secrets.token_urlsafe(_BYTES)
    register_secrets(secret)
    return secret, token_hash(secret.encode()).hex()


def _token(path: Path, number: int, row: object) -> GatewayToken:
    try:
        return GatewayToken.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise _unusable(path, f"has an invalid token number {number} ({where[:80]}, {first['msg'][:80]})") from None


def _unique(path: Path, tokens: Sequence[GatewayToken]) -> tuple[GatewayToken, ...]:
    names, hashes = {one.name for one in tokens}, {one.sha256 for one in tokens}
    if len(names) < len(tokens) or len(hashes) < len(tokens) or names & set(RESERVED_NAMES):
        raise _unusable(path, "has two tokens of one name or hash, or one with a reserved name")
    return tuple(tokens)


def _by_hash(tokens: Sequence[GatewayToken]) -> Mapping[bytes, GatewayToken]:
    return MappingProxyType({bytes.fromhex(one.sha256): one for one in tokens})


def _look(path: Path) -> _Seen:
    try:
        status = path.stat()
    except OSError:
        return _Seen()
    return _Seen(mtime_ns=status.st_mtime_ns, size=status.st_size, inode=status.st_ino)


@contextmanager
def _changing(path: Path) -> Generator[tuple[GatewayToken, ...]]:
    """The tokens, while no other command changes them."""
    from filelock import FileLock

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep_partials(path.parent)
        with FileLock(f"{path}.lock", timeout=LOCK_S, mode=0o600):
            yield read_tokens(path)
    except TimeoutError:
        raise _unusable(path, "is being changed by another command", next_step="Try again") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _unusable(path, f"cannot be written ({reason})", next_step="Check the permissions and the free space") from None


def _replace(path: Path, name: str, changed: Callable[[GatewayToken], Sequence[GatewayToken]]) -> None:
    path = path.resolve()
    with _changing(path) as tokens:
        if all(one.name != name for one in tokens):
            raise _unknown(name, tokens)
        _write(path, [row for one in tokens for row in (changed(one) if one.name == name else (one,))])


def _write(path: Path, tokens: Sequence[GatewayToken]) -> None:
    blocks = [_HEADER, *("\n[[tokens]]\n" + "".join(_lines(one)) for one in tokens)]
    write_atomically(path, "".join(blocks).encode(), durable=True)


def _lines(token: GatewayToken) -> Generator[str]:
    for name, value in token.model_dump(exclude_defaults=True).items():
        if isinstance(value, bool):
            written = str(value).lower()
        elif isinstance(value, str | list | tuple):
            # what JSON escapes is escaped so in TOML
            written = json.dumps(value)
        else:
            written = f"{value:f}" if isinstance(value, Decimal) else str(value)
        yield f"{name} = {written}\n"


def _unknown(name: str, tokens: Sequence[GatewayToken]) -> ConfigurationError:
    known = ", ".join(one.name for one in tokens[:12])
    return ConfigurationError(
        f"Unknown gateway token {name[:80]!r}",
        next_step=f"Use one of {known}" if known else "Add one with groq-fallback-mcp gateway token add NAME",
    )


def _unusable(
    path: Path, what: str, *, next_step: str = "Fix or remove it, then add tokens with gateway token add"
) -> ConfigurationError:
    return ConfigurationError(f"The gateway's tokens file {path} {what}", next_step=next_step)
