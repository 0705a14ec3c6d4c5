"""Images of a question: files below the folders that may be read, sent as data, data URLs, and https addresses that Groq fetches.

What an image is tells its content, not its name.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread

from groq_fallback_mcp.audio.link import check_link
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import not_there, open_allowed, path_of_file_url
from groq_fallback_mcp.render import excerpt

__all__ = ["LARGEST_BYTES", "image_parts"]

# Groq's documentation of vision: at most 4 MB for a request with an image in base64, which is a third longer.
LARGEST_BYTES = 3 * 1024 * 1024
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
LONGEST_SCHEME = 32
# Line breaks and blanks that a data URL was wrapped with.
_IGNORED = {ord(char): None for char in " \t\r\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that was read."""

    media_type: str
    content: bytes = field(repr=False)


async def image_parts(sources: Sequence[str], folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The parts of a message. Raises InputRefused for what is no image, too large, or outside the folders."""
    return [{"type": "image_url", "image_url": {"url": await _url(source, folders)}} for source in sources]


async def _url(source: str, folders: Sequence[Path]) -> str:
    if source[:5].lower() == "data:":
        image = read_data_url(source)
    elif "://" in source[:LONGEST_SCHEME] and source[:5].lower() != "file:":
        return check_link(source).url
    else:
        try:
            path = path_of_file_url(source) if source[:5].lower() == "file:" else source
        except ValueError as error:
            raise InputRefused(str(error), next_step="Give a path, or an https or data URL") from None
        image = await anyio.to_thread.run_sync(lambda: read_image(path, allowed=folders))
    return f"data:{image.media_type};base64,{base64.b64encode(image.content).decode('ascii')}"


def read_image(path: str, *, allowed: Sequence[Path]) -> Image:
    """Read one image. Blocking: call it in a thread. Raises InputRefused: not there, no image, or too large."""
    descriptor = open_allowed(path, allowed=allowed)
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise not_there(path, allowed) from error
    return _checked(content, path)


def read_data_url(url: str) -> Image:
    """The image in a `data:` address, which holds it in base64. Raises InputRefused: not base64, no image, or too large."""
    if len(url) > LARGEST_BYTES * 4 // 3 + 1024:
        raise _too_large(url)
    head, comma, encoded = url.partition(",")
    content = None
    if comma and head.lower().endswith(";base64"):
        with suppress(ValueError):
            content = base64.b64decode(encoded.translate(_IGNORED), validate=True)
    if content is None:
        raise InputRefused(
            f"{excerpt(url)} is not a data URL with an image in base64",
            next_step="Give data:image/png;base64,... or the path of the image",
        )
    return _checked(content, url)


def _checked(content: bytes, source: str) -> Image:
    media_type = next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        media_type = "image/webp"
    if media_type is None:
        raise InputRefused(f"{excerpt(source)} is not a PNG, JPEG, GIF or WebP image", next_step="Convert it to one of these")
    if len(content) > LARGEST_BYTES:
        raise _too_large(source)
    return Image(media_type=media_type, content=content)


def _too_large(source: str) -> InputRefused:
    return InputRefused(
        f"{excerpt(source)} has more than {LARGEST_BYTES:,} bytes, the largest image that can be sent",
        next_step="Scale it down, or pass an https URL",
    )
