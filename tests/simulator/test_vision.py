"""Images in messages."""

from __future__ import annotations

import pytest
from simulator.rig import Rig, message

pytestmark = pytest.mark.anyio
SEES = "qwen/qwen3.8-27b"
PIXEL = "data:image/png;base64,AAAA"
LINK = "https://example.com/a.png"


def _asking(*urls: object) -> list[dict[str, object]]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "what is this"}, *parts]}]


@pytest.mark.parametrize("urls", [(PIXEL,), (LINK,), (PIXEL, LINK, PIXEL)])
async def test_a_model_that_sees_takes_images_as_data_and_as_links(urls: tuple[str, ...], rig: Rig) -> None:
    """As many as it may; the answer quotes the text alone."""
    body = (await rig.chat(model=SEES, messages=_asking(*urls))).json()
    assert body["choices"][0]["message"]["content"] == "This is a simulated answer to: what is this"
    assert 1_000 * len(urls) < body["usage"]["prompt_tokens"] < 1_000 * len(urls) + 50


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ((PIXEL,) * 4, "Too many images provided. This model supports up to 3 images"),
        (("data:image/png;base64,A",), "'messages.0.content' : invalid base64 url"),
        (("data:image/png;base64,",), "'messages.0.content' : invalid base64 url"),
        (("data:text/plain;base64,AAAA",), "'messages.0.content' : invalid base64 url"),
        (("ftp://example.com/a.png",), "'messages.0.content' : invalid base64 url"),
        ((None,), "'messages.0.content' : property 'image_url.url' is missing"),
    ],
)
async def test_images_that_cannot_be_are_a_400(urls: tuple[object, ...], words: str, rig: Rig) -> None:
    """Too many, or none at all."""
    reply = await rig.chat(model=SEES, messages=_asking(*urls))
    assert (reply.status_code, message(reply)) == (400, words)


@pytest.mark.parametrize(("megabytes", "status"), [(3, 200), (5, 413)])
async def test_images_in_the_request_are_four_megabytes_at_most(megabytes: int, status: int, rig: Rig) -> None:
    """As base64."""
    reply = await rig.chat(model=SEES, messages=_asking("data:image/png;base64," + "A" * megabytes * 1_048_576))
    assert reply.status_code == status
    if status == 413:
        assert reply.json()["error"]["code"] == "request_too_large"


async def test_links_are_twenty_megabytes_at_most(rig: Rig) -> None:
    """Nothing is fetched, so the links alone can be too large."""
    reply = await rig.chat(model=SEES, messages=_asking(LINK + "?" * 20 * 1_048_576))
    assert (reply.status_code, message(reply)) == (400, "a request with images must be at most 20 MB")
