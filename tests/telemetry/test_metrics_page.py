"""/metrics as Prometheus reads it: what is counted, what is looked up in the ledger, who may read it, and how much it can grow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from fake_clock import FakeClock
from fakes import GROQ_CHAT_MODELS, World, failure, provider_models, rate_limited
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp
from upstream import Received, ask

from groq_fallback_mcp.call import CallOrigin, CallRecord, FailureKind
from groq_fallback_mcp.cli.gateway import guarded
from groq_fallback_mcp.gateway_tokens import TokensFile, token_hash
from groq_fallback_mcp.quota import open_ledger
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.redaction import register_secrets
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.telemetry import ledger_gauges
from groq_fallback_mcp.telemetry.prometheus import CallMetrics
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio
FIRST, SECOND, _ = GROQ_CHAT_MODELS
OWNERS = "the-token-of-the-owner"
HOST = {"host": "127.0.0.1:8788"}


def served(world: World, folder: Path) -> ASGIApp:
    """The gateway behind its guard, with one named token: ann."""
    path = folder / "tokens.toml"
    path.write_text(f'[[tokens]]\nname = "ann"\nsha256 = "{token_hash(b"ann").hex()}"\ncreated = 2026-11-29\n')
    path.chmod(0o600)
    tokens = TokensFile(path, world.clock.monotonic)
    return guarded(Context(engine=world.engine, folders=()), load_settings(), OWNERS, tokens, mcp=True)  # type: ignore[return-value]


async def scrape(app: ASGIApp, token: str | None = OWNERS, **headers: str) -> Received:
    """What a scrape gets."""
    given = {**HOST, **headers, **({} if token is None else {"authorization": f"Bearer {token}"})}
    return await ask(app, b"", path="/metrics", method="GET", headers=given)


async def chat(app: ASGIApp, client: str = "kilo/5.2", **headers: str) -> Received:
    """A chat completion."""
    body = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "the words of the prompt"}]}
    return await ask(app, body, headers={**HOST, "authorization": f"Bearer {OWNERS}", "user-agent": client, **headers})


def value(page: bytes, name: str, **labels: str) -> float | None:
    """The value of a sample, by the parser of Prometheus's own client; None where there is none."""
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name == f"groq_fallback_{name}" and labels.items() <= sample.labels.items():
                return sample.value
    return None


async def test_a_call_with_a_fallback_is_counted_with_its_attempts_tokens_and_times(tmp_path: Path) -> None:
    world = World()
    world.groq.script(FIRST, rate_limited(60.0))
    app = served(world, tmp_path)
    assert (await chat(app)).status == 200
    got = await scrape(app)
    assert (got.status, got.headers["content-type"].split(";")[0]) == (200, "text/plain")
    answered = {"provider": "groq", "model": SECOND}
    assert value(got.body, "calls_total", endpoint="/v1/chat/completions", client="kilo", outcome="answered", **answered) == 1
    assert value(got.body, "attempts_total", provider="groq", model=FIRST, outcome="rate_limited") == 1
    assert value(got.body, "attempts_total", outcome="answered", **answered) == 1
    assert value(got.body, "tokens_total", direction="output", **answered) == 50
    assert (value(got.body, "cost_usd_total", **answered) or 0) > 0
    assert value(got.body, "fallbacks_total", **answered) == 1
    assert value(got.body, "call_duration_seconds_count", **answered) == 1
    assert value(got.body, "call_duration_seconds_sum", **answered) == pytest.approx(0.2, abs=0.05)
    assert value(got.body, "wait_seconds_bucket", le="0.01") == 1
    assert value(got.body, "calls_in_progress") == 0
    assert b"words of the prompt" not in got.body


async def test_limits_cooldowns_and_spending_are_looked_up_at_each_scrape_and_nothing_is_spent(tmp_path: Path) -> None:
    world = World(budget=Budget(tokens=1_000_000))
    world.groq.script(FIRST, rate_limited(60.0))
    app = served(world, tmp_path)
    fresh = (await scrape(app)).body
    assert value(fresh, "limit_remaining", model=SECOND, limit="rpm") == value(
        fresh, "limit_capacity", model=SECOND, limit="rpm"
    )
    await chat(app)
    pages = [(await scrape(app)).body for _ in range(3)]
    left = {value(page, "limit_remaining", model=SECOND, limit="rpm") for page in pages}
    assert left == {(value(fresh, "limit_capacity", model=SECOND, limit="rpm") or 0) - 1}
    assert value(pages[0], "cooldown_seconds", model=FIRST) == pytest.approx(60, abs=5)
    assert value(pages[0], "cooldown_seconds", model=SECOND) == 0
    assert (value(pages[0], "day_spent_tokens"), value(pages[0], "day_budget_tokens")) == (100, 1_000_000)
    assert value(pages[0], "day_budget_usd") is None
    assert value(pages[0], "ledger_degraded") == 0
    assert len(world.groq.calls) == 2


