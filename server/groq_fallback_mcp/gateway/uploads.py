"""A form with a file too large for memory, read piece by piece within bounds.

The file is in the system's folder for temporary files and has no name there: nobody else can open it, and nothing of it is
left when it is closed or the process ends.
"""

from __future__ import annotations

import anyio
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from groq_fallback_mcp.gateway.refusals import Refusal, invalid
from groq_fallback_mcp.render import excerpt, sentence

__all__ = ["read_form", "too_large_upload"]

# As for other bodies, longer for a large one: so many seconds, and as long as it takes at the slowest pace allowed.
BODY_S = 60.0
LEAST_BYTES_PER_S = 64 * 1024
PROGRESS_S = 10.0
MOST_FIELDS = 64
FIELD_BYTES = 64 * 1024
# Of fields and of what stands between them and the file.
FORM_BYTES = 1024 * 1024
_TYPES = {"multipart/form-data", "application/x-www-form-urlencoded"}


async def read_form(request: Request, *, file_bytes: int) -> FormData | Refusal:
    """The form with at most one file of at most about `file_bytes`; to be closed by the caller.

    Raises starlette's ClientDisconnect. After a refusal the rest of the body is left to the server, which throws it away: most
    clients read an answer only when they have sent all, and would see a connection that is closed before as broken.
    """
    stated = request.headers.get("content-type", "")
    if stated.partition(";")[0].strip().lower() not in _TYPES:
        message = f"The content type is {excerpt(stated)}. Send the recording as multipart/form-data"
        return invalid(message)
    body = _Body(request, most_bytes=file_bytes + FORM_BYTES)
    try:
        body.check(int(length) if (length := request.headers.get("content-length", "")).isdecimal() else 0)
        bounded = Request(request.scope, body.receive)
        return await bounded.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES)
    except _TooLargeError:
        return too_large_upload(file_bytes)
    except _StoppedError:
        message = "Timed out waiting for the request body. Send the request again"
        return Refusal(status=408, type="timeout_error", code="body_timeout", message=message, headers={"connection": "close"})
    except HTTPException as error:
        message = f"Invalid form. {sentence(error.detail)} Send one file and at most {MOST_FIELDS} fields"
        return invalid(message)
    except OSError as error:
        message = f"The upload cannot be stored ({error.strerror or error}). Free some space, or set TMPDIR for the gateway"
        return Refusal(status=500, type="api_error", code="storage_failed", message=message)


def too_large_upload(file_bytes: int) -> Refusal:
    """That a recording is larger than can be transcribed here."""
    message = f"The recording is larger than {file_bytes:,} bytes. Split or compress it, or send its https address as url"
    return Refusal(status=413, code="file_too_large", param="file", message=message)


class _TooLargeError(Exception):
    pass


class _StoppedError(Exception):
    pass


class _Body:
    """What a client sends, as long as it is not too much and keeps coming."""

    def __init__(self, request: Request, *, most_bytes: int) -> None:
        self._receive = request.receive
        self._most_bytes = most_bytes
        self._received = 0
        self._started = anyio.current_time()

    def check(self, size: int) -> None:
        """Raises _TooLargeError for a body of more bytes than allowed."""
        if size > self._most_bytes:
            raise _TooLargeError

    async def receive(self) -> Message:
        """The next piece. Raises _TooLargeError or _StoppedError."""
        left_s = BODY_S + self._received / LEAST_BYTES_PER_S - (anyio.current_time() - self._started)
        with anyio.move_on_after(min(PROGRESS_S, left_s)):
            message = await self._receive()
            self._received += len(message.get("body", b""))
            self.check(self._received)
            return message
        raise _StoppedError
