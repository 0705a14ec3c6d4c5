"""The list of models as Claude Code and Codex read it, and that its ids can be asked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fakes import World
from upstream import Asked, Upstream, ask, gateway, whole

pytestmark = pytest.mark.anyio
FIRST = "openai/gpt-oss-20b"
# Of an entry that Codex 0.169.0 takes; without one of them it drops the list.
CODEX_NEEDS = {
    "slug", "display_name", "supported_reasoning_levels", "shell_type", "visibility", "supported_in_api", "priority",
    "support_verbosity", "truncation_policy", "experimental_supported_tools", "base_instructions",
}  # fmt: skip


async def listed(path: str, **headers: str) -> dict[str, Any]:
    """The answer to a request for the list."""
    got = await ask(gateway(World(), Upstream(lambda body: Asked(pieces=[]))), b"", path=path, method="GET", headers=headers)
    assert got.status == 200, got.body
    found: dict[str, Any] = got.json
    return found


async def test_claude_code_gets_the_chat_models_with_ids_that_it_lists_and_their_windows() -> None:
    """It drops every id without `claude` or `anthropic` in it."""
    usual = {row["id"]: row for row in (await listed("/v1/models"))["data"]}
    found = await listed("/v1/models?limit=1000", **{"anthropic-version": "2023-06-01"})
    assert (found["has_more"], found["first_id"]) == (False, "claude-code/auto")
    rows = {row["display_name"]: row for row in found["data"]}
    assert set(rows) == {name for name, row in usual.items() if row["type"] == "chat"}
    assert all(re.search("(?i)^(claude|anthropic)", row["id"]) and row["type"] == "model" for row in found["data"])
    assert rows[FIRST]["max_input_tokens"] == usual[FIRST]["context_window"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", rows[FIRST]["created_at"])


@pytest.mark.parametrize("id_", ["claude-code/openai/gpt-oss-20b", "claude-code/auto"])
async def test_an_id_of_that_list_is_a_model(id_: str) -> None:
    """In a message, and alone."""
    upstream = Upstream(lambda body: Asked(pieces=[whole("Hello")], headers={"content-type": "application/json"}))
    app = gateway(World(), upstream)
    body = {"model": id_, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
    assert (await ask(app, body, path="/v1/messages")).status == 200
    assert upstream.requests[0]["model"] == FIRST
    assert (await ask(app, b"", path=f"/v1/models/{id_}", method="GET")).status == 200


async def test_codex_gets_its_catalog_beside_the_list_with_short_instructions() -> None:
    """What it needs of each model is there; its own instructions have 4,000 tokens."""
    found = await listed("/v1/models?client_version=0.169.0")
    usual = {row["id"]: row for row in found["data"]}
    assert [model["slug"] for model in found["models"]] == [name for name, row in usual.items() if row["type"] == "chat"]
    for model in found["models"]:
        assert set(model) >= CODEX_NEEDS
        assert model["context_window"] == usual[model["slug"]]["context_window"]
        assert len(model["base_instructions"]) < 2_000


async def test_others_get_no_catalog() -> None:
    """It would only be in the way."""
    assert set(await listed("/v1/models")) == {"object", "data"}
