"""Recordings made to take all memory or all time, over real stdio: what the server and its decoder take together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from corpus.make_recordings import make
from effort import EFFORT
from fakes import GROQ_SPEECH_MODELS, World, provider_models
from server_process import ServerProcess, running
from servers import connected
from simulated import simulated_groq

from groq_fallback_mcp.simulator import Transcribed

pytestmark = [pytest.mark.torture]

MOST_MIB = 100e6 / 2**20
HOURS = 4 if EFFORT == 1 else 24
# name: how to make it, and what is said of it; nothing listens where it would be sent to
BOMBS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "wav at 1 Hz": ({"bytes": "wav_header", "with": {"rate": 1, "bits": 8, "size": 4_000}}, "sample rate is 1 Hz"),
    "wav at 8 Hz": ({"bytes": "wav_header", "with": {"rate": 8, "bits": 8, "size": 300_000}}, "sample rate is 8 Hz"),
    "wav of 255 channels": (
        {"bytes": "wav_header", "with": {"rate": 9, "channels": 255, "bits": 8, "size": 8_000_000}},
        "cannot be decoded",
    ),
    "wav of blocks of 65,535": (
        {"bytes": "wav_header", "with": {"rate": 1_000, "block_align": 65_535, "size": 8_000_000}},
        "",
    ),
    "wav at 4 GHz": (
        {"bytes": "wav_header", "with": {"rate": 0xFFFF_FFFF, "bits": 8, "size": 27_000_000}},
        "cannot be decoded",
    ),
    "m4a, 60 M sizes": ({"bytes": "m4a_index", "with": {"box": "stsz", "count": 60_000_000}}, ""),
    "m4a, 60 M times": ({"bytes": "m4a_index", "with": {"box": "stts", "count": 60_000_000}}, ""),
    "m4a, 60 M samples a chunk": ({"bytes": "m4a_index", "with": {"box": "stsc", "count": 60_000_000}}, ""),
    "m4a, 60 M chunks": ({"bytes": "m4a_index", "with": {"box": "stco", "count": 60_000_000}}, ""),
    "mkv, zlib 1000:1": ({"bytes": "mkv_zlib", "with": {"seconds": 10_000}}, ""),
    "mkv, a block of 1 GB": ({"bytes": "mkv_block_size", "with": {"size": 1_000_000_000}}, "cannot be decoded"),
    "mkv, 500,000 cues": ({"bytes": "mkv_cues", "with": {"count": 500_000}}, ""),
    "ogg, a comment of 60 MB": ({"bytes": "ogg_comment", "with": {"size": 60_000_000}}, "more memory to decode than allowed"),
    "flac at 8 Hz": ({"bytes": "flac_rate", "with": {"rate": 8, "seconds_of_16k": 60}}, ""),
    "mp3, cover art of 60 MB": ({"bytes": "id3_tag", "with": {"size": 60_000_000}}, ""),
    "aiff at 1 Hz": ({"bytes": "aiff_rate", "with": {"rate": 1, "size": 4_000}}, "sample rate is 1 Hz"),
    "caf at 1 Hz": ({"bytes": "caf_rate", "with": {"rate": 1.0, "size": 8_000}}, "sample rate is 1 Hz"),
    # a day of it in `make nightly`: what is held is the same from the second part on
    f"{HOURS} h of silence as flac": ({"bytes": "flac_silence", "with": {"seconds": HOURS * 3_600 - 400}}, ""),
}
# Longer to make than to refuse.
SLOW = {"ogg, a comment of 60 MB", f"{HOURS} h of silence as flac", "wav of blocks of 65,535", "mkv, zlib 1000:1"}
SLOW_S = 5.0


@pytest.mark.fault("A6")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.nightly) if name in SLOW else name for name in BOMBS])
def test_a_recording_that_asks_for_all_memory_gets_less_than_100_mb(tmp_path: Path, name: str) -> None:
    """In the server and all processes it starts; and the server goes on."""
    recipe, said = BOMBS[name]
    (tmp_path / "bomb").write_bytes(make(recipe))
    with running(tmp_path) as server:
        server.ask("list_models")
        with watched(server) as taken:
            result = server.ask_within(200, "transcribe", file="bomb")
        text = result["content"][0]["text"]
        print(f"A6, {name}: {taken['most'] - taken['before']:.0f} MiB ({text.splitlines()[0][:90]})")
        assert result["isError"]
        assert said in text
        assert taken["most"] - taken["before"] < MOST_MIB
        assert server.ping() < 1


@pytest.mark.fault("B6")
@pytest.mark.parametrize(
    "recipe",
    [
        {"bytes": "webm_empty_elements", "with": {"count": 12_000_000}},
        {"bytes": "mp4_empty_boxes", "with": {"count": 3_000_000}},
        {"bytes": "literal", "with": {"text": "RIFF0000WAVE" + "LIST\0\0\0\0" * 1_000_000}},
        {"bytes": "literal", "with": {"hexed": "fffb", "repeat": 12_000_000}},
        {"bytes": "literal", "with": {"hexed": "4944330400000000007f", "repeat": 2_000_000}},
    ],
    ids=["webm", "mp4", "wav", "mp3", "id3"],
)
def test_headers_without_end_are_looked_at_for_less_than_the_deadline(tmp_path: Path, recipe: Mapping[str, Any]) -> None:
    """A ping is answered meanwhile."""
    (tmp_path / "endless").write_bytes(make(recipe))
    with running(tmp_path, environment={"GROQ_FALLBACK_DEADLINE_S": "5"}) as server:
        started = time.monotonic()
        server.call(1, "transcribe", file="endless")
        assert server.ping() < 1
        server.wait(1)
        took_s = time.monotonic() - started
    print(f"B6: {took_s:.2f} s")
    assert took_s < SLOW_S + 1


class Clock:
    """Hears nothing but how long it takes."""

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        """From the head of a FLAC file."""
        fields = int.from_bytes(content[18:26])
        return Transcribed(text="heard", duration_s=(fields & 0xF_FFFF_FFFF) / (fields >> 44))


@pytest.mark.fault("B22")
@pytest.mark.nightly
@pytest.mark.anyio
async def test_hours_of_a_browsers_recording_without_a_stated_length_are_split(tmp_path: Path) -> None:
    """It is small enough for one request, and far too long. One hour, three of them by night."""
    hours = min(EFFORT, 3)
    content = make({"bytes": "webm_live", "with": {"seconds": 60, "repeat": 60 * hours, "bit_rate": 12_000}})
    assert len(content) < 25 * 2**20
    (tmp_path / "meeting.webm").write_bytes(content)
    world = World([provider_models("groq", GROQ_SPEECH_MODELS, plan="developer")])
    app = simulated_groq(world, speech=Clock())
    started = time.monotonic()
    async with connected(world, folders=(tmp_path,), state=tmp_path / "state") as client:
        result = await client.call_tool("transcribe", {"file": "meeting.webm"})
    found = dict(result.structured_content or {})
    print(f"B22: {found['parts']} parts in {time.monotonic() - started:.1f} s")
    assert not result.is_error
    assert found["parts"] >= hours * 12
    assert abs(found["audio_s"] - hours * 3_600) < 5
    assert sum(counts.get("200", 0) for counts in app.state.world.calls.values()) == found["parts"]


@contextmanager
def watched(server: ServerProcess) -> Iterator[dict[str, float]]:
    """The most that the server and its children hold at once while the block runs, in MiB."""
    before = server.resident_mib()
    found = {"before": before, "most": before}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.003):
            found["most"] = max(found["most"], server.resident_mib() + sum(map(resident_mib, children(server.pid))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
    found["most"] = max(found["most"], server.peak_mib())


def children(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text(encoding="ascii").split():
                found += [int(child), *children(int(child))]
        except OSError:
            continue
    return found


def resident_mib(pid: int) -> float:
    """What a process holds now, 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)
