"""Images in messages.

Known: image_url.url is an address or base64 data (the SDK's ImageURL), images per model (catalog, from the model pages).
Unverified, from memory of the console's vision page: 4 MB for a request with base64 (413), 20 MB for one with addresses
(400), and the texts. Nothing is fetched, so of an image behind an address the size of its URL alone can count.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from groq_fallback_mcp.catalog import ModelRow
from groq_fallback_mcp.simulator.replies import ApiError
from groq_fallback_mcp.simulator.wire import Messages, items, table

__all__ = ["check_image_size", "image_faults"]

MEGABYTE = 1_048_576
BASE64_MB = 4
URLS_MB = 20
_DATA = re.compile(r"data:image/[\w.+-]+;base64,(?P<data>.*)\Z", re.DOTALL)
_SCHEMES = ("https://", "http://")


def image_faults(model: ModelRow, messages: Messages) -> Iterator[str]:
    """What is wrong with the images of the messages."""
    found = list(_images(messages))
    most = model.capabilities.max_images
    if found and not model.capabilities.vision:
        yield f"messages[{found[0][0]}].content must be a string: images are not supported with this model"
    if most is not None and len(found) > most:
        yield f"Too many images provided. This model supports up to {most} images"
    for index, url in found:
        if url is None:
            yield f"'messages.{index}.content' : property 'image_url.url' is missing"
        elif not url.startswith(_SCHEMES) and not _is_image_data(url):
            yield f"'messages.{index}.content' : invalid base64 url"


def check_image_size(messages: Messages) -> None:
    """Raises ApiError for images that are too large together."""
    urls = [url for _, url in _images(messages) if url is not None]
    inline = sum(len(url) for url in urls if not url.startswith(_SCHEMES))
    if inline > BASE64_MB * MEGABYTE:
        raise ApiError(413, "Request Entity Too Large", code="request_too_large")
    if sum(len(url) for url in urls) > URLS_MB * MEGABYTE:
        raise ApiError(400, f"a request with images must be at most {URLS_MB} MB")


def _images(messages: Messages) -> Iterator[tuple[int, str | None]]:
    """Each image with the index of its message; None where it has no URL."""
    for index, message in enumerate(messages):
        for part in items(message.get("content")):
            if table(part).get("type") == "image_url":
                url = table(table(part).get("image_url")).get("url")
                yield index, url if isinstance(url, str) else None


def _is_image_data(url: str) -> bool:
    found = _DATA.match(url)
    if found is None or not found["data"]:
        return False
    try:
        base64.b64decode(found["data"], validate=True)
    except binascii.Error:
        return False
    return True