async def test_a_ledger_that_cannot_be_used_shows_and_the_page_is_there_all_the_same(tmp_path: Path) -> None:
    clock, not_a_folder = FakeClock(), tmp_path / "file"
    not_a_folder.write_text("")
    world = World(clock=clock, ledger=open_ledger(f"sqlite:///{not_a_folder}/ledger.sqlite3", clock))
    got = await scrape(served(world, tmp_path))
    assert (got.status, value(got.body, "ledger_degraded")) == (200, 1)


async def test_a_ledger_that_does_not_answer_holds_no_scrape_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_gauges, "LOOK_S", 0.05)
    world = World()

    async def hang(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(world.ledger, "peek", hang)
    got = await scrape(served(world, tmp_path))
    assert (got.status, value(got.body, "ledger_degraded")) == (200, 1)
    assert value(got.body, "limit_capacity") is None


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 401), ("ann", 403), (OWNERS, 200)])
async def test_only_the_owner_reads_the_page(token: str | None, status: int, tmp_path: Path) -> None:
    """Named tokens do not: it shows what others do."""
    got = await scrape(served(World(), tmp_path), token)
    assert got.status == status
    assert (b"groq_fallback_" in got.body) == (status == 200)


async def test_the_page_is_read_and_nothing_else(tmp_path: Path) -> None:
    headers = {**HOST, "authorization": f"Bearer {OWNERS}"}
    refused = await ask(served(World(), tmp_path), {}, path="/metrics", headers=headers)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_open_metrics_is_written_for_those_that_ask_for_it(tmp_path: Path) -> None:
    app = served(World(), tmp_path)
    await chat(app)
    got = await scrape(app, accept="application/openmetrics-text; version=1.0.0")
    assert got.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in read_open_metrics(got.body.decode())}
    assert {"groq_fallback_calls", "groq_fallback_limit_remaining"} <= names


async def test_any_number_of_clients_and_models_makes_a_bounded_number_of_series() -> None:
    """Either can be named as whoever sends them likes."""
    metrics, world = CallMetrics(), World()
    for number in range(3_000):
        origin = CallOrigin(endpoint="/v1/messages", client=f"client{number}")
        model = f"model{number % 500}"
        metrics.call_ended(CallRecord(id="1", started_at=0.0, origin=origin, provider="local", model=model))
    body, _ = await metrics.page(world.engine)
    samples: Mapping[str, int] = {family.name: len(family.samples) for family in text_string_to_metric_families(body.decode())}
    assert samples["groq_fallback_calls"] <= 1_001
    assert samples["groq_fallback_tokens"] <= 2 * 201
    clients = {
        sample.labels["client"]
        for sample in next(
            family.samples for family in text_string_to_metric_families(body.decode()) if family.name == "groq_fallback_calls"
        )
    }
    assert len(clients) <= 65
    assert "other" in clients


async def test_a_secret_in_a_name_is_not_on_the_page() -> None:
    register_secrets("s3cret-of-the-owner")
    metrics, world = CallMetrics(), World([provider_models("groq", [FIRST, "s3cret-of-the-owner-1"])])
    origin = CallOrigin(endpoint="groq_chat", client="s3cret-of-the-owner")
    metrics.call_ended(
        CallRecord(id="1", started_at=0.0, origin=origin, provider="s3cret-of-the-owner", model="a s3cret-of-the-owner model")
    )
    body, _ = await metrics.page(world.engine)
    assert b"s3cret" not in body
    assert body.count(b"[redacted]") > 3


async def test_a_call_that_failed_is_counted_by_its_code(tmp_path: Path) -> None:
    world = World([provider_models("groq", [FIRST])])
    world.groq.script(FIRST, failure(FailureKind.AUTHENTICATION))
    app = served(world, tmp_path)
    await chat(app)
    assert value((await scrape(app)).body, "calls_total", outcome="authentication", model="") == 1


async def test_the_documents_name_every_metric_and_no_other(tmp_path: Path) -> None:
    world = World(budget=Budget(tokens=1, picousd=1))
    page = (await scrape(served(world, tmp_path))).body.decode()
    found = {f"{one.name}_total" if one.type == "counter" else one.name for one in text_string_to_metric_families(page)}
    table = (Path(__file__).parents[2] / "docs/monitoring.md").read_text().split("\n- Counters")[0]
    assert set(re.findall(r"`(groq_fallback_\w+)`", table)) == found
