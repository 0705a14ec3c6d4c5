"""Images of a question: files below the folders that may be read, sent as data, data URLs, and https addresses that Groq fetches."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread

from groq_fallback_mcp.audio.link import check_link
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import path_of_file_url
from groq_fallback_mcp.images import read_data_url, read_image

__all__ = ["image_parts"]

LONGEST_SCHEME = 32


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
