"""list_models and check_limits: the catalog under the live list, and the ledger in figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from fakes import CATALOG, GROQ_CHAT_MODELS, World, answer, provider_models, rate_limited
from servers import connected, text_of

from groq_fallback_mcp.call import (
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    LimitReading,
    Pool,
    QuotaSnapshot,
    Refilling,
    Restrictions,
)
from groq_fallback_mcp.catalog import FREE, Stage
from groq_fallback_mcp.providers.base import LiveModel
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota.budget import Budget

pytestmark = pytest.mark.anyio
FIRST, SECOND, THIRD = GROQ_CHAT_MODELS


class FakeGroq:
    """Only its live list."""

    def __init__(self, *outcomes: tuple[LiveModel, ...] | Failure) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0

    async def live_models(self, *, timeout_s: float) -> tuple[LiveModel, ...] | Failure:
        """In turn, the last for ever."""
        self.calls += 1
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


def live(*ids: str, active: bool = True) -> tuple[LiveModel, ...]:
    """Rows of a live list."""
    return tuple(LiveModel(id=id_, active=active, context_window=8192, max_completion_tokens=4096) for id_ in ids)


def with_live_list(groq: FakeGroq) -> World:
    """A world whose Groq has a live list."""
    world = World()
    world.engine.registry = ProviderRegistry(
        providers=world.providers,
        models=world.offers,
        organizations={},
        clock=world.clock,
        groq=groq,  # type: ignore[arg-type]
        cataloged=CATALOG.models,
    )
    return world


async def listed(world: World, **arguments: object) -> dict[str, dict[str, object]]:
    """The entries by id, of all models unless the arguments choose some."""
    async with connected(world) as client:
        result = await client.call_tool("list_models", arguments or {"all": True})
    assert result.structured_content is not None, text_of(result)
    return {entry["id"]: entry for entry in result.structured_content["models"]}


async def test_without_a_live_list_the_catalog_is_shown_and_the_lack_is_said() -> None:
    """The reason too."""
    world = with_live_list(FakeGroq(Failure(kind=FailureKind.UNREACHABLE, message="connection refused", sent=False)))
    async with connected(world) as client:
        text = text_of(await client.call_tool("list_models", {}))
    assert "could not be read (connection refused), so this is the built-in catalog only" in text
    assert FIRST in text


async def test_the_live_list_is_laid_over_the_catalog() -> None:
    """Listed or not, unknown ones, and retired ones that still answer."""
    groq = FakeGroq(live(FIRST, "brand/new-model", "llama-3.3-70b-versatile"))
    world = with_live_list(groq)
    entries = await listed(world)
    assert entries[FIRST]["available"] == "now"
    assert entries[SECOND]["available"] == "no, not in the live list"
    assert entries["brand/new-model"]["context_window"] == 8192
    await listed(world)
    assert groq.calls == 1
    assert "llama-3.3-70b-versatile" not in (await listed(world, stage="retired"))


@pytest.mark.parametrize("ids", [(), ("groq/openai/gpt-oss-20b",)])
async def test_a_live_list_of_other_names_takes_no_model_away(ids: tuple[str, ...]) -> None:
    """An empty one, or a proxy's: it would end every model at once."""
    world = with_live_list(FakeGroq(live(*ids)))
    assert (await listed(world))[FIRST]["available"] == "now"
    assert (await world.engine.plan(ChatRequest(messages=({"role": "user", "content": "hi"},)))).candidates[0].model == FIRST


async def test_a_model_only_the_live_list_knows_can_be_asked_by_name() -> None:
    """New models come faster than catalogs."""
    world = with_live_list(FakeGroq(live(FIRST, "brand/new-model")))
    await listed(world)
    async with connected(world) as client:
        result = await client.call_tool("groq_chat", {"prompt": "hi", "model": "brand/new-model"})
    assert not result.is_error
    assert world.groq.asked == ["brand/new-model"]


async def test_without_a_key_no_model_is_available() -> None:
    """An agent believes the rows."""
    world = World()
    world.groq.why_unready = "no key is set"
    assert (await listed(world))[FIRST]["available"] == "no, no key is set"


