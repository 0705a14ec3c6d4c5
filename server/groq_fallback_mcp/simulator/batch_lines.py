"""The lines of a batch's input, and what is wrong with them.

Fields of a line (custom_id, method, url, body): the console's batch page as the task gives it; 50,000 lines too. The errors'
shape is the SDK's BatchCreateResponse.Errors. Unverified: their codes and texts, and that they are found when the batch is
validated, as its status `failed` and its `errors[].line` suggest, and not at the upload.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from groq_fallback_mcp.simulator.wire import Payload, table

__all__ = ["line_errors", "read_lines"]

MOST_LINES = 50_000
MOST_ERRORS = 100


def read_lines(content: bytes) -> list[Payload]:
    """Each line that is not blank; an empty table for one that is no JSON object."""
    return [_read(line) for line in content.splitlines() if line.strip()]


def line_errors(lines: list[Payload], endpoint: str) -> list[dict[str, Any]]:
    """What stops the batch, the first hundred of it; nothing where it can begin."""
    if not lines:
        return [_error(None, "empty_file", "The input file has no lines.")]
    if len(lines) > MOST_LINES:
        return [_error(None, "too_many_requests", f"The input file has more than {MOST_LINES} lines.")]
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        found += list(_of_a_line(number, line, endpoint, seen))
        if isinstance(line.get("custom_id"), str):
            seen.add(line["custom_id"])
        if len(found) >= MOST_ERRORS:
            break
    return found[:MOST_ERRORS]


def _read(line: bytes) -> Payload:
    try:
        return table(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def _of_a_line(number: int, line: Payload, endpoint: str, seen: set[str]) -> Iterator[dict[str, Any]]:
    if not line:
        yield _error(number, "invalid_json_line", "This line is not a JSON object.")
        return
    id_ = line.get("custom_id")
    if not isinstance(id_, str) or not id_:
        yield _error(number, "missing_required_parameter", "custom_id must be a string that is not empty.", "custom_id")
    elif id_ in seen:
        yield _error(number, "duplicate_custom_id", f"The custom_id {id_} stands in an earlier line.", "custom_id")
    if line.get("method") != "POST":
        yield _error(number, "invalid_method", "method must be POST.", "method")
    if line.get("url") != endpoint:
        yield _error(number, "invalid_url", f"url must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(line.get("body"), dict):
        yield _error(number, "missing_required_parameter", "body must be an object.", "body")
    elif table(line["body"]).get("stream"):
        yield _error(number, "invalid_request", "Answers of a batch cannot be streamed.", "body.stream")


def _error(line: int | None, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    return {"code": code, "line": line, "message": message, "param": param}
