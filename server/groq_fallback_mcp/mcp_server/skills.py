"""The skill served over MCP: the extension io.modelcontextprotocol/skills (SEP-2640) of the revision 2026-07-28.

A client that has no skills folder learns from here how the tools are meant to be used. Each file of the skill is a resource
under the skill's address, with its digest, so that a client can tell that it got what was listed, and read the references when
it needs them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp_types import (
    CacheableResult,
    PaginatedRequestParams,
    PaginatedResult,
    RequestParams,
)

from groq_fallback_mcp.mcp_server.resources import FRESH_MS, Resource, require_uri
from groq_fallback_mcp.skill import SKILL_FILE, SKILL_NAME, skill_files, skill_frontmatter
from groq_fallback_mcp.tools.tool import Context

__all__ = ["SKILL_URI", "serve_skill"]

EXTENSION = "io.modelcontextprotocol/skills"
ROOT = f"skill://{SKILL_NAME}/"
SKILL_URI = f"{ROOT}{SKILL_FILE}"
MARKDOWN = "text/markdown"


class ListSkillsResult(PaginatedResult, CacheableResult):
    """The answer to skills/list."""

    skills: list[dict[str, Any]]


class GetSkillParams(RequestParams):
    """Parameters of skills/get."""

    uri: str


class GetSkillResult(CacheableResult):
    """The answer to skills/get."""

    skill: dict[str, Any]


def serve_skill(server: Server[Context]) -> Sequence[Resource]:
    """Add the skill to a server, where the package has it; its files, as resources that the server must serve."""
    texts = {f"{ROOT}{path}": text for path, text in skill_files().items()}
    if not texts:
        return ()
    entry: dict[str, Any] = {
        "uri": SKILL_URI,
        "frontmatter": skill_frontmatter(texts[SKILL_URI]),
        "resources": [_listed(uri, text) for uri, text in texts.items()],
    }

    async def list_skills(context: ServerRequestContext[Context], params: PaginatedRequestParams) -> ListSkillsResult:
        del context, params
        return ListSkillsResult(skills=[entry], ttl_ms=FRESH_MS, cache_scope="public")

    async def get_skill(context: ServerRequestContext[Context], params: GetSkillParams) -> GetSkillResult:
        del context
        require_uri(params.uri, (SKILL_URI,))
        return GetSkillResult(skill=entry, ttl_ms=FRESH_MS, cache_scope="public")

    server.extensions[EXTENSION] = {}
    server.add_request_handler("skills/list", PaginatedRequestParams, list_skills)
    server.add_request_handler("skills/get", GetSkillParams, get_skill)
    return [Resource(uri=uri, mime_type=MARKDOWN, text=partial(str, text)) for uri, text in texts.items()]


def _listed(uri: str, text: str) -> dict[str, Any]:
    raw = text.encode()
    return {"uri": uri, "digest": f"sha256:{hashlib.sha256(raw).hexdigest()}", "size": len(raw), "mimeType": MARKDOWN}
