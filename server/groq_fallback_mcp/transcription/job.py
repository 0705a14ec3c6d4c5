"""One long recording: split, its parts written down side by side, joined. What is done is kept until all is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from groq_fallback_mcp.audio.decoder import split_apart
from groq_fallback_mcp.audio.headers import UNKNOWN, Headers, early_end
from groq_fallback_mcp.audio.join_transcripts import join_transcripts
from groq_fallback_mcp.audio.parts import PART_S, Part, SplitRecording, TooLong
from groq_fallback_mcp.audio.silence import without_silence
from groq_fallback_mcp.audio.stream import NotDecodable, OutOfMemory
from groq_fallback_mcp.call import Attempt, AudioFile, AudioRequest, Opened, Transcript
from groq_fallback_mcp.durations import format_duration
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import Answer, FallbackEngine, Progress, heartbeat
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.transcription.job_folder import Done, JobFolder, JobTaken, job_name

__all__ = ["LOCAL_PART_S", "LongTranscript", "Unfinished", "only_on_this_machine", "write_down"]

_log = logging.getLogger(__name__)

AT_ONCE = 3
# A model on this machine computes one part after the other, and its parts are done sooner.
LOCAL_PART_S = 120.0
# Whoever is free again so soon counts as being there.
SOON_S = 5.0
PROMPT_CHARS = 896
SHOWN_ATTEMPTS = 20
STOPPING_S = 5.0
UNREAD = "the recording is damaged: about {seconds:g} s of it could not be read and are not in the transcript"


@dataclass(frozen=True, slots=True, kw_only=True)
class LongTranscript:
    """The whole. `resumed`: how many of the parts an earlier run had done. `by` names who wrote how many parts, `silent`
    counts the segments without speech that were left out.
    """

    transcript: Transcript
    provider: str
    model: str
    by: dict[str, int]
    parts: int
    resumed: int
    fallback: bool
    simulated: bool
    cost_usd: Decimal | None
    attempts: Sequence[Attempt]
    notes: Sequence[str]
    duration_s: float
    silent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """Why a part has no transcript. What the others have is kept, and the same call goes on from there."""

    failure: CallFailed


@dataclass(slots=True)
class _Run:
    request: AudioRequest
    parts: Sequence[Part]
    folder: JobFolder
    end: float
    done: dict[int, Done]
    attempts: list[Attempt]
    notes: list[str]
    at_once: int
    fallback: bool = False
    failed: tuple[Part, CallFailed] | None = None


async def write_down(
    source: Opened,
    request: AudioRequest,
    *,
    engine: FallbackEngine,
    root: Path,
    deadline_s: float,
    progress: Progress | None = None,
    part_s: float = PART_S,
    headers: Headers = UNKNOWN,
) -> LongTranscript | Unfinished:
    """Transcribe what `source` holds, of the kind, name and options of `request`, whose own content is not looked at.

    `root` is the folder of all jobs, `headers` what is known of the recording. Raises InputRefused for what is no audio, and
    where another process has the job.
    """
    clock = engine.clock
    started = clock.monotonic()
    doing = ["splitting the recording"]
    counts = [0, 1]

    def report() -> tuple[float, float, str]:
        return counts[0], counts[1], doing[0]

    here = await only_on_this_machine(request, engine)
    async with heartbeat(progress, report):
        folder = await _taken(source, request, root, part_s)
        finished = False
        run: _Run | None = None
        try:
            least_s = min(part_s, LOCAL_PART_S) if here else part_s
            recording = await _split(source, request, folder, part_s=least_s, headers=headers, deadline_s=deadline_s)
            if recording is None:
                return Unfinished(failure=_too_slow(request, deadline_s))
            parts = recording.parts
            found = await anyio.to_thread.run_sync(lambda: [(part, folder.done(part)) for part in parts])
            done = {part.number: kept for part, kept in found if kept is not None}
            resumed = len(done)
            run = _Run(
                request=request,
                parts=parts,
                folder=folder,
                # a short recording is a call like any other, though it was converted first
                end=started + (min(deadline_s, engine.timeouts.deadline_s) if len(parts) == 1 and not here else deadline_s),
                done=done,
                attempts=[],
                notes=_notes(recording),
                at_once=1 if here else AT_ONCE,
            )

            def tell() -> None:
                counts[:] = [len(done), len(parts)]
                doing[0] = f"Transcribed {len(done)} of {len(parts)} parts"

            tell()
            await _send_all(run, engine, tell)
            if run.failed is not None:
                return Unfinished(failure=_explained(run))
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
    """Whether, as things stand now, nobody but a model on this machine can write a part down."""
    here = {offer.provider for offer in engine.registry.offers() if offer.on_this_machine}
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


async def _taken(source: Opened, request: AudioRequest, root: Path, part_s: float) -> JobFolder:
    options = (request.model, request.language, request.prompt, request.temperature, request.translate, part_s)
    name = await anyio.to_thread.run_sync(job_name, source, options)
    try:
        return await anyio.to_thread.run_sync(JobFolder, root, name)
    except JobTaken:
        raise InputRefused(
            "this recording is being written down by another call", next_step="wait for it, then call again"
        ) from None
    except OSError as error:
        raise InputRefused(
            f"parts of the recording cannot be kept in {root}: {error.strerror or error}",
            next_step="make room there, or let it be written to",
        ) from error


async def _split(
    source: Opened, request: AudioRequest, folder: JobFolder, *, part_s: float, headers: Headers, deadline_s: float
) -> SplitRecording | None:
    """The parts, those of an earlier call if it had split it; None where the deadline came first."""
    kept = await anyio.to_thread.run_sync(folder.parts)
    if kept is not None:
        return kept
    audio = request.audio
    assert isinstance(audio, AudioFile)  # noqa: S101 - an address is never split
    left, over = threading.Event(), threading.Event()

    def work() -> SplitRecording:
        try:
            found = split_apart(
                source,
                audio.media_type,
                folder.path,
                part_s=part_s,
                headers=headers,
                longest_run_s=deadline_s,
                stopped=left.is_set,
            )
            folder.keep_parts(found)
            return found
        finally:
            over.set()

    found: SplitRecording | None = None
    try:
        with anyio.move_on_after(deadline_s):
            found = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except OutOfMemory as error:
        raise InputRefused(
            f"The recording {audio.name!r} needs more memory to decode than allowed ({error})",
            next_step="Convert it first: ffmpeg -i FILE -ar 16000 -ac 1 speech.flac",
        ) from error
    except NotDecodable as error:
        raise InputRefused(f"{audio.name!r} cannot be decoded as audio: {error}", next_step="Pass a file that plays") from error
    except TooLong as error:
        raise InputRefused(f"{audio.name!r} is longer than a day", next_step="Split it by hand") from error
    except OSError as error:
        raise InputRefused(
            f"parts of the recording cannot be kept in {folder.path.parent}: {error.strerror or error}",
            next_step="make room there, or let it be written to",
        ) from error
    finally:
        left.set()
        # the thread reads the caller's file and writes into the folder: neither is let go of under it
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(over.wait, STOPPING_S)
    return found


def _too_slow(request: AudioRequest, deadline_s: float) -> CallFailed:
    assert isinstance(request.audio, AudioFile)  # noqa: S101 - an address is never split
    return CallFailed(
        code="deadline",
        cause=f"{request.audio.name!r} could not be decoded within the deadline of {deadline_s:g} s",
        next_step="Split it, or convert it to 16 kHz mono FLAC first",
        retry_after_s=None,
        attempts=(),
        exclusions=(),
    )


async def _send_all(run: _Run, engine: FallbackEngine, tell: Callable[[], None]) -> None:
    waiting = iter([part for part in run.parts if part.number not in run.done])

    async def work() -> None:
        for part in waiting:
            if run.failed is not None:
                return
            await _send(run, part, engine)
            tell()

    async with anyio.create_task_group() as group:
        for _ in range(run.at_once):
            group.start_soon(work)


async def _send(run: _Run, part: Part, engine: FallbackEngine) -> None:
    content = await anyio.to_thread.run_sync(run.folder.spooled, part)
    audio = AudioFile(name=part.file, content=content, media_type="audio/flac", duration_s=part.end_s - part.start_s)
    # the times of words are what parts are joined by
    request = replace(run.request, audio=audio, words=True, prompt=_prompt(run, part))
    outcome = await engine.serve(request, deadline_s=max(run.end - engine.clock.monotonic(), 1.0))
    if isinstance(outcome, CallFailed):
        run.attempts += outcome.attempts
        run.failed = run.failed or (part, outcome)
        return
    done = _done(outcome)
    await anyio.to_thread.run_sync(run.folder.keep, part, done)
    run.done[part.number] = done
    run.fallback = run.fallback or outcome.fallback
    run.attempts += [attempt for attempt in outcome.attempts if attempt.outcome != "answered"]
    run.notes += [note for note in outcome.notes if note not in run.notes]


def _done(answer: Answer) -> Done:
    transcript, silent = without_silence(answer.success.transcript or Transcript(text=""))
    return Done(
        transcript=transcript,
        silent=silent,
        provider=answer.provider,
        model=answer.model,
        simulated=answer.success.simulated,
        cost_usd=None if answer.cost_usd is None else str(answer.cost_usd),
    )


def _prompt(run: _Run, part: Part) -> str | None:
    """The caller's words, and the end of what was said just before, where that is known already."""
    before = run.done.get(part.number - 1)
    said = "" if before is None else " ".join(before.transcript.text.split())
    given = run.request.prompt or ""
    room = PROMPT_CHARS - len(given) - 1
    tail = said[-room:].partition(" ")[2] if len(said) > room > 0 else said if room > 0 else ""
    return f"{given} {tail}".strip() or None


