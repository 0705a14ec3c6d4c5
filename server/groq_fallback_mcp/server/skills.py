"""The skill served over MCP: the extension io.modelcontextprotocol/skills (SEP-2640) of the revision 2026-07-28.

A client that has no skills folder learns from here how the tools are meant to be used. The file is a resource under the
skill's address, with its digest, so that a client can tell that it got what was listed.
"""

from __future__ import annotations

import hashlib
from typing import Any

from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CacheableResult,
    PaginatedRequestParams,
    PaginatedResult,
    ReadResourceRequestParams,
    ReadResourceResult,
    RequestParams,
    TextResourceContents,
)

from groq_fallback_mcp.skill import SKILL_NAME, skill_frontmatter, skill_text
from groq_fallback_mcp.tools.tool import Context

__all__ = ["EXTENSION", "SKILL_URI", "serve_skill"]

EXTENSION = "io.modelcontextprotocol/skills"
SKILL_URI = f"skill://{SKILL_NAME}/SKILL.md"
# It changes with the version of the package alone.
FRESH_MS = 3_600_000


class ListSkillsResult(PaginatedResult, CacheableResult):
    """The answer to skills/list."""

    skills: list[dict[str, Any]]


class GetSkillParams(RequestParams):
    """Parameters of skills/get."""

    uri: str


class GetSkillResult(CacheableResult):
    """The answer to skills/get."""

    skill: dict[str, Any]


def serve_skill(server: Server[Context]) -> None:
    """Add the skill to a server, where the package has it."""
    text = skill_text()
    if text is None:
        return
    raw = text.encode()
    file = {
        "uri": SKILL_URI,
        "digest": f"sha256:{hashlib.sha256(raw).hexdigest()}",
        "size": len(raw),
        "mimeType": "text/markdown",
    }
    entry: dict[str, Any] = {"uri": SKILL_URI, "frontmatter": skill_frontmatter(text), "resources": [file]}

    async def list_skills(context: ServerRequestContext[Context], params: PaginatedRequestParams) -> ListSkillsResult:
        del context, params
        return ListSkillsResult(skills=[entry], ttl_ms=FRESH_MS, cache_scope="public")

    async def get_skill(context: ServerRequestContext[Context], params: GetSkillParams) -> GetSkillResult:
        del context
        _require(params.uri)
        return GetSkillResult(skill=entry, ttl_ms=FRESH_MS, cache_scope="public")

    async def read_resource(context: ServerRequestContext[Context], params: ReadResourceRequestParams) -> ReadResourceResult:
        del context
        _require(str(params.uri))
        contents = TextResourceContents(uri=SKILL_URI, mime_type="text/markdown", text=text)
        return ReadResourceResult(contents=[contents], ttl_ms=FRESH_MS, cache_scope="public")

    server.extensions[EXTENSION] = {}
    server.add_request_handler("skills/list", PaginatedRequestParams, list_skills)
    server.add_request_handler("skills/get", GetSkillParams, get_skill)
    server.add_request_handler("resources/read", ReadResourceRequestParams, read_resource)


def _require(uri: str) -> None:
    if uri != SKILL_URI:
        raise MCPError(INVALID_PARAMS, f"there is nothing at {uri[:200]!r}; the one skill is at {SKILL_URI}")
