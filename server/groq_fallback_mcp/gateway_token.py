"""The bearer token of the gateway: made once, kept in a file that only its owner can read.

Loopback alone protects nothing: every program and web page of this machine can send to a port of it.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from groq_fallback_mcp.credentials import Exposure, exposure, make_in_file, mode_of, open_private
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.redaction import register_secrets

__all__ = ["TOKEN_FILE", "gateway_token"]

TOKEN_FILE = "gateway-token"  # noqa: S105 - the name of the file
SHORTEST_TOKEN = 16
LONGEST_TOKEN = 4_096
_BYTES = 32
_PRINTABLE = re.compile(r"[!-~]+")


def gateway_token(folder: Path) -> str:
    """The token in `folder`, the user's state folder; it is made where there is none. Blocking.

    However many processes make it at once, all get the same one. Raises ConfigurationError for a file that cannot be used.
    """
    file = folder / TOKEN_FILE
    try:
        token = _read(file)
        if token is None:
            # another process may be faster: then its token stays
            make_in_file(secrets.token_urlsafe(_BYTES), file)
            token = _read(file)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot use the gateway's token file {file} ({error.strerror or type(error).__name__})",
            next_step="Check the permissions and the free space of its folder",
        ) from None
    if token is None:
        raise _refused(file, "was removed meanwhile")
    register_secrets(token)
    return token


def _read(file: Path) -> str | None:
    try:
        descriptor = open_private(file)
    except FileNotFoundError:
        return None
    try:
        match exposure(descriptor):
            case Exposure.NOT_A_FILE:
                raise _refused(file, "is not a regular file")
            case Exposure.OF_ANOTHER_USER:
                raise _refused(file, "belongs to another user")
            case Exposure.TO_OTHERS:
                raise _refused(file, f"is accessible to others (mode {mode_of(descriptor)})")
            case None:
                pass
        content = os.read(descriptor, LONGEST_TOKEN + 1)
    finally:
        os.close(descriptor)
    token = content.decode("ascii", errors="replace").strip()
    if len(token) < SHORTEST_TOKEN:
        raise _refused(file, f"is shorter than {SHORTEST_TOKEN} characters" if token else "is empty")
    if len(content) > LONGEST_TOKEN or _PRINTABLE.fullmatch(token) is None:
        raise _refused(file, "does not contain a token (it is too long, or contains spaces or non-ASCII characters)")
    return token


def _refused(file: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The gateway's token file {file} {what}",
        next_step="Remove it, restart the gateway to make a new token, then run groq-fallback-mcp setup CLIENT --gateway again",
    )