async def test_an_older_list_stays_when_a_newer_reading_fails() -> None:
    """And says so."""
    world = with_live_list(FakeGroq(live(FIRST), Failure(kind=FailureKind.TIMED_OUT, message="too slow")))
    await listed(world)
    world.clock.advance(601)
    async with connected(world) as client:
        text = text_of(await client.call_tool("list_models", {}))
    assert "read 601 s ago (refresh failed: too slow)" in text


async def test_retired_models_are_shown_with_their_successors_when_asked_for() -> None:
    """And hidden otherwise."""
    entries = await listed(World(), include_retired=True)
    retired = entries["llama-3.1-8b-instant"]
    assert retired["stage"] == Stage.RETIRED
    assert (retired["shut_down_on"], retired["successor"]) == ("2026-08-16", FIRST)
    assert retired["available"] == "no, shut down"
    assert "llama-3.1-8b-instant" not in await listed(World())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kind": "guard"}, {"meta-llama/llama-prompt-guard-2-22m", "meta-llama/llama-prompt-guard-2-86m"}),
        ({"kind": "speech_to_text"}, {"whisper-large-v3", "whisper-large-v3-turbo"}),
        ({"use_case": "translation"}, {"whisper-large-v3"}),
        ({"kind": "chat", "stage": "production"}, {FIRST, SECOND}),
    ],
)
async def test_models_are_filtered_by_kind_stage_and_use_case(arguments: dict[str, object], expected: set[str]) -> None:
    """Together."""
    assert set(await listed(World(), **arguments)) == expected


async def test_an_entry_has_price_speed_context_limits_and_capabilities() -> None:
    """All that a choice needs."""
    entry = (await listed(World()))[SECOND]
    assert entry["price_usd"] == {
        "input_usd_per_mtok": "0.15",
        "cached_input_usd_per_mtok": "0.075",
        "output_usd_per_mtok": "0.60",
    }
    assert (entry["speed_tps"], entry["context_window"], entry["max_completion_tokens"]) == (500, 131072, 65536)
    assert entry["limits"] == {"rpm": 30, "rpd": 1000, "tpm": 8000, "tpd": 200000}
    assert {"tools", "json_schema", "reasoning(low|medium|high)", "browser_search"} <= set(entry["capabilities"])  # type: ignore[call-overload]
    assert "reasoning" in entry["use_cases"]  # type: ignore[operator]


async def test_the_price_of_a_provider_s_model_is_the_same_in_both_views() -> None:
    """Free is a price, too."""
    offer = provider_models("other", ["free-model"])
    offer = replace(offer, models={name: replace(one, price=FREE) for name, one in offer.models.items()})
    world = World([provider_models("groq", GROQ_CHAT_MODELS), offer])
    first = (await listed(world, all=False))["free-model"]
    assert (await listed(world))["free-model"]["price_usd"]["input_usd_per_mtok"] == first["input_usd_per_mtok"] == "0"  # type: ignore[index]


