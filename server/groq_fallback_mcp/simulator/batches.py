"""Batches: POST and GET batches, GET batches/{id}, POST batches/{id}/cancel.

Shapes and states: the SDK's BatchCreateParams and BatchCreateResponse; a window of 24h to 7d and the one endpoint too. Half
price, paid plans only: facts page, section 2. A batch does not count to the limits of single requests: as the task gives it.
Unverified: the texts of refusals, the fields of an output line (custom_id, response, error, as in OpenAI's form), and that
requests which fail go to the error file while the batch is completed.

Nothing runs in the background: whoever asks for a batch makes it go on as far as its time allows, evenly over `batch_s`.
Its requests meet no faults.
"""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from groq_fallback_mcp.simulator.batch_lines import line_errors, read_lines
from groq_fallback_mcp.simulator.batch_state import ENDPOINT, Batch
from groq_fallback_mcp.simulator.chat import answered
from groq_fallback_mcp.simulator.completions import completion
from groq_fallback_mcp.simulator.files import check_paid, later
from groq_fallback_mcp.simulator.incoming import payload_of
from groq_fallback_mcp.simulator.replies import ApiError, fresh_id, json_reply, request_id
from groq_fallback_mcp.simulator.wire import Payload, table
from groq_fallback_mcp.simulator.world import World

__all__ = ["cancel_batch", "create_batch", "list_batches", "one_batch"]

SHORTEST_H, LONGEST_H = 24, 168
_WINDOW = re.compile(r"(?P<count>\d{1,4})(?P<unit>[hd])\Z")


async def create_batch(world: World, organization: str, request: Request) -> Response:
    """Begin a batch; it is `validating` in this answer, whatever its time. Raises ApiError for what Groq refuses."""
    check_paid(world)
    payload = await payload_of(request)
    if payload.get("endpoint") != ENDPOINT:
        raise ApiError(400, f"'endpoint' : value must be one of {ENDPOINT}")
    window = payload.get("completion_window")
    window_s = _window_s(window)
    row = world.files.get(organization, payload.get("input_file_id"))
    if row.purpose != "batch":
        raise ApiError(400, f"The file `{row.id}` was not uploaded with the purpose batch.")
    lines = read_lines(row.content)
    batch = Batch(
        id=fresh_id("batch"),
        organization=organization,
        input_file_id=row.id,
        window=str(window),
        window_s=window_s,
        created_s=world.clock.wall(),
        metadata=payload.get("metadata"),
        lines=lines,
        errors=line_errors(lines, ENDPOINT),
    )
    world.batches[batch.id] = batch
    return json_reply(batch.body())


async def list_batches(world: World, organization: str, request: Request) -> Response:
    """All batches of the organization, newest first."""
    mine = [batch for batch in reversed(list(world.batches.values())) if batch.organization == organization]
    for batch in mine:
        await _go_on(world, batch)
    return json_reply({"object": "list", "data": later([batch.body() for batch in mine], request)})


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
            batch.failures += [_line(line, None, late) for line in batch.lines[batch.done :]]
            _finish(world, batch, "expired")


async def _answer_line(world: World, batch: Batch, line: Payload) -> None:
    payload = table(line["body"])
    try:
        answer = await answered(world, batch.organization, payload, metered=False)
    except ApiError as failure:
        batch.failures.append(_line(line, (failure.status, {"error": failure.body}), None))
        return
    batch.answers.append(_line(line, (200, completion(world, payload, answer)), None))


def _line(line: Payload, response: tuple[int, Payload] | None, error: Payload | None) -> dict[str, Any]:
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
