"""Every row of the seed document works through the tools, against the simulated Groq."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_clock import FakeClock
from fakes import CATALOG, World, failure, provider_models
from servers import connected, text_of
from simulated import simulated_groq

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.call import Failure, FailureKind, Limit
from groq_fallback_mcp.catalog import Kind
from groq_fallback_mcp.providers.classify import classify
from groq_fallback_mcp.providers.rate_limit_headers import snapshot
from groq_fallback_mcp.settings import Settings
from groq_fallback_mcp.simulator import Fault, SimulatorOptions
from groq_fallback_mcp.tools import ALL_TOOLS
from project_docs.coverage import SEED, seed_rows

pytestmark = pytest.mark.anyio
MODELS = [row for row in CATALOG.models.values() if row.source == SEED]
SEED_DAY = datetime(2026, 2, 13, tzinfo=UTC).timestamp()
SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


def world_of_all(*, day: float | None = None) -> World:
    """Groq with every model of the catalog."""
    clock = FakeClock() if day is None else FakeClock(wall=day)
    return World([provider_models("groq", list(CATALOG.models), plan="developer")], clock=clock)


async def called(world: World, folder: Path, tool: str, **arguments: object) -> tuple[str, dict[str, Any]]:
    """Text and structured content of a tool."""
    async with connected(world, folders=(folder,), tools=ALL_TOOLS, state=folder / "state") as client:
        result = await client.call_tool(tool, arguments)
    return text_of(result), dict(result.structured_content or {})


@pytest.mark.covers("models/*")
@pytest.mark.parametrize("model", [row.id for row in MODELS])
async def test_each_model_of_the_seed_answers_by_name_where_groq_still_lists_it(tmp_path: Path, model: str) -> None:
    """Through the tool for its kind; enterprise accounts keep models that others have lost."""
    world = world_of_all()
    simulated_groq(world, SimulatorOptions(plan="developer", latency_scale=0.0, keep_retired=True))
    await world.engine.registry.live_list()
    (tmp_path / "speech.flac").write_bytes(sample_path().read_bytes())
    row = CATALOG.models[model]
    arguments: dict[Kind, tuple[str, dict[str, object]]] = {
        Kind.CHAT: ("groq_chat", {"prompt": "hi"}),
        Kind.SYSTEM: ("groq_chat", {"prompt": "hi"}),
        Kind.SPEECH_TO_TEXT: ("transcribe", {"file": "speech.flac"}),
        Kind.TEXT_TO_SPEECH: (
            "speak",
            {"text": "hi", "save_to": "out.wav", "language": next(iter(row.capabilities.languages), "en")},
        ),
        Kind.GUARD: ("screen", {"text": "hi"}),
    }
    tool, given = arguments[row.kind]
    text, found = await called(world, tmp_path, tool, model=model, **given)
    assert found.get("model") == model, text
    assert found["simulated"] is True


@pytest.mark.parametrize("model", [row.id for row in MODELS if row.kind in {Kind.CHAT, Kind.SYSTEM}])
async def test_each_chat_model_of_the_seed_has_an_answer_today_from_itself_or_another(tmp_path: Path, model: str) -> None:
    """Eight of them have ended since: a successor, or the chain, answers and the result says so."""
    world = world_of_all()
    simulated_groq(world)
    _, found = await called(world, tmp_path, "groq_chat", prompt="hi", model=model)
    assert found["text"]
    ended = model in CATALOG.shutdowns
    assert (found["model"] == model) is not ended
    assert any("shut down" in note for note in found.get("notes", ())) is ended


@pytest.mark.covers("limits/*")
@pytest.mark.parametrize("model", [row.model for row in CATALOG.limit_rows if row.source == SEED])
async def test_the_limits_of_each_row_are_told(tmp_path: Path, model: str) -> None:
    """As the newest source gives them for the plan; those of ended models by name."""
    world = world_of_all()
    text, found = await called(world, tmp_path, "check_limits", model=model)
    told = (
        {entry["limit"]: entry["capacity"] for row in found["models"] for entry in row["limits"]} if "models" in found else {}
    )
    if model in CATALOG.shutdowns:
        assert model in text
    else:
        assert told == {limit.value: figure for limit, figure in CATALOG.limits(model, "developer").items()}


@pytest.mark.covers("headers/*")
@pytest.mark.parametrize("header", [row.header for row in CATALOG.headers if row.source == SEED])
async def test_each_header_is_sent_by_the_stand_in_and_read(header: str) -> None:
    """What it says changes what is known of the limit."""
    world = world_of_all()
    app = simulated_groq(world, SimulatorOptions(latency_scale=0.0, faults={"*": [Fault(kind="429", seconds=7.0, count=1)]}))
    body = {"model": SMALL, "messages": [{"role": "user", "content": "hi"}]}
    key = {"authorization": "Bearer gsk_simulated"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://simulated.test") as client:
        refused = await client.post("/openai/v1/chat/completions", json=body, headers=key)
        served = await client.post("/openai/v1/chat/completions", json=body, headers=key)
    if header == "retry-after":
        assert refused.headers[header] == "7"
        read = classify(429, {header: refused.headers[header]}, "{}", now_wall=0.0)
        assert read.retry_after_s == 7.0
        return
    assert header in served.headers
    readings = snapshot({name: value for name, value in served.headers.items() if name.startswith("x-ratelimit")}).readings
    limit = Limit.RPD if header.endswith("requests") else Limit.TPM
    reading = next(reading for reading in readings if reading.limit is limit)
    if "-reset-" in header:
        # the time until full, which the capacity and the rest tell too
        assert served.headers[header].endswith("s")
    else:
        stated = float(served.headers[header])
        assert stated in {reading.capacity, reading.remaining}


@pytest.mark.covers("statuses/*")
@pytest.mark.parametrize("status", [row.status for row in CATALOG.errors if row.source == SEED])
async def test_each_status_is_understood_and_acted_on(tmp_path: Path, status: int) -> None:
    """A success is one; a refusal of one model costs no answer, a refusal of the request is told."""
    world = world_of_all()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if status == 200 or asked.setdefault("first", request.content) != request.content:
            message = {"content": "fine"}
            return httpx2.Response(200, json={"model": "m", "choices": [{"message": message, "finish_reason": "stop"}]})
        return httpx2.Response(status, json={"error": {"message": "no", "type": "invalid_request_error"}})

    asked: dict[str, bytes] = {}
    from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible

    world.providers["groq"] = OpenAICompatible(  # type: ignore[assignment]
        "groq", base_url="http://x.test/v1", key="gsk_x", clock=world.clock, transport=httpx2.MockTransport(answer)
    )
    text, found = await called(world, tmp_path, "groq_chat", prompt="hi")
    if status in {200, 422, 429, 500, 503}:
        assert found["text"] == "fine"
    else:
        code = {400: "bad_request", 401: "authentication", 403: "account_refused", 404: "bad_request"}[status]
        assert found["error"]["code"] == code, text
        assert "Next step: " in text


@pytest.mark.covers("codes/*")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_api_key", FailureKind.AUTHENTICATION),
        ("model_not_found", FailureKind.MODEL_GONE),
        ("rate_limit_exceeded", FailureKind.RATE_LIMITED),
    ],
)
def test_each_common_error_response_is_understood_as_the_document_gives_it(code: str, kind: FailureKind) -> None:
    """Its own words, although Groq's real ones differ."""
    row = next(row for row in CATALOG.error_codes if row.code == code and row.source == SEED)
    body = f'{{"error": {{"message": "{row.message}", "type": "{row.type}", "code": "{row.code}"}}}}'
    found = classify(row.status, {}, body, now_wall=0.0)
    assert isinstance(found, Failure)
    assert (found.kind, found.code) == (kind, code)