def _result(run: _Run, resumed: int, took_s: float) -> LongTranscript:
    ordered = [(part, run.done[part.number]) for part in run.parts]
    by: dict[tuple[str, str], int] = {}
    for _, done in ordered:
        by[done.provider, done.model] = by.get((done.provider, done.model), 0) + 1
    provider, model = max(by, key=lambda who: by[who])
    costs = [Decimal(done.cost_usd) for _, done in ordered if done.cost_usd is not None]
    transcript = join_transcripts([(part, done.transcript) for part, done in ordered])
    return LongTranscript(
        transcript=transcript if run.request.words else replace(transcript, words=()),
        provider=provider,
        model=model,
        by={f"{name}/{id_}": count for (name, id_), count in by.items()},
        parts=len(ordered),
        resumed=resumed,
        fallback=run.fallback,
        simulated=any(done.simulated for _, done in ordered),
        cost_usd=sum(costs, Decimal(0)) if len(costs) == len(ordered) else None,
        attempts=run.attempts[:SHOWN_ATTEMPTS],
        notes=run.notes,
        duration_s=took_s,
        silent=sum(done.silent for _, done in ordered),
    )


def _explained(run: _Run) -> CallFailed:
    assert run.failed is not None  # noqa: S101 - only asked for then
    part, failure = run.failed
    if len(run.parts) == 1:
        return failure
    begins, ends = (format_duration(round(at, 1)) for at in (part.start_s, part.until_s))
    cause = f"part {part.number} of {len(run.parts)} ({begins} to {ends}) has no transcript: {failure.cause}"
    kept = f"{len(run.done)} finished parts are kept; repeat the call to resume"
    return replace(
        failure, cause=cause, next_step=f"{failure.next_step.rstrip('.')}. {kept}", attempts=run.attempts[:SHOWN_ATTEMPTS]
    )