async def test_a_cooling_model_says_when_it_can_serve() -> None:
    """Availability is that of this moment."""
    world = World()
    world.groq.script(FIRST, rate_limited(17.0))
    await world.engine.serve(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    available = (await listed(world))[FIRST]["available"]
    assert str(available).startswith("in 1")
    assert "rate limited (tokens per minute)" in str(available)


async def limits(world: World, **arguments: object) -> dict[str, object]:
    """The structured result of check_limits."""
    async with connected(world) as client:
        result = await client.call_tool("check_limits", arguments)
    assert result.structured_content is not None, text_of(result)
    return result.structured_content


async def test_limits_say_what_is_left_and_how_many_calls_fit() -> None:
    """8,000 tokens a minute hold five calls of 1,500; three models hold fifteen."""
    world = World()
    result = await limits(world, all=True)
    first = next(model for model in result["models"] if model["model"] == FIRST)  # type: ignore[attr-defined]
    assert (first["calls_now"], first["next_call_in_s"], result["calls_now_all_models"]) == (5, 0, 15)
    assert {entry["limit"]: entry["knowledge"] for entry in first["limits"]} == dict.fromkeys(
        ("rpm", "rpd", "tpm", "tpd"), "documented"
    )
    assert world.groq.calls == []


async def test_a_model_that_is_asked_by_name_only_does_not_count_among_the_calls_left() -> None:
    """Such as a moderation model: no fallback ends there."""
    with_guard = World([provider_models("groq", [FIRST, "openai/gpt-oss-safeguard-20b"])])
    assert (await limits(with_guard))["calls_now_all_models"] == 5


async def test_models_that_share_a_limit_count_once_among_the_calls_left() -> None:
    """OpenRouter's free models have 20 requests a minute together, not each."""
    pool = Pool(name="free models", documented={Limit.RPM: 20})
    free = provider_models("openrouter", ["a:free", "b:free"])
    shared = replace(free, models={name: replace(one, pool=pool) for name, one in free.models.items()})
    world = World([provider_models("groq", [FIRST]), shared])
    assert (await limits(world))["calls_now_all_models"] == 5 + 20


async def test_limits_after_a_call_say_what_was_observed_and_what_is_cooling() -> None:
    """From headers and refusals."""
    world = World()
    reading = LimitReading(limit=Limit.RPD, capacity=1000, remaining=500)
    world.groq.script(FIRST, rate_limited(17.0))
    world.groq.script(SECOND, answer(quota=QuotaSnapshot(readings=(reading,))))
    await world.engine.serve(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    result = await limits(world, all=True)
    by_model = {model["model"]: model for model in result["models"]}  # type: ignore[attr-defined]
    assert by_model[FIRST]["cooldown_s"] == pytest.approx(17.0, abs=0.3)
    assert by_model[FIRST]["calls_now"] == 0
    knowledge = {entry["limit"]: (entry["level"], entry["knowledge"]) for entry in by_model[SECOND]["limits"]}
    assert knowledge["rpd"] == (500, "observed")


async def test_a_long_wait_is_told_in_hours_and_minutes() -> None:
    """Until a day's requests are there again, say."""
    world = World()
    reading = LimitReading(limit=Limit.RPD, capacity=1000, remaining=500)
    world.groq.script(FIRST, answer(quota=QuotaSnapshot(readings=(reading,))))
    await world.engine.serve(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    async with connected(world) as client:
        text = text_of(await client.call_tool("check_limits", {"model": FIRST}))
    assert "full in 12h0m1s" in text


async def test_limits_plan_how_many_calls_fit_now_and_when_the_next_one_does() -> None:
    """Five calls of 1,500 leave 500 of 8,000 tokens: the sixth fits 7.5 s later."""
    world = World()
    async with connected(world) as client:
        text = text_of(await client.call_tool("check_limits", {"model": FIRST}))
    assert f"{FIRST}: 5 calls now, the next in 7.5 s" in text
    assert "Rate limits (this process only)" in text


async def test_limits_that_nothing_is_known_of_are_named_unknown() -> None:
    """Beside those that are known."""
    world = World([provider_models("groq", [FIRST], documented={Limit.TPM: 8000})])
    async with connected(world) as client:
        result = await client.call_tool("check_limits", {"all": True})
    assert "rpm, rpd, tpd [unknown]" in text_of(result)
    assert result.structured_content is not None
    assert result.structured_content["models"][0]["unknown_limits"] == ["rpm", "rpd", "tpd"]


async def test_limits_tell_what_was_spent_today_and_of_which_budget() -> None:
    """In USD by the catalog's prices, and in tokens."""
    world = World(budget=Budget(picousd=5 * 10**12, tokens=10_000))
    world.groq.default = answer(tokens=1_000)
    await world.engine.serve(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    spent = (await limits(world))["spent"]
    assert isinstance(spent, dict)
    assert (spent["calls"], spent["tokens"], spent["budget_usd"], spent["budget_tokens"]) == (1, 1_000, "5.000000", 10_000)
    price = CATALOG.models[FIRST].price
    assert price.input_usd_per_mtok is not None
    assert price.output_usd_per_mtok is not None
    assert Decimal(spent["usd"]) == ((price.input_usd_per_mtok + price.output_usd_per_mtok) * 500 / 10**6).quantize(
        Decimal("0.000001")
    )
    async with connected(world) as client:
        text = text_of(await client.call_tool("check_limits", {}))
    assert "of 5.000000 USD, 1000 of 10000 tokens in 1 call." in text


async def test_what_cannot_be_asked_has_no_calls_left() -> None:
    """Without a key, and after a shutdown."""
    world = World()
    world.groq.why_unready = "no key is set"
    keyless = await limits(world)
    assert {model["blocked_by"] for model in keyless["models"]} == {"no key is set"}  # type: ignore[attr-defined]
    assert keyless["calls_now_all_models"] == 0
    ready = World([provider_models("groq", ["llama-3.1-8b-instant"])])
    retired = (await limits(ready, model="llama-3.1-8b-instant"))["models"][0]  # type: ignore[index]
    assert (retired["blocked_by"], retired["calls_now"]) == ("shut down", 0)


async def test_a_call_that_never_fits_is_told() -> None:
    """Larger than the whole bucket."""
    world = World()
    async with connected(world) as client:
        text = text_of(await client.call_tool("check_limits", {"model": FIRST, "tokens": 9000}))
    assert "never (9,000 in one call exceed the limit of 8,000 tokens per minute)" in text


async def test_a_probe_is_the_only_thing_that_sends() -> None:
    """One tiny request to the model named."""
    world = World()
    reading = LimitReading(limit=Limit.TPM, capacity=250_000, remaining=249_000)
    world.groq.script(SECOND, answer(quota=QuotaSnapshot(readings=(reading,))))
    result = await limits(world, model=SECOND, probe=True)
    assert world.groq.asked == [SECOND]
    assert result["probe"] == "1 limit read"
    entry = next(entry for entry in result["models"][0]["limits"] if entry["limit"] == "tpm")  # type: ignore[index]
    assert (entry["capacity"], entry["knowledge"]) == (250_000, "learnt")
    world.groq.script(SECOND, Failure(kind=FailureKind.MODEL_GONE, message="it does not exist", status=404))
    assert "model_gone: it does not exist" in str((await limits(world, model=SECOND, probe=True))["probe"])


async def test_a_speech_model_cannot_be_probed_with_a_chat() -> None:
    """Told, not sent."""
    world = World()
    async with connected(world) as client:
        result = await client.call_tool("check_limits", {"model": "whisper-large-v3", "probe": True})
    assert world.groq.asked == []
    assert "whisper-large-v3" in text_of(result)


async def test_a_provider_without_known_limits_is_unlimited_as_far_as_known() -> None:
    """Nothing is made up."""
    world = World([provider_models("mine", ["my-model"])])
    async with connected(world) as client:
        text = text_of(await client.call_tool("check_limits", {}))
        every = text_of(await client.call_tool("check_limits", {"all": True}))
    assert text.endswith("- mine/my-model: no known limit")
    assert every.endswith("- mine/my-model: no known limit")
    assert (await limits(World([])))["models"] == []


CHAIN = [f"groq/{model}" for model in GROQ_CHAT_MODELS]


def rows(text: str) -> list[str]:
    """The models that a text lists, in order."""
    return [line[2:].split(": ")[0] for line in text.splitlines() if line.startswith("- ")]


@pytest.mark.parametrize("tool", ["list_models", "check_limits"])
async def test_both_tools_show_the_chain_of_a_chat_call_in_its_order_unless_asked_for_more(tool: str) -> None:
    """The speech models are with `all` only."""
    world = World()
    async with connected(world) as client:
        text = text_of(await client.call_tool(tool, {}))
        every = text_of(await client.call_tool(tool, {"all": True}))
        plan = await world.engine.plan(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    assert rows(text) == CHAIN == [f"{one.provider}/{one.model}" for one in plan.candidates]
    assert {*CHAIN, "groq/whisper-large-v3"} <= set(rows(every))


async def test_a_model_without_room_says_when_its_next_call_fits() -> None:
    """In the short rows too."""
    world = World()
    world.groq.script(FIRST, rate_limited(17.0))
    await world.engine.serve(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    async with connected(world) as client:
        result = await client.call_tool("check_limits", {})
    assert f"- groq/{FIRST}: next call in 1" in text_of(result)
    first = (result.structured_content or {})["models"][0]
    assert (first["calls_now"], first["next_call_in_s"]) == (0, pytest.approx(17.0, abs=0.3))


async def test_spending_is_shown_only_where_something_was_spent_or_a_budget_is_set() -> None:
    """Nothing spent is no news."""
    world = World()
    assert "spent" not in await limits(world)
    world.groq.default = answer(tokens=1_000)
    await world.engine.serve(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    assert "spent" in await limits(world)
    assert "spent" in await limits(World(budget=Budget(tokens=10_000)))


async def test_a_long_chain_is_cut_after_its_first_models() -> None:
    """They are the ones that will serve; the rest is counted."""
    world = World([provider_models(name, GROQ_CHAT_MODELS) for name in ("groq", "one", "two")])
    async with connected(world) as client:
        found = await client.call_tool("check_limits", {})
        models = await client.call_tool("list_models", {})
    assert (len(rows(text_of(found))), (found.structured_content or {})["more_models"]) == (5, 4)
    assert "And 4 more (all: true)." in text_of(found)
    assert len(rows(text_of(models))) == 6


async def test_a_model_that_cannot_serve_shows_no_limits() -> None:
    """They would look like room."""
    world = World()
    world.groq.why_unready = "no key is set"
    row = (await limits(world))["models"][0]  # type: ignore[index]
    assert (row["available"], "left" in row) == (False, False)


def test_the_test_date_is_after_the_shutdowns() -> None:
    """The tests above rely on it."""
    assert CATALOG.stage("llama-3.1-8b-instant", date(2026, 11, 18)) is Stage.RETIRED


async def test_limits_of_a_pool_are_named_once_and_counted_once() -> None:
    """Two free models of one account: three calls a minute, whichever is called; one call a minute has gone."""
    pool = Pool(name="free models", documented={Limit.RPM: 3, Limit.RPH: 200, Limit.RPD: 5_000_000})
    offer = provider_models("elsewhere", ("a", "b"))
    offer = replace(
        offer,
        models={
            name: replace(model, pool=pool, refilling=Refilling(windows="sliding", day_ends="UTC"))
            for name, model in offer.models.items()
        },
    )
    world = World([offer])
    await world.engine.serve(ChatRequest(messages=({"role": "user", "content": "hi"},)))
    found = await limits(world, all=True)
    models = found["models"]
    assert isinstance(models, list)
    assert [model["calls_now"] for model in models] == [2, 2]
    assert found["calls_now_all_models"] == 2
    rpm = next(entry for entry in models[0]["limits"] if entry["limit"] == "rpm")
    assert (rpm["shared_by"], rpm["level"], rpm["refill_per_s"], rpm["full_in_s"]) == (
        "free models",
        2,
        0,
        pytest.approx(61, abs=2),
    )
    assert models[0]["unknown_limits"] == []
    async with connected(world) as client:
        text = text_of(await client.call_tool("check_limits", {"all": True}))
    assert "rpm 2/3 shared by free models full in" in text
    assert "rpd 4999999/5000000 shared by free models" in text


async def test_limits_are_those_of_the_provider_that_is_named() -> None:
    """Of a model that two have, one."""
    world = World([provider_models(name, [FIRST]) for name in ("groq", "mine")])
    for name, providers in ((FIRST, ["groq", "mine"]), (f"mine/{FIRST}", ["mine"]), (f"groq/{FIRST}", ["groq"])):
        models: Any = (await limits(world, model=name))["models"]
        assert [row["provider"] for row in models] == providers, name


@pytest.mark.parametrize(
    ("restrictions", "why"),
    [
        (Restrictions(no_training=True), "it trains on prompts (data_policy is no-training)"),
        (Restrictions(no_preview=True), "it is a preview model (no_preview is set)"),
    ],
)
async def test_a_model_that_the_settings_forbid_is_shown_as_such_and_does_not_count(
    restrictions: Restrictions, why: str
) -> None:
    """Every call would refuse it, however much of its limits is left."""
    offer = replace(provider_models("other", ["theirs"], documented={Limit.RPM: 30}), data_policy="trains")
    (theirs,) = offer.models.values()
    theirs = replace(theirs, row=theirs.row.model_copy(update={"stage": Stage.PREVIEW}))
    ours = provider_models("groq", [FIRST], documented={Limit.RPM: 2})
    world = World([ours, replace(offer, models={"theirs": theirs})])
    world.engine.restrictions = restrictions

    assert (await listed(world))["theirs"]["available"] == f"no, {why}"
    found = await limits(world, all=True)
    rows: Any = found["models"]
    entry = next(row for row in rows if row["model"] == "theirs")
    assert (entry["available"], entry["blocked_by"], entry["calls_now"]) == (False, why, 0)
    assert found["calls_now_all_models"] == 2
