"""One long recording: split, its parts transcribed side by side, joined. What is done is kept until all is."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from groq_fallback_mcp.audio.decoder import split_apart
from groq_fallback_mcp.audio.headers import UNKNOWN, Headers, early_end
from groq_fallback_mcp.audio.parts import PART_S, Part, SplitRecording, TooLongError
from groq_fallback_mcp.audio.pcm import NotDecodableError, OutOfMemoryError
from groq_fallback_mcp.call import Attempt, AudioFile, AudioRequest
from groq_fallback_mcp.durations import format_duration
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import FallbackEngine, Progress, heartbeat
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.run_all import run_all
from groq_fallback_mcp.transcription.job_folder import JobFolder, JobTakenError, job_name
from groq_fallback_mcp.transcription.join_transcripts import join_transcripts
from groq_fallback_mcp.transcription.transcript_answer import TranscriptAnswer

__all__ = ["LOCAL_PART_S", "only_on_this_machine", "transcribe_long"]

_log = logging.getLogger(__name__)

AT_ONCE = 3
# A model on this machine computes one part after the other, and its parts are done sooner.
LOCAL_PART_S = 120.0
# Whoever is free again so soon counts as being there.
SOON_S = 5.0
PROMPT_CHARS = 896
STOPPING_S = 5.0
UNREAD = "The recording is damaged; about {seconds:g} s of it could not be read and are not in the transcript"


@dataclass(slots=True)
class _Run:
    request: AudioRequest
    parts: Sequence[Part]
    folder: JobFolder
    end: float
    done: dict[int, TranscriptAnswer]
    attempts: list[Attempt]
    notes: list[str]
    at_once: int
    fallback: bool = False


async def transcribe_long(
    recording: AudioFile,
    request: AudioRequest,
    *,
    engine: FallbackEngine,
    root: Path,
    deadline_s: float,
    progress: Progress | None = None,
    part_s: float = PART_S,
    headers: Headers = UNKNOWN,
) -> TranscriptAnswer | CallFailed:
    """Transcribe a recording in parts, with the options of `request`; the request's own audio is not looked at.

    `root` is the folder of all jobs, `headers` what is known of the recording. Where a part has no transcript, what the others
    have is kept, and the same call resumes. Raises InputRefused for what is no audio, and where another process has the job.
    """
    clock = engine.clock
    started = clock.monotonic()
    doing = ["splitting the recording"]
    counts = [0.0, 1.0]

    def report() -> tuple[float, float, str]:
        return counts[0], counts[1], doing[0]

    here = await only_on_this_machine(request, engine)
    async with heartbeat(progress, report):
        folder = await _taken(recording, request, root, part_s)
        finished = False
        run: _Run | None = None
        try:
            least_s = min(part_s, LOCAL_PART_S) if here else part_s
            found = await _split(recording, folder, part_s=least_s, headers=headers, deadline_s=deadline_s)
            if found is None:
                return _too_slow(recording, deadline_s)
            parts = found.parts
            saved = await anyio.to_thread.run_sync(lambda: [(part, folder.saved_answer(part)) for part in parts])
            done = {part.number: answer for part, answer in saved if answer is not None}
            resumed = len(done)
            run = _Run(
                request=request,
                parts=parts,
                folder=folder,
                # a short recording is a call like any other, though it was converted first
                end=started + (min(deadline_s, engine.timeouts.deadline_s) if len(parts) == 1 and not here else deadline_s),
                done=done,
                attempts=[],
                notes=_notes(found),
                at_once=1 if here else AT_ONCE,
            )

            def tell() -> None:
                # in seconds of sound, so that a watcher can tell how fast it goes
                whole_s = parts[-1].until_s
                counts[:] = [min(sum(part.until_s - part.start_s for part in parts if part.number in done), whole_s), whole_s]
                doing[0] = f"Transcribed {len(done)} of {len(parts)} parts"

            tell()
            failed = await _send_all(run, engine, tell)
            if failed is not None:
                return failed
            result = _result(run, resumed, clock.monotonic() - started)
            finished = True
        except anyio.get_cancelled_exc_class():
            if run is not None and run.done:
                _log.warning("%d of %d parts are kept; repeat the command to resume", len(run.done), len(run.parts))
            raise
        finally:
            # not cancelled half-way: the lock must be free when this call is over
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(partial(folder.release, finished=finished))
        return result


async def only_on_this_machine(request: AudioRequest, engine: FallbackEngine) -> bool:
    """Whether, as things stand now, only a model on this machine can transcribe a part."""
    here = {provider.name for provider in engine.registry.models() if provider.on_this_machine}
    if not here:
        return False
    candidates = (await engine.plan(request)).candidates
    waits = await engine.waits(candidates)
    able = [
        candidate.provider
        for candidate, wait in zip(candidates, waits, strict=True)
        if engine.registry.providers[candidate.provider].unready is None
        and (wait is None or (wait.wait_s is not None and wait.wait_s <= SOON_S))
    ]
    return bool(able) and here.issuperset(able)


def _notes(recording: SplitRecording) -> list[str]:
    notes = [UNREAD.format(seconds=recording.unread_s)] if recording.unread_s else []
    if recording.ends_early:
        notes.append(early_end(recording.stated_s, recording.parts[-1].until_s))
    return notes


async def _taken(recording: AudioFile, request: AudioRequest, root: Path, part_s: float) -> JobFolder:
    options = (request.model, request.language, request.prompt, request.temperature, request.translate, part_s)
    name = await anyio.to_thread.run_sync(job_name, recording, options)
    try:
        return await anyio.to_thread.run_sync(JobFolder, root, name)
    except JobTakenError:
        raise InputRefused(
            "This recording is already being transcribed by another call", next_step="Wait for it, then repeat the call"
        ) from None
    except OSError as error:
        raise InputRefused(
            f"Parts of the recording cannot be stored in {root}: {error.strerror or error}",
            next_step="Free some space there, or make it writable",
        ) from error


async def _split(
    recording: AudioFile, folder: JobFolder, *, part_s: float, headers: Headers, deadline_s: float
) -> SplitRecording | None:
    """The parts, those of an earlier call if it had split it; None where the deadline came first."""
    saved = await anyio.to_thread.run_sync(folder.saved_parts)
    if saved is not None:
        return saved
    left, over = threading.Event(), threading.Event()

    def work() -> SplitRecording:
        try:
            found = split_apart(
                recording.content,
                recording.media_type,
                folder.path,
                part_s=part_s,
                headers=headers,
                longest_run_s=deadline_s,
                stopped=left.is_set,
            )
            folder.save_parts(found)
            return found
        finally:
            over.set()

    found: SplitRecording | None = None
    try:
        with anyio.move_on_after(deadline_s):
            found = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except OutOfMemoryError as error:
        raise InputRefused(
            f"The recording {recording.name!r} needs more memory to decode than allowed ({error})",
            next_step="Convert it first, e.g. ffmpeg -i FILE -ar 16000 -ac 1 speech.flac",
        ) from error
    except NotDecodableError as error:
        raise InputRefused(
            f"{recording.name!r} cannot be decoded as audio: {error}", next_step="Pass a playable audio file"
        ) from error
    except TooLongError as error:
        raise InputRefused(f"{recording.name!r} is longer than a day", next_step="Split it into shorter files") from error
    except OSError as error:
        raise InputRefused(
            f"Parts of the recording cannot be stored in {folder.path.parent}: {error.strerror or error}",
            next_step="Free some space there, or make it writable",
        ) from error
    finally:
        left.set()
        # the thread reads the caller's file and writes into the folder: neither is let go of under it
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(over.wait, STOPPING_S)
    return found


def _too_slow(recording: AudioFile, deadline_s: float) -> CallFailed:
    return CallFailed(
        code="deadline",
        cause=f"{recording.name!r} could not be decoded within the deadline of {deadline_s:g} s",
        next_step="Split it, or convert it to 16 kHz mono FLAC first",
        retry_after_s=None,
        attempts=(),
        exclusions=(),
    )


async def _send_all(run: _Run, engine: FallbackEngine, tell: Callable[[], None]) -> CallFailed | None:
    """Transcribe the parts that are not done. Why one of them cannot be, then the others are not begun."""
    waiting = [part for part in run.parts if part.number not in run.done]

    async def work(part: Part) -> tuple[Part, CallFailed] | None:
        failure = await _send(run, part, engine)
        tell()
        return None if failure is None else (part, failure)

    _, failed = await run_all(waiting, work, at_once=run.at_once, stops=lambda failed: failed is not None)
    return None if failed is None else _explained(run, *failed)


async def _send(run: _Run, part: Part, engine: FallbackEngine) -> CallFailed | None:
    content = await anyio.to_thread.run_sync(run.folder.spooled, part)
    audio = AudioFile(name=part.file, content=content, media_type="audio/flac", duration_s=part.end_s - part.start_s)
    # the times of words are what parts are joined by
    request = replace(run.request, audio=audio, words=True, prompt=_prompt(run, part))
    outcome = await engine.serve(request, deadline_s=max(run.end - engine.clock.monotonic(), 1.0))
    if isinstance(outcome, CallFailed):
        run.attempts += outcome.attempts
        return outcome
    answer = TranscriptAnswer.from_answer(outcome)
    await anyio.to_thread.run_sync(run.folder.save_answer, part, answer)
    run.done[part.number] = answer
    run.fallback = run.fallback or outcome.fallback
    run.attempts += [attempt for attempt in outcome.attempts if attempt.outcome != "answered"]
    run.notes += [note for note in outcome.notes if note not in run.notes]
    return None


def _prompt(run: _Run, part: Part) -> str | None:
    """The caller's words, and the end of what was said just before, where that is known already."""
    before = run.done.get(part.number - 1)
    said = "" if before is None else " ".join(before.transcript.text.split())
    given = run.request.prompt or ""
    room = PROMPT_CHARS - len(given) - 1
    tail = said[-room:].partition(" ")[2] if len(said) > room > 0 else said if room > 0 else ""
    return f"{given} {tail}".strip() or None


