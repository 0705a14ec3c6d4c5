"""What an open recording is: how long it lasts, whether it can be played, whether it is sent as it is or only its sound."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from groq_fallback_mcp.audio.decoder import measure_s
from groq_fallback_mcp.audio.file import INSTALL, OpenAudio
from groq_fallback_mcp.audio.headers import Headers
from groq_fallback_mcp.audio.kind import AudioKind
from groq_fallback_mcp.audio.stream import Abandoned, NotDecodable, OutOfMemory, can_decode
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.render import path_excerpt

__all__ = ["Probed", "probe"]

CONVERT = "ffmpeg -i FILE -ar 16000 -ac 1 speech.flac"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What is known of a recording. `sendable`: it is sent as it is; else it is decoded, so that nothing but its sound leaves."""

    headers: Headers
    sendable: bool


def probe(opened: OpenAudio, *, longest_s: float, longest_run_s: float, stopped: Callable[[], bool]) -> Probed:
    """What is known of the recording without decoding it; what goes on after `longest_s` is not counted. Blocking.

    Measuring takes at most `longest_run_s`; then the length stays unknown.
    Raises InputRefused where nothing of it can be played or where it is not only a recording and cannot be converted, and
    Abandoned once `stopped()`.
    """
    headers = opened.headers()
    if not headers.has_sound:
        raise InputRefused(f"{path_excerpt(opened.path)} has no audio track, only pictures", next_step="Pass a file with sound")
    if headers.without_index:
        raise InputRefused(
            f"{path_excerpt(opened.path)} ends early. Its index, which is written last, is missing, and without it nothing can "
            "be played",
            next_step="Copy or download the file again",
        )
    found = opened.extent()
    if found is None:
        return Probed(headers=headers, sendable=False)
    behind_other_bytes = opened.start > 0 and opened.kind in {AudioKind.MP3, AudioKind.MPGA}
    if found.text or (behind_other_bytes and found.stray and not found.mostly_media):
        raise opened.unsupported()
    if not can_decode():
        if not found.whole:
            raise _not_whole(opened)
        return Probed(headers=headers, sendable=True)
    sendable = found.whole and not found.pictures and opened.kind not in _CONVERTED
    if sendable and headers.duration_s is not None and not headers.cut:
        return Probed(headers=headers, sendable=True)
    measured = _measured(opened, longest_s=longest_s, longest_run_s=longest_run_s, stopped=stopped)
    if measured is None and not sendable:
        raise InputRefused(
            f"{path_excerpt(opened.path)} is damaged or is not only a recording, and no sound was found in it within "
            f"{longest_run_s:g} s",
            next_step=f"Convert it first: {CONVERT}",
        )
    return Probed(headers=replace(headers, duration_s=measured) if measured else headers, sendable=sendable)


# Groq names their extensions and does not say which of the several formats of that name it means.
_CONVERTED = {AudioKind.MPEG, AudioKind.MPGA}


def _measured(opened: OpenAudio, *, longest_s: float, longest_run_s: float, stopped: Callable[[], bool]) -> float | None:
    """Seconds by the packets, 0 where they have no times; None where the decoder came to no end. Raises as `probe`."""
    end = time.monotonic() + longest_run_s
    try:
        return measure_s(
            opened.recording,
            opened.kind.media_type,
            longest_s=longest_s,
            longest_run_s=longest_run_s,
            stopped=lambda: stopped() or time.monotonic() > end,
        )
    except OutOfMemory:
        return None
    except NotDecodable as error:
        raise InputRefused(
            f"{path_excerpt(opened.path)} cannot be decoded as audio: {error}", next_step="Pass a file that plays"
        ) from error
    except Abandoned:
        if stopped():
            raise
        return None


def _not_whole(opened: OpenAudio) -> InputRefused:
    return InputRefused(
        f"{path_excerpt(opened.path)} is damaged or is not only a recording, and was not sent",
        next_step=f"Install what sends only its sound: {INSTALL}; or convert it: {CONVERT}",
    )
