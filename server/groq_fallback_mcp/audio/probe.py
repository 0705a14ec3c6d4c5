"""How long an open recording lasts and whether it can be played: from its headers, else by its packets in a decoder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from groq_fallback_mcp.audio.decoder import measure_s
from groq_fallback_mcp.audio.file import OpenAudio
from groq_fallback_mcp.audio.headers import Headers
from groq_fallback_mcp.audio.kind import Convertible
from groq_fallback_mcp.audio.stream import Abandoned, NotDecodable, can_decode
from groq_fallback_mcp.errors import InputRefused

__all__ = ["probe"]


def probe(opened: OpenAudio, *, longest_s: float, longest_run_s: float, stopped: Callable[[], bool]) -> Headers:
    """What is known of the recording without decoding it; what goes on after `longest_s` is not counted. Blocking.

    Measuring takes at most `longest_run_s`; then the length stays unknown.
    Raises InputRefused where nothing of it can be played, and Abandoned once `stopped()`.
    """
    headers = opened.headers()
    if not headers.has_sound:
        raise InputRefused(f"{opened.path!r} has no audio track, only pictures", next_step="Pass a file with sound")
    if headers.without_index:
        raise InputRefused(
            f"{opened.path!r} ends early: its index, which is written last, is missing, and without it nothing can be played",
            next_step="Copy or download the file again",
        )
    known = headers.duration_s is not None and not headers.cut
    if known or not can_decode() or isinstance(opened.kind, Convertible):
        return headers
    end = time.monotonic() + longest_run_s
    try:
        measured = measure_s(
            opened.recording,
            opened.kind.media_type,
            longest_s=longest_s,
            longest_run_s=longest_run_s,
            stopped=lambda: stopped() or time.monotonic() > end,
        )
    except NotDecodable:
        # whether it is audio after all is for whoever decodes it to say
        return headers
    except Abandoned:
        if stopped():
            raise
        return headers
    return replace(headers, duration_s=measured) if measured > 0 else headers
