"""Files and batches: files, files/{id}, files/{id}/content, batches, batches/{id} and batches/{id}/cancel.

Shapes and states: the SDK's FileCreateResponse, FileListResponse, FileInfoResponse, FileDeleteResponse, BatchCreateParams and
BatchCreateResponse; purpose `batch`, 100 MB, a window of 24h to 7d and the one endpoint too. Half price, paid plans only: facts
page, section 2. A batch does not count to the limits of single requests, and its lines (custom_id, method, url, body; 50,000 at
most) are the console's batch page: both as the task gives it. Unverified: the texts of refusals, that the upload is refused too
and not the batch alone, the fields of an output line (custom_id, response, error, as in OpenAI's form), that requests which fail
go to the error file while the batch is completed, and that errors of lines are found when the batch is validated, as its status
`failed` and its `errors[].line` suggest, and not at the upload.

Nothing runs in the background: whoever asks for a batch makes it go on as far as its time allows, evenly over `batch_s`.
Its requests meet no faults.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from groq_fallback_mcp.simulator.batch_state import ENDPOINT, Batch
from groq_fallback_mcp.simulator.chat_completions import answered, completion
from groq_fallback_mcp.simulator.replies import SIMULATED, ApiError, fresh_id, json_reply, payload_of, request_id
from groq_fallback_mcp.simulator.wire import Payload, table
from groq_fallback_mcp.simulator.world import World

__all__ = [
    "cancel_batch",
    "create_batch",
    "create_file",
    "delete_file",
    "file_content",
    "file_info",
    "list_batches",
    "list_files",
    "one_batch",
]

SHORTEST_H, LONGEST_H = 24, 168
_WINDOW = re.compile(r"(?P<count>\d{1,4})(?P<unit>[hd])\Z")
MEGABYTE = 1_048_576
MOST_MB = 100
MOST_LINES = 50_000
MOST_ERRORS = 100


async def create_batch(world: World, organization: str, request: Request) -> Response:
    """Begin a batch; it is `validating` in this answer, whatever its time. Raises ApiError for what Groq refuses."""
    _check_paid(world)
    payload = await payload_of(request)
    if payload.get("endpoint") != ENDPOINT:
        raise ApiError(400, f"'endpoint' : value must be one of {ENDPOINT}")
    window = payload.get("completion_window")
    window_s = _window_s(window)
    row = world.files.get(organization, payload.get("input_file_id"))
    if row.purpose != "batch":
        raise ApiError(400, f"The file `{row.id}` was not uploaded with the purpose batch.")
    lines = _read_lines(row.content)
    batch = Batch(
        id=fresh_id("batch"),
        organization=organization,
        input_file_id=row.id,
        window=str(window),
        window_s=window_s,
        created_s=world.clock.wall(),
        metadata=payload.get("metadata"),
        lines=lines,
        errors=_line_errors(lines, ENDPOINT),
    )
    world.batches[batch.id] = batch
    return json_reply(batch.body())


async def list_batches(world: World, organization: str, request: Request) -> Response:
    """All batches of the organization, newest first."""
    mine = [batch for batch in reversed(list(world.batches.values())) if batch.organization == organization]
    for batch in mine:
        await _go_on(world, batch)
    return json_reply({"object": "list", "data": _later([batch.body() for batch in mine], request)})


async def one_batch(world: World, organization: str, request: Request) -> Response:
    """One batch, as far as it has come."""
    batch = _batch(world, organization, request)
    await _go_on(world, batch)
    return json_reply(batch.body())


async def cancel_batch(world: World, organization: str, request: Request) -> Response:
    """Stop a batch: `cancelling` in this answer, `cancelled` in the next; what was answered by then stays."""
    batch = _batch(world, organization, request)
    await _go_on(world, batch)
    if batch.ended:
        raise ApiError(400, f"The batch `{batch.id}` is {batch.status} and cannot be cancelled.")
    _enter(world, batch, "cancelling")
    return json_reply(batch.body())


def _batch(world: World, organization: str, request: Request) -> Batch:
    id_ = request.path_params["id"]
    batch = world.batches.get(id_)
    if batch is None or batch.organization != organization:
        raise ApiError(404, f"The batch `{id_}` does not exist.", code="batch_not_found")
    return batch


def _window_s(window: object) -> float:
    found = _WINDOW.match(window) if isinstance(window, str) else None
    hours = int(found["count"]) * (24 if found["unit"] == "d" else 1) if found else 0
    if not SHORTEST_H <= hours <= LONGEST_H:
        raise ApiError(400, "'completion_window' : value must be between 24h and 7d")
    return hours * 3600.0


async def _go_on(world: World, batch: Batch) -> None:
    async with batch.lock:
        if batch.ended:
            return
        if batch.errors:
            _enter(world, batch, "failed")
            return
        if batch.status == "cancelling":
            _finish(world, batch, "cancelled")
            return
        _enter(world, batch, "in_progress")
        passed_s = world.clock.wall() - batch.created_s
        share = min(min(passed_s, batch.window_s) / world.options.batch_s, 1.0) if world.options.batch_s else 1.0
        while batch.done < int(share * len(batch.lines)):
            await _answer_line(world, batch, batch.lines[batch.done])
            batch.done += 1
        if batch.done == len(batch.lines):
            _enter(world, batch, "finalizing")
            _finish(world, batch, "completed")
        elif passed_s >= batch.window_s:
            message = "This request could not be executed before the completion window expired."
            late = {"code": "batch_expired", "message": message}
            batch.failures += [_output_line(line, None, late) for line in batch.lines[batch.done :]]
            _finish(world, batch, "expired")


async def _answer_line(world: World, batch: Batch, line: Payload) -> None:
    payload = table(line["body"])
    try:
        answer = await answered(world, batch.organization, payload, metered=False)
    except ApiError as failure:
        batch.failures.append(_output_line(line, (failure.status, {"error": failure.body}), None))
        return
    batch.answers.append(_output_line(line, (200, completion(world, payload, answer)), None))


def _output_line(line: Payload, response: tuple[int, Payload] | None, error: Payload | None) -> dict[str, Any]:
    status, body = response or (0, {})
    return {
        "id": fresh_id("batch_req"),
        "custom_id": line["custom_id"],
        "response": {"status_code": status, "request_id": request_id(), "body": body} if response else None,
        "error": error,
    }


def _enter(world: World, batch: Batch, status: str) -> None:
    batch.status = status
    batch.moments.setdefault(status, int(world.clock.wall()))


def _finish(world: World, batch: Batch, status: str) -> None:
    _enter(world, batch, status)
    batch.output_file_id = _written(world, batch, batch.answers, "output")
    batch.error_file_id = _written(world, batch, batch.failures, "error")


def _written(world: World, batch: Batch, rows: list[dict[str, Any]], what: str) -> str | None:
    """The id of the file of these lines; none where there are none."""
    if not rows:
        return None
    content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    name = f"{batch.id}_{what}.jsonl"
    return world.files.add(batch.organization, name, content, purpose="batch_output", at=world.clock.wall()).id


def _check_paid(world: World) -> None:
    """Raises ApiError 403 on the free plan."""
    if world.options.plan == "free":
        message = "Batch processing is not available on the free plan. Please upgrade to use it. (simulated)"
        raise ApiError(403, message, code="not_available_for_plan", type="permissions_error")


async def create_file(world: World, organization: str, request: Request) -> Response:
    """Take an upload. Raises ApiError for what Groq refuses."""
    _check_paid(world)
    async with request.form(max_part_size=200 * MEGABYTE) as form:
        upload = _upload(form)
        content = await upload.read()
    if len(content) > MOST_MB * MEGABYTE:
        raise ApiError(413, "Request Entity Too Large", code="request_too_large")
    if not content:
        raise ApiError(400, "file is empty")
    name = upload.filename or "batch.jsonl"
    row = world.files.add(organization, name, content, purpose="batch", at=world.clock.wall())
    return json_reply(row.body())


async def list_files(world: World, organization: str, request: Request) -> Response:
    """All files of the organization, newest first; those after `after`, with which the OpenAI SDK asks for the next page."""
    rows = [row.body() for row in reversed(world.files.rows.values()) if row.organization == organization]
    return json_reply({"object": "list", "data": _later(rows, request)})


async def file_info(world: World, organization: str, request: Request) -> Response:
    """One file."""
    return json_reply(world.files.get(organization, request.path_params["id"]).body())


async def file_content(world: World, organization: str, request: Request) -> Response:
    """The bytes of one file."""
    row = world.files.get(organization, request.path_params["id"])
    return Response(row.content, media_type="application/octet-stream", headers=SIMULATED)


async def delete_file(world: World, organization: str, request: Request) -> Response:
    """Forget a file."""
    row = world.files.get(organization, request.path_params["id"])
    del world.files.rows[row.id]
    return json_reply({"id": row.id, "object": "file", "deleted": True})


def _later(rows: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    """The rows behind the one that the query calls `after`; all of them without."""
    after = request.query_params.get("after")
    ids = [row["id"] for row in rows]
    return rows[ids.index(after) + 1 :] if after in ids else rows


def _upload(form: FormData) -> UploadFile:
    if form.get("purpose") != "batch":
        raise ApiError(400, "'purpose' : value must be one of batch")
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise ApiError(400, "'file' : property is missing")
    return upload


def _read_lines(content: bytes) -> list[Payload]:
    """Each line that is not blank; an empty table for one that is no JSON object."""
    return [_read_line(line) for line in content.splitlines() if line.strip()]


def _line_errors(lines: list[Payload], endpoint: str) -> list[dict[str, Any]]:
    """What stops the batch, the first hundred of it; nothing where it can begin."""
    if not lines:
        return [_line_error(None, "empty_file", "The input file has no lines.")]
    if len(lines) > MOST_LINES:
        return [_line_error(None, "too_many_requests", f"The input file has more than {MOST_LINES} lines.")]
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        found += list(_of_a_line(number, line, endpoint, seen))
        if isinstance(line.get("custom_id"), str):
            seen.add(line["custom_id"])
        if len(found) >= MOST_ERRORS:
            break
    return found[:MOST_ERRORS]


def _read_line(line: bytes) -> Payload:
    try:
        return table(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def _of_a_line(number: int, line: Payload, endpoint: str, seen: set[str]) -> Iterator[dict[str, Any]]:
    if not line:
        yield _line_error(number, "invalid_json_line", "This line is not a JSON object.")
        return
    id_ = line.get("custom_id")
    if not isinstance(id_, str) or not id_:
        yield _line_error(number, "missing_required_parameter", "custom_id must be a string that is not empty.", "custom_id")
    elif id_ in seen:
        yield _line_error(
            number, "duplicate_custom_id", f"The custom_id {id_} is already used in an earlier line.", "custom_id"
        )
    if line.get("method") != "POST":
        yield _line_error(number, "invalid_method", "method must be POST.", "method")
    if line.get("url") != endpoint:
        yield _line_error(number, "invalid_url", f"url must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(line.get("body"), dict):
        yield _line_error(number, "missing_required_parameter", "body must be an object.", "body")
    elif table(line["body"]).get("stream"):
        yield _line_error(number, "invalid_request", "Batch responses cannot be streamed.", "body.stream")


def _line_error(line: int | None, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    return {"code": code, "line": line, "message": message, "param": param}
