"""Files for batches: POST and GET files, GET and DELETE files/{id}, GET files/{id}/content.

Shapes: the SDK's FileCreateResponse, FileListResponse, FileInfoResponse and FileDeleteResponse; purpose `batch` and 100 MB are
its FileCreateParams' and BatchCreateParams'. Paid plans only: facts page, section 2. Unverified: the texts of refusals, and that
the upload is refused too and not the batch alone.
"""

from __future__ import annotations

from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from groq_fallback_mcp.simulator.replies import SIMULATED, ApiError, json_reply
from groq_fallback_mcp.simulator.world import World

__all__ = ["check_paid", "create_file", "delete_file", "file_content", "file_info", "later", "list_files"]

MEGABYTE = 1_048_576
MOST_MB = 100


def check_paid(world: World) -> None:
    """Raises ApiError 403 on the free plan."""
    if world.options.plan == "free":
        message = "Batch processing is not available on the free plan. Please upgrade to use it. (simulated)"
        raise ApiError(403, message, code="not_available_for_plan", type="permissions_error")


async def create_file(world: World, organization: str, request: Request) -> Response:
    """Take an upload. Raises ApiError for what Groq refuses."""
    check_paid(world)
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
    return json_reply({"object": "list", "data": later(rows, request)})


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


def later(rows: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
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