def _result(run: _Run, resumed: int, took_s: float) -> TranscriptAnswer:
    ordered = [(part, run.done[part.number]) for part in run.parts]
    by = Counter((done.provider, done.model) for _, done in ordered)
    (provider, model), _ = by.most_common(1)[0]
    costs = [done.cost_usd for _, done in ordered if done.cost_usd is not None]
    transcript = join_transcripts([(part, done.transcript) for part, done in ordered])
    result = TranscriptAnswer(
        transcript=transcript if run.request.words else replace(transcript, words=()),
        provider=provider,
        model=model,
        simulated=any(done.simulated for _, done in ordered),
        cost_usd=sum(costs, Decimal(0)) if len(costs) == len(ordered) else None,
        silent=sum(done.silent for _, done in ordered),
        requested_model=run.request.model,
        fallback=run.fallback,
        attempts=tuple(run.attempts),
        duration_s=took_s,
        parts=len(ordered),
    )
    shares = ["parts by " + ", ".join(f"{name}/{id_}: {count}" for (name, id_), count in by.items())] if len(by) > 1 else []
    earlier = [f"{resumed} of {len(ordered)} parts were finished by an earlier call and not sent again"] if resumed else []
    return replace(result, notes=[*run.notes, *shares, *result.silence_notes, *earlier])


def _explained(run: _Run, part: Part, failure: CallFailed) -> CallFailed:
    if len(run.parts) == 1:
        return failure
    begins, ends = (format_duration(round(at, 1)) for at in (part.start_s, part.until_s))
    cause = f"part {part.number} of {len(run.parts)} ({begins} to {ends}) could not be transcribed, {failure.cause}"
    kept = f"{len(run.done)} finished parts are kept. Repeat the call to resume"
    return replace(failure, cause=cause, next_step=f"{failure.next_step.rstrip('.')}. {kept}", attempts=tuple(run.attempts))
