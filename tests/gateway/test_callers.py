"""Named tokens at the gateway: who is let in, what each may use and spend, and what a refusal says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import World
from starlette.types import ASGIApp
from upstream import Asked, Received, Upstream, ask, events, gateway, text, whole

from groq_fallback_mcp.cli.gateway import guarded
from groq_fallback_mcp.gateway.callers import Callers
from groq_fallback_mcp.gateway.sessions import session_key
from groq_fallback_mcp.gateway_tokens import TokensFile, token_hash
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.quota import caller_day
from groq_fallback_mcp.quota.budget import DayTotals
from groq_fallback_mcp.quota.store_ledger import utc_day
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio
OWNERS = "the-token-of-the-owner"
FIRST, SECOND = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
HOST = {"host": "127.0.0.1:8788"}


def good(body: Mapping[str, Any]) -> Asked:
    """A plain answer."""
    if body.get("stream"):
        return Asked(pieces=events(*text("Hello", " you")), headers={"content-type": "text/event-stream"})
    return Asked(pieces=[whole("Hello you")], headers={"content-type": "application/json"})


class Team:
    """A gateway with the tokens of a file, over an upstream in memory."""

    def __init__(self, folder: Path, **rows: str) -> None:
        self.world = World()
        self.upstream = Upstream(good)
        provider: Any = OpenAICompatible(
            "groq", base_url="http://upstream.test/v1", key="gsk_test", clock=self.world.clock, transport=self.upstream
        )
        self.world.providers["groq"] = provider
        self.path = folder / "tokens.toml"
        self.write(**rows)
        tokens = TokensFile(self.path, self.world.clock.monotonic)
        context = Context(engine=self.world.engine, folders=())
        self.app: ASGIApp = guarded(context, load_settings(), OWNERS, tokens, mcp=True)  # type: ignore[assignment]

    def write(self, **rows: str) -> None:
        """The tokens, each called as its name; more lines of each as given."""
        blocks = [
            f'[[tokens]]\nname = "{name}"\nsha256 = "{token_hash(name.encode()).hex()}"\ncreated = 2026-11-29\n{more}\n'
            for name, more in rows.items()
        ]
        self.path.write_text("\n".join(blocks))
        self.path.chmod(0o600)

    async def ask(
        self,
        token: str | None,
        *,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Received:
        """What a token gets."""
        given = {**HOST, **({} if token is None else {"authorization": f"Bearer {token}"}), **(headers or {})}
        body = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **fields}
        return await ask(self.app, body, path=path, method=method, headers=given)

    async def day(self, name: str) -> DayTotals:
        """What is known of a token's day."""
        key = caller_day(utc_day(self.world.clock.wall()), name)
        return (await self.world.ledger.spending([key]))[key]


async def test_each_is_let_in_by_its_token_and_named_in_the_response(tmp_path: Path) -> None:
    """The owner is not: nobody else would read it."""
    team = Team(tmp_path, ann="")
    for stream in (False, True):
        got = await team.ask("ann", stream=stream)
        assert (got.status, got.headers["x-groq-fallback-token"]) == (200, "ann")
    owners = await team.ask(OWNERS)
    assert (owners.status, "x-groq-fallback-token" in owners.headers) == (200, False)
    assert ((await team.day("ann")).calls, (await team.day("owner")).calls) == (2, 1)
    refused = await team.ask("bob")
    assert (refused.status, refused.json["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "ann"}, 200),
        ({"x-api-key": OWNERS}, 200),
        ({"x-api-key": "bob"}, 401),
        ({"x-api-key": "ann", "authorization": "Bearer bob"}, 401),
        ({"x-api-key": "bob", "authorization": "bearer ann"}, 200),
        ({"authorization": "Basic ann"}, 401),
        ({"authorization": "ann"}, 401),
        ({"x-api-key": ""}, 401),
        ({}, 401),
    ],
)
async def test_a_token_may_come_as_anthropics_clients_send_it(headers: dict[str, str], status: int, tmp_path: Path) -> None:
    """Where both are given, Authorization counts."""
    assert (await Team(tmp_path, ann="").ask(None, headers=headers)).status == status


async def test_without_named_tokens_nothing_is_counted_by_name(tmp_path: Path) -> None:
    """The owner is the owner only beside others."""
    team = Team(tmp_path)
    assert (await team.ask(OWNERS)).status == 200
    assert (await team.day("owner")).calls == 0


async def test_a_token_that_is_removed_is_refused_a_second_later_and_a_call_under_way_ends_well(tmp_path: Path) -> None:
    """One that is added is let in."""
    team = Team(tmp_path, ann="")

    def removing(body: Mapping[str, Any]) -> Asked:
        team.write(ben="")
        team.world.clock.advance(1.0)
        return good(body)

    team.upstream.answers = removing
    assert (await team.ask("ann")).status == 200
    team.upstream.answers = good
    assert ((await team.ask("ann")).status, (await team.ask("ben")).status) == (401, 200)


