"""An hour of speech through the tool: splitting, sending, joining. `python -m benchmarks.audio [--minutes 60]`.

Upstream is a fake that hears every word at once, so what is measured is ours. Each figure comes from a process of its own.
Peak memory is the growth of the process's peak over what it held before the call; the stall is the longest time that a
task which wakes every 5 ms was kept waiting.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio

MIB = 1024 * 1024
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measure the floor, PyAV's decoding alone, and the whole."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audio", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the recording is (default 60)")
    # what a process of its own measures
    parser.add_argument("--only", choices=("floor", "whole"), help=argparse.SUPPRESS)
    parser.add_argument("--recording", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only is not None:
        print(json.dumps(_floor(options.recording) if options.only == "floor" else anyio.run(_whole, options.recording)))
        return
    minutes: float = options.minutes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        record(path, minutes)
        floor, whole = measured("floor", path), measured("whole", path)
        print(f"{minutes:g} min, {path.stat().st_size / MIB:.0f} MiB, {os.cpu_count()} cores")
        print(f"PyAV decodes and resamples     {floor['seconds']:6.2f} s  peak {floor['peak_mib']:+6.1f} MiB")
        print(f"decoded, cut, written as FLAC  {whole['split_s']:6.2f} s  {whole['split_s'] / floor['seconds']:.2f} x")
        print(f"transcribe, all of it          {whole['seconds']:6.2f} s  peak {whole['peak_mib']:+6.1f} MiB")
        print(f"longest stall of the event loop {whole['stall_ms']:5.1f} ms; words right: {whole['exact']}")


def measured(mode: str, path: Path) -> dict[str, float]:
    """What a process of its own finds: `floor` or `whole`."""
    command = [sys.executable, "-m", "benchmarks.audio", "--only", mode, "--recording", str(path)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/support'}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def record(path: Path, minutes: float) -> None:
    """Write a recording of known words."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from tone_speech import script, wav

    path.write_bytes(wav(script(minutes * 60.0), minutes * 60.0))


def _peak_mib() -> float:
    """The most this process held since `_begin_peak`, in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _begin_peak() -> float:
    """Forget the peak so far (Linux), and say what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_mib()


def _floor(path: Path) -> dict[str, float]:
    import av

    _warm()
    before, began = _begin_peak(), time.perf_counter()
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                piece.to_ndarray()
    return {"seconds": time.perf_counter() - began, "peak_mib": _peak_mib() - before}


async def _whole(path: Path) -> dict[str, float]:
    from fakes import GROQ_SPEECH_MODELS, World, provider_models
    from tone_speech import script

    from groq_fallback_mcp.audio.parts import split
    from groq_fallback_mcp.call import AudioSegment, AudioWord, Success, Transcript, Usage
    from groq_fallback_mcp.tools.tool import Context
    from groq_fallback_mcp.tools.transcribe import TRANSCRIBE, TranscribeArguments

    _warm()
    seconds = (path.stat().st_size - 44) / 32_000
    known = script(seconds)
    world = World([provider_models("groq", GROQ_SPEECH_MODELS, plan="developer")])
    starts: dict[str, float] = {}

    def hears(call: object) -> Success:
        """The words that stand in this part: its name tells which it is. What is short is sent whole, under its own."""
        world.groq.calls.clear()  # the fake remembers calls with their audio
        audio = call.request.audio  # type: ignore[attr-defined]
        begin = starts.get(audio.name, 0.0)
        end = begin + audio.duration_s
        inside = [word for word in known if word.start >= begin and word.end <= end]
        words = tuple(AudioWord(start=w.start - begin, end=w.end - begin, word=w.word) for w in inside)
        text = " ".join(word.word for word in words)
        segments = (AudioSegment(start=words[0].start, end=words[-1].end, text=text),) if words else ()
        transcript = Transcript(text=text, segments=segments, words=words)
        return Success(model="m", transcript=transcript, usage=Usage(audio_s=audio.duration_s))

    with tempfile.TemporaryDirectory() as folder, path.open("rb") as file:
        began = time.perf_counter()
        for part in split(file, "audio/wav", Path(folder), stopped=lambda: False).parts:
            starts[part.file] = part.start_s
        split_s = time.perf_counter() - began
    world.groq.reply = hears
    stalls: list[float] = []

    async def watch() -> None:
        while True:
            asked = time.perf_counter()
            await anyio.sleep(0.005)
            stalls.append(time.perf_counter() - asked - 0.005)

    with tempfile.TemporaryDirectory() as state:
        context = Context(engine=world.engine, folders=(path.parent,), state=Path(state))
        before, began = _begin_peak(), time.perf_counter()
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            reply = await TRANSCRIBE.handle(TranscribeArguments(file=path.name, save_to="out.txt", overwrite=True), context)
            group.cancel_scope.cancel()
        took = time.perf_counter() - began
    exact = (path.parent / "out.txt").read_text().split() == [word.word for word in known]
    assert not reply.is_error, reply.text
    return {
        "seconds": took,
        "split_s": split_s,
        "peak_mib": _peak_mib() - before,
        "stall_ms": max(stalls) * 1000,
        "exact": float(exact),
    }


def _warm() -> None:
    """What is loaded once is no growth of a call."""
    import av  # noqa: F401 - each process measures one thing
    import numpy as np  # noqa: F401


if __name__ == "__main__":
    main()