@pytest.mark.covers("practices/*")
@pytest.mark.parametrize("use_case", [row.use_case for row in CATALOG.practices.values() if row.source == SEED])
async def test_each_practice_asks_its_model_on_the_day_of_the_document(tmp_path: Path, use_case: str) -> None:
    """And its successor, or the chain, today."""
    (tmp_path / "speech.flac").write_bytes(sample_path().read_bytes())
    practice = CATALOG.practices[use_case]
    tool = practice.tool
    given: dict[str, object] = {"file": "speech.flac"} if tool == "transcribe" else {"prompt": "hi", "use_case": use_case}
    world = world_of_all(day=SEED_DAY)
    simulated_groq(world)
    _, then = await called(world, tmp_path, tool, **given)
    assert then["model"] == practice.model
    world = world_of_all()
    simulated_groq(world)
    _, now = await called(world, tmp_path, tool, **given)
    assert now["model"] in {practice.model, *practice.chain}
    assert now["text"]


@pytest.mark.covers("advice/Cache responses", "advice/Prompt caching")
async def test_a_repeated_beginning_is_cached_told_and_not_charged(tmp_path: Path) -> None:
    """Cached tokens do not count towards rate limits."""
    world = world_of_all()
    simulated_groq(world)
    system = "You know all about harbours. " * 120
    key = world.engine.key("groq", SMALL)
    for attempt in range(2):
        text, found = await called(world, tmp_path, "groq_chat", prompt="hi", system=system, model=SMALL, max_tokens=64)
        assert (found["usage"]["cached_tokens"] > 0) is (attempt == 1), text
    assert " cached)" in text
    from groq_fallback_mcp.quota import Claim

    (quota,) = await world.engine.ledger.peek([Claim(key=key, cost={}, documented=CATALOG.limits(SMALL, "developer"))])
    assert quota.buckets[Limit.TPM].capacity - quota.buckets[Limit.TPM].level < found["usage"]["input_tokens"] * 1.5


