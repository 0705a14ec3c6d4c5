"""How much of a result is shown: pure functions from a long one to one that clients pass on whole.

Clients cut a result or spill it beyond some 40 KB, or 2,000 lines of text, each in its own way. A result counts as what goes over
the wire, text and structured content together, since some clients show their model both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["ENVELOPE_BYTES", "RESULT_BYTES", "TEXT_LINES", "ends", "fits", "head", "json_bytes", "shortened"]

RESULT_BYTES = 40_000
# The fields around text and structured content.
ENVELOPE_BYTES = 400
TEXT_LINES = 2_000
_MARK = "…"
# Half of a value that a program will read is worse than none of it.
_WHOLE_OR_NONE = {"answer"}
# Of an error the code and the next step matter most, and are short.
_OPENED = {"error"}


def fits(text: str, structured: Mapping[str, Any]) -> bool:
    """Whether clients pass a result on whole."""
    lines = text.count("\n") + 1
    return lines <= TEXT_LINES and json_bytes(text) + json_bytes(structured) <= RESULT_BYTES - ENVELOPE_BYTES


def json_bytes(value: Any) -> int:  # noqa: ANN401 - any JSON
    """What a value takes on the wire, as UTF-8."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def head(text: str, most_bytes: int, *, most_lines: int | None = None) -> str:
    """The longest beginning of a text that takes so many bytes on the wire, and whole characters only."""
    text = text[: max(most_bytes, 0)]
    if most_lines is not None:
        text = "".join(text.splitlines(keepends=True)[:most_lines])
    least, most = 0, len(text)
    while least < most:
        middle = (least + most + 1) // 2
        if json_bytes(text[:middle]) - 2 <= most_bytes:
            least = middle
        else:
            most = middle - 1
    return text[:least]


def ends(text: str, most_bytes: int) -> tuple[str, str]:
    """The beginning of a text, and the whole lines at its end: the account of a call stands there."""
    first = head(text, most_bytes * 3 // 4, most_lines=TEXT_LINES * 3 // 4)
    room, last = most_bytes // 4, list[str]()
    for line in reversed(text[len(first) :].split("\n")[-TEXT_LINES // 8 :]):
        room -= json_bytes(f"{line}\n") - 2
        if room < 0:
            break
        last.append(line)
    return first, "\n".join(reversed(last))


def shortened(value: Mapping[str, Any], most_bytes: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a result within so many bytes, and what was taken from which.

    The small ones stay whole. Of a long text the head stays, of a list the first rows that fit whole; anything else goes.
    """
    shown: dict[str, Any] = {}
    lacking: dict[str, str] = {}
    sizes = {name: json_bytes(part) for name, part in value.items()}
    room, left = most_bytes - 2, len(value)
    for name in sorted(sizes, key=sizes.__getitem__):
        around = json_bytes(name) + 4
        share = room // left - around
        part, taken = (value[name], None) if sizes[name] <= share else _part(name, value[name], share)
        if taken is not None:
            lacking[name] = taken
        if part is not None or taken is None:
            shown[name] = part
            room -= json_bytes(part) + around
        left -= 1
    return {name: shown[name] for name in value if name in shown}, lacking


def _part(name: str, value: Any, most_bytes: int) -> tuple[Any, str]:  # noqa: ANN401 - any JSON
    """What of a value fits, None where nothing does; and the words for what was taken."""
    if name in _WHOLE_OR_NONE:
        return None, "left out"
    if isinstance(value, str):
        first = head(value, most_bytes - 2 - len(_MARK.encode()))
        return (f"{first}{_MARK}" if first else None), f"{len(first):,} of {len(value):,} characters"
    if isinstance(value, Sequence):
        rows = cast("Sequence[Any]", value)
        fitting = _first_rows(rows, most_bytes)
        return fitting or None, f"{len(fitting):,} of {len(rows):,}"
    if isinstance(value, Mapping) and name in _OPENED:
        fields, lacking = shortened(cast("Mapping[str, Any]", value), most_bytes)
        return fields or None, "; ".join(f"{field}: {taken}" for field, taken in lacking.items())
    return None, "left out"


def _first_rows(rows: Sequence[Any], most_bytes: int) -> list[Any]:
    fitting: list[Any] = []
    room = most_bytes - 2
    for row in rows:
        room -= json_bytes(row) + 2
        if room < 0:
            break
        fitting.append(row)
    return fitting
