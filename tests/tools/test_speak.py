"""speak: pieces of one voice joined to a file that is whole or not there."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import pytest
from fakes import VOICES, Sent, World, failure, provider_models
from servers import connected, text_of

from groq_fallback_mcp.call import Failure, FailureKind, SpeechRequest, Success, Usage
from groq_fallback_mcp.tools import ALL_TOOLS
from groq_fallback_mcp.tools.speak import WavError, join_wav

pytestmark = pytest.mark.anyio
ENGLISH, ARABIC = VOICES


def wav(frames: int, *, rate: int = 24_000, value: int = 1) -> bytes:
    """A WAV file of one value."""
    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(value.to_bytes(2, "little") * frames)
    return target.getvalue()


def speaking(*providers: str) -> World:
    """Providers with voices; each piece is as many frames as it has characters."""
    world = World([provider_models(name, VOICES) for name in providers])

    def reply(call: Sent) -> Success:
        assert isinstance(call.request, SpeechRequest)
        text = call.request.text
        return Success(model="m", speech=wav(len(text), value=int(text[0], 36)), usage=Usage(characters=len(text)))

    for provider in world.providers.values():
        provider.reply = reply
    return world


async def spoken(world: World, folder: Path, **arguments: object) -> tuple[str, dict[str, Any]]:
    """Text and structured content of speak."""
    async with connected(world, folders=(folder,), tools=ALL_TOOLS) as client:
        result = await client.call_tool("speak", {"save_to": "out.wav", **arguments})
    return text_of(result), dict(result.structured_content or {})


async def test_a_long_text_is_spoken_in_pieces_and_joined_in_order(tmp_path: Path) -> None:
    """Each piece fits, no character is lost, and the file is private."""
    world = speaking("groq")
    text = " ".join(f"{n} sentence number {n} of a text that is much longer than one piece." for n in range(1, 10))
    _, found = await spoken(world, tmp_path, text=text, voice="troy")
    pieces = [call.request.text for call in world.groq.calls if isinstance(call.request, SpeechRequest)]
    assert max(map(len, pieces)) <= 200
    assert " ".join(sorted(pieces)) == text
    assert {call.voice for call in world.groq.calls if isinstance(call.request, SpeechRequest)} == {"troy"}
    with wave.open(str(tmp_path / "out.wav")) as audio:
        firsts = audio.readframes(audio.getnframes())
    order = [firsts[at] for at in range(0, len(firsts), 2) if firsts[at]]
    assert order == sorted(order)
    assert (found["pieces"], found["voice"], found["model"]) == (len(pieces), "troy", ENGLISH)
    assert found["cost_usd"] == f"{len(''.join(pieces)) * 22 / 1_000_000:.6f}"
    assert (tmp_path / "out.wav").stat().st_mode & 0o777 == 0o600


async def test_one_voice_speaks_all_of_a_text(tmp_path: Path) -> None:
    """Where it fails in the middle, the next provider begins anew."""
    world = speaking("groq", "mine")
    world.groq.script(ENGLISH, Success(model="m", speech=wav(5)), failure(FailureKind.ORGANIZATION_REFUSED, status=403))
    _, found = await spoken(world, tmp_path, text="One thing. " * 60)
    assert found["provider"] == "mine"
    texts = [call.request.text for call in world.providers["mine"].calls if isinstance(call.request, SpeechRequest)]
    assert len(texts) == found["pieces"]


async def test_arabic_has_voices_of_its_own(tmp_path: Path) -> None:
    """By language."""
    world = speaking("groq")
    _, found = await spoken(world, tmp_path, text="1 مرحبا", language="ar")
    assert (found["model"], found["voice"]) == (ARABIC, "abdullah")
    assert "noura" in found["voices"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": "hi", "save_to": "out.mp3"}, "ends in .wav"),
        ({"text": "hi", "save_to": "../out.wav"}, "outside the allowed folders"),
        ({"text": "hi", "save_to": "there.wav"}, "already exists"),
        ({"text": "hi", "save_to": "link.wav", "overwrite": True}, "already exists"),
        ({"text": "hi", "save_to": "nowhere/out.wav"}, "The directory of 'nowhere/out.wav' does not exist"),
        ({"text": "hi", "save_to": ".hidden.wav"}, "cannot be written"),
        ({"text": "   "}, "nothing to say"),
        ({"text": "hi", "voice": "nobody"}, "it has no voice 'nobody'"),
        ({"text": "hi", "local_only": True}, "this call may not leave"),
    ],
)
async def test_what_cannot_be_written_or_spoken_is_refused_before_anything_is_sent(
    tmp_path: Path, arguments: dict[str, object], words: str
) -> None:
    """And the reason is told."""
    (tmp_path / "there.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to(tmp_path / "elsewhere.wav")
    world = speaking("groq")
    text, _ = await spoken(world, tmp_path, **arguments)
    assert words in text
    assert world.groq.calls == []
    assert (tmp_path / "there.wav").read_bytes() == b"old"


async def test_only_a_result_of_this_server_is_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    """And nothing is left beside it."""
    await spoken(speaking("groq"), tmp_path, text="hi")
    _, found = await spoken(speaking("groq"), tmp_path, text="hi again, and longer", overwrite=True)
    assert (tmp_path / "out.wav").stat().st_size == found["bytes"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]
    (tmp_path / "out.wav").write_bytes(b"changed by its owner")
    text, _ = await spoken(speaking("groq"), tmp_path, text="hi", overwrite=True)
    assert "was not written by this server, or was changed since" in text
    assert (tmp_path / "out.wav").read_bytes() == b"changed by its owner"


async def test_nothing_is_written_where_nobody_speaks(tmp_path: Path) -> None:
    """The one error at the end."""
    world = speaking("groq")
    world.groq.default = Failure(kind=FailureKind.BAD_REQUEST, message="no", status=400)
    world.groq.reply = None
    text, _ = await spoken(world, tmp_path, text="hi")
    assert text.startswith("bad_request")
    assert not list(tmp_path.iterdir())


def test_pieces_of_different_form_are_not_joined() -> None:
    """They would play at a wrong speed."""
    with pytest.raises(WavError, match="piece 2 has a different format"):
        join_wav([wav(3), wav(3, rate=16_000)], pause_s=0.1)
    with pytest.raises(WavError, match="piece 1 cannot be read"):
        join_wav([b"RIFF0000WAVE"], pause_s=0.1)
    with pytest.raises(WavError, match="no piece"):
        join_wav([], pause_s=0.1)


def test_joined_speech_holds_all_of_it_and_the_pauses() -> None:
    """Also where a stream states more frames than it has."""
    streamed = bytearray(wav(240))
    streamed[40:44] = (0xFFFF_FFF0).to_bytes(4, "little")
    content, seconds = join_wav([bytes(streamed), wav(240)], pause_s=0.01)
    with wave.open(io.BytesIO(content)) as audio:
        assert audio.getnframes() == 240 + 240 + 240
    assert seconds == pytest.approx(0.03)