@pytest.mark.covers("advice/Token usage", "advice/Bounded answers", "advice/Small model")
async def test_usage_is_told_and_a_bound_is_kept(tmp_path: Path) -> None:
    """As the provider counted it."""
    world = world_of_all()
    simulated_groq(world)
    _, found = await called(world, tmp_path, "groq_chat", prompt="hi " * 50, use_case="fast", max_tokens=8)
    assert found["usage"]["output_tokens"] <= 8
    assert found["usage"]["input_tokens"] > 20
    assert found["finish_reason"] == "length"
    assert found["model"] == SMALL


@pytest.mark.covers("advice/Usual window", "advice/Largest window")
async def test_windows_are_listed_also_of_models_that_ended(tmp_path: Path) -> None:
    """131,072 for most; the largest one ended."""
    _, found = await called(world_of_all(), tmp_path, "list_models", include_retired=True)
    windows = {row["id"]: row.get("context_window") for row in found["models"]}
    assert windows["moonshotai/kimi-k2-instruct-0905"] == 262_144
    assert list(windows.values()).count(131_072) >= 8


@pytest.mark.covers("advice/Streaming")
async def test_a_watched_answer_is_streamed(tmp_path: Path) -> None:
    """With the time to its first token."""
    world = world_of_all()
    app = simulated_groq(world)

    async def progress(done: float, total: float | None, message: str | None) -> None:
        """Somebody watches."""

    async with connected(world, mode="legacy") as client:
        result = await client.call_tool("groq_chat", {"prompt": "hi"}, progress_callback=progress)
    assert result.structured_content is not None
    assert "first_token_s" in result.structured_content
    assert app.state.world.calls


@pytest.mark.covers("advice/Turbo transcription")
async def test_the_cheaper_whisper_comes_first(tmp_path: Path) -> None:
    """2.7 times cheaper."""
    (tmp_path / "speech.flac").write_bytes(sample_path().read_bytes())
    world = world_of_all()
    simulated_groq(world)
    _, found = await called(world, tmp_path, "transcribe", file="speech.flac")
    assert found["model"] == "whisper-large-v3-turbo"


@pytest.mark.covers("advice/RateLimitError", "advice/APIConnectionError", "advice/APIError")
@pytest.mark.parametrize(("kind", "code"), [("429", "rate_limited"), ("500", "all_failed"), ("gone", "unreachable")])
async def test_what_the_document_catches_is_told_with_what_to_do(tmp_path: Path, kind: Any, code: str) -> None:
    """In place of an exception in the agent's face."""
    world = World([provider_models("groq", [SMALL])])
    if kind == "gone":
        world.groq.default = failure(FailureKind.UNREACHABLE, sent=False)
    else:
        simulated_groq(world, SimulatorOptions(latency_scale=0.0, faults={"*": [Fault(kind=kind, seconds=120.0)]}))
    text, found = await called(world, tmp_path, "groq_chat", prompt="hi")
    assert found["error"]["code"] == code
    assert "Next step: " in text


@pytest.mark.covers("api/base_url")
def test_the_base_url_is_the_documented_one_with_or_without_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://api.groq.com/openai/v1."""
    assert Settings().base_url == "https://api.groq.com"
    monkeypatch.setenv("GROQ_BASE_URL", "https://api.groq.com/openai/v1")
    assert Settings().base_url == "https://api.groq.com"


def test_every_row_of_the_seed_has_a_name_of_its_own() -> None:
    """docs/api-coverage.md is made of them."""
    names = [row.name for row in seed_rows(CATALOG)]
    assert len(names) == len(set(names)) > 60
