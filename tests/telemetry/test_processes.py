"""The page of real processes, over real sockets."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from gateway_process import TOKEN, environment_of, free_port, gateway, started
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.anyio
OWNER = {"authorization": f"Bearer {TOKEN}"}


def counted(page: str, name: str) -> float:
    """The sum of a metric's samples of this name."""
    return sum(
        sample.value for family in text_string_to_metric_families(page) for sample in family.samples if sample.name == name
    )


async def test_serve_over_http_counts_the_calls_of_its_tools(tmp_path: Path) -> None:
    """With the same token as MCP; nobody answers at the provider's address here."""
    port = free_port()
    environment = environment_of(tmp_path, "http://127.0.0.1:9", GROQ_FALLBACK_DEADLINE_S="5")
    async with (
        started("serve", "--http", f"127.0.0.1:{port}", environment=environment, port=port),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        assert (await client.get("/metrics")).status_code == 401
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "groq_chat", "arguments": {"prompt": "hi"}},
        }
        headers = {**OWNER, "accept": "application/json, text/event-stream"}
        assert (await client.post("/mcp", json=message, headers=headers)).status_code == 200
        page = (await client.get("/metrics", headers=OWNER)).text
    assert counted(page, "groq_fallback_calls_total") == 1
    assert 'endpoint="groq_chat"' in page
    assert 'outcome="unreachable"' in page


async def test_a_gateway_counts_streams_as_well(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (client, _, _):
        body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}
        assert "[DONE]" in (await client.post("/v1/chat/completions", json=body)).text
        page = (await client.get("/metrics")).text
    assert counted(page, "groq_fallback_calls_total") == 1
    assert counted(page, "groq_fallback_time_to_first_token_seconds_count") == 1
    assert counted(page, "groq_fallback_tokens_total") > 0