async def test_a_token_uses_only_its_models(tmp_path: Path) -> None:
    """Others are not in its list, not fallen back to, and refused by name with those it may use."""
    team = Team(tmp_path, ann=f'models = ["{SECOND}"]')
    listed = await team.ask("ann", path="/v1/models", method="GET")
    assert [row["id"] for row in listed.json["data"]] == ["auto", SECOND]
    assert len((await team.ask(OWNERS, path="/v1/models", method="GET")).json["data"]) > 3
    assert (await team.ask("ann", path=f"/v1/models/{FIRST}", method="GET")).status == 404
    assert (await team.ask("ann")).json["model"] == SECOND
    assert (await team.ask("ann", model="gpt-oss-120b")).status == 200
    refused = await team.ask("ann", model=FIRST)
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")
    assert refused.json["error"]["message"] == f"This gateway token may not use the model {FIRST}. Use {SECOND}."
    assert (await team.ask("ann", model="gpt-9")).status == 404
    assert (await team.ask("ann", path="/v1/audio/speech", model="auto", voice="troy", input="x")).status == 400
    assert set(team.upstream.asked) == {SECOND}
    assert (await team.day("ann")).refused == 1


async def test_a_token_s_budget_is_refused_as_a_matter_of_money_and_says_whose_it_is(tmp_path: Path) -> None:
    """Others go on; the refusal is counted, and names the token, its budget and when it starts again."""
    team = Team(tmp_path, ann="tokens_per_day = 250", ben="")
    assert (await team.ask("ann")).status == 200
    refused = await team.ask("ann", max_tokens=300)
    assert (refused.status, refused.json["error"]["type"]) == (402, "billing_error")
    message = refused.json["error"]["message"]
    assert "the gateway token ann has 235 of its daily budget of 250 tokens left until midnight UTC" in message
    assert "have the gateway's owner raise the token's budget" in message
    assert ((await team.ask("ben", max_tokens=300)).status, (await team.day("ann")).refused) == (200, 1)


async def test_requests_per_minute_are_refused_before_anything_else(tmp_path: Path) -> None:
    """With when to come back; lists cost nothing, and a body that is wrong counts, too."""
    team = Team(tmp_path, ann="rpm = 2")
    assert (await team.ask("ann")).status == 200
    assert (await team.ask("ann", messages="wrong")).status == 400
    refused = await team.ask("ann")
    assert (refused.status, refused.headers["retry-after"]) == (429, "30")
    assert "2 requests per minute of the gateway token ann used up" in refused.json["error"]["message"]
    upload = await team.ask("ann", path="/v1/audio/transcriptions")
    assert upload.status == 429
    assert (await team.ask("ann", path="/v1/models", method="GET")).status == 200
    assert len(team.upstream.requests) == 1
    assert (await team.day("ann")).refused == 2


async def test_mcp_beside_the_gateway_is_the_owners(tmp_path: Path) -> None:
    """Its calls could not be told apart."""
    team = Team(tmp_path, ann="")
    refused = await team.ask("ann", path="/mcp")
    assert (refused.status, set(refused.json)) == (403, {"error", "next_step"})


async def test_two_tokens_never_share_a_conversation(tmp_path: Path) -> None:
    """Whatever their clients call it; without tokens its name is what it was."""
    keys = [session_key({"session-id": "s"}, names=(), model="m", messages=(), caller=caller) for caller in ("ann", "ben", "")]
    assert len(set(keys)) == 3
    assert keys[2] == session_key({"session-id": "s"}, names=(), model="m", messages=())
    team = Team(tmp_path, ann="", ben="")
    sessions = {
        (await team.ask(name, headers={"session-id": "s"})).headers["x-groq-fallback-session"] for name in ("ann", "ben")
    }
    assert len(sessions) == 2


async def test_a_token_of_the_gateway_alone_passes_without_a_guard() -> None:
    """As tests and a proxy's own application use it."""
    got = await ask(gateway(World(), Upstream(good)), {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]})
    assert got.status == 200


def test_callers_are_made_once_for_each_reading_of_the_file(tmp_path: Path) -> None:
    """A request costs a hash and a look-up."""
    team = Team(tmp_path, ann="batch = true\nbudget_usd_per_day = 2")
    callers = Callers(OWNERS, TokensFile(team.path, team.world.clock.monotonic))
    found = callers.identify(b"ann")
    assert found is callers.identify(b"ann")
    assert found is not None
    assert found.caller is not None
    assert (found.caller.queue, found.caller.budget.picousd) == ("ann/batch", 2 * 10**12)
    assert callers.identify(b"\xff") is None
