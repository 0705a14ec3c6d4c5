"""The skill over MCP: every file of it listed with its digest, and read as it was listed."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from fakes import World
from mcp.shared.exceptions import MCPError
from mcp_types import PaginatedRequestParams, Request, TextResourceContents
from servers import connected

from groq_fallback_mcp.mcp_server.skills import SKILL_URI, GetSkillParams, GetSkillResult, ListSkillsResult
from groq_fallback_mcp.skill import skill_files

pytestmark = pytest.mark.anyio
FOLDER = SKILL_URI.removesuffix("SKILL.md")


async def test_every_file_is_listed_with_its_digest_and_read_as_it_was_listed() -> None:
    """SKILL.md first, the references after it."""
    async with connected(World()) as client:
        request: Request[Any, Any] = Request(method="skills/list", params=PaginatedRequestParams())
        (skill,) = (await client.session.send_request(request, ListSkillsResult)).skills
        read = {file["uri"]: (await client.read_resource(file["uri"])).contents[0] for file in skill["resources"]}
    assert skill["uri"] == SKILL_URI
    assert [file["uri"] for file in skill["resources"]] == [f"{FOLDER}{name}" for name in skill_files()]
    assert len(read) > 4
    for file in skill["resources"]:
        contents = read[file["uri"]]
        assert isinstance(contents, TextResourceContents)
        raw = contents.text.encode()
        assert file["digest"] == f"sha256:{hashlib.sha256(raw).hexdigest()}"
        assert file["size"] == len(raw)
        assert contents.text == skill_files()[file["uri"].removeprefix(FOLDER)]


async def test_the_skill_is_got_by_its_address_alone() -> None:
    """A reference is a file of it, not a skill."""
    async with connected(World()) as client:
        asked: Request[Any, Any] = Request(method="skills/get", params=GetSkillParams(uri=SKILL_URI))
        assert (await client.session.send_request(asked, GetSkillResult)).skill["frontmatter"]["name"] == "groq-fallback-mcp"
        wrong: Request[Any, Any] = Request(method="skills/get", params=GetSkillParams(uri=f"{FOLDER}references/errors.md"))
        with pytest.raises(MCPError, match="Use one of"):
            await client.session.send_request(wrong, GetSkillResult)


@pytest.mark.parametrize("path", ["../pyproject.toml", "references/../../secrets.md", "references/nothing.md", ""])
async def test_nothing_else_is_read(path: str) -> None:
    """And the refusal names what there is."""
    async with connected(World()) as client:
        with pytest.raises(MCPError, match=r"references/errors\.md"):
            await client.read_resource(f"{FOLDER}{path}")
