"""Which providers there are, in which order, and what each offers, by the settings."""

from __future__ import annotations

import asyncio

import anyio
import httpx2
import pytest
from fake_clock import FakeClock
from fakes import candidate

from groq_fallback_mcp.call import ChatRequest, FailureKind, Limit, Pool
from groq_fallback_mcp.catalog import FREE, Kind, Price, load_catalog
from groq_fallback_mcp.catalog.toml_files import _shipped_providers
from groq_fallback_mcp.providers.endpoints import endpoint_models, endpoint_of
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.registry import KEY_HINT, REFUSED_LIFE_S, ProviderRegistry, build_registry
from groq_fallback_mcp.settings import EndpointSettings, Settings

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
PROXY = EndpointSettings(
    name="litellm",
    base_url="http://127.0.0.1:4000/v1",
    key_env="LITELLM_API_KEY",
    prefix="groq/",
    models=("openai/gpt-oss-20b", "my-own-model", "my-whisper"),
    speech_models=("my-whisper",),
)


def registry(**fields: object) -> ProviderRegistry:
    """The providers under these settings."""
    return build_registry(Settings.model_validate({"GROQ_API_KEY": "gsk_a", **fields}), catalog=CATALOG, clock=FakeClock())


def test_groq_comes_first_then_the_endpoints_then_local_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the file."""
    monkeypatch.setattr(
        "groq_fallback_mcp.providers.local.provider.available_models",
        lambda gguf=None: ("local/smollm2-135m", "local/whisper-tiny.en"),
    )
    offers = registry(providers=(PROXY,)).models()
    assert [offer.name for offer in offers] == ["groq", "litellm", "local"]
    assert {name: offered.row.kind for name, offered in offers[2].models.items()} == {
        "local/smollm2-135m": Kind.CHAT,
        "local/whisper-tiny.en": Kind.SPEECH_TO_TEXT,
    }


def test_what_groq_runs_beside_a_model_and_asks_for_it_holds_nowhere_else() -> None:
    """A model of that name there has the window that the user gives."""
    own = {"name": "mine", "base_url": "https://mine.test/v1", "models": ("openai/gpt-oss-20b",), "context_window": 32_768}
    groq, mine = registry(local="off", providers=(EndpointSettings.model_validate(own),)).models()
    here, there = groq.models["openai/gpt-oss-20b"].row, mine.models["openai/gpt-oss-20b"].row
    assert here.capabilities.builtin_tools
    assert (there.capabilities.builtin_tools, there.capabilities.reasoning_format) == ((), False)
    assert (there.price, there.speed_tps, there.context_window) == (Price(), None, 32_768)
    assert there.capabilities.tools


@pytest.mark.parametrize(
    ("given", "here"),
    [
        ({"name": "litellm", "preset": "litellm"}, False),
        ({"name": "mine", "base_url": "http://127.0.0.1:4000/v1", "cost": "paid"}, False),
        ({"name": "mine", "base_url": "http://127.0.0.1:4000/v1"}, True),
        ({"name": "ollama", "preset": "ollama"}, True),
    ],
)
def test_a_proxy_on_this_machine_is_not_local(given: dict[str, str], here: bool) -> None:
    """It passes prompts on, which `local_only` forbids."""
    offer = registry(local="off", providers=(EndpointSettings.model_validate(given),)).models()[1]
    assert offer.on_this_machine is here


def test_local_models_may_be_switched_off_or_be_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """GROQ_FALLBACK_LOCAL."""
    monkeypatch.setattr(
        "groq_fallback_mcp.providers.local.provider.available_models", lambda gguf=None: ("local/smollm2-135m",)
    )
    assert list(registry(local="off").providers) == ["groq"]
    assert list(registry(local="only", providers=(PROXY,)).providers) == ["local"]


def test_an_endpoint_s_models_take_their_facts_from_the_catalog_where_it_knows_them() -> None:
    """And modest ones where it does not; the prefix goes on the wire only."""
    models = registry(local="off", providers=(PROXY,)).models()[1].models
    assert models["openai/gpt-oss-20b"].wire_model == "groq/openai/gpt-oss-20b"
    assert models["openai/gpt-oss-20b"].row.context_window == 131_072
    assert models["my-own-model"].row.context_window is None
    assert models["my-whisper"].row.kind is Kind.SPEECH_TO_TEXT
    assert models["my-own-model"].documented == {}


@pytest.mark.parametrize(("plan", "tpm", "upload_mb"), [("free", 8_000, 25), ("developer", 250_000, 100)])
def test_groq_s_models_have_the_limits_of_the_plan(plan: str, tpm: int, upload_mb: int) -> None:
    """Until others are learnt."""
    models = registry(local="off", plan=plan).models()[0].models
    assert models["openai/gpt-oss-120b"].documented[Limit.TPM] == tpm
    assert models["whisper-large-v3"].upload_mb == upload_mb


def test_an_organization_is_told_by_a_hash_never_by_the_key() -> None:
    """The same key has the same one, in every process."""
    one, again, other = registry(), registry(), registry(GROQ_API_KEY="gsk_b")
    assert one.organization("groq") == again.organization("groq") != other.organization("groq")
    assert "gsk" not in one.organization("groq")


async def test_without_a_key_groq_is_unready_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """As is an endpoint whose variable is empty."""
    keyless = registry(GROQ_API_KEY="", providers=(PROXY,), local="off")
    assert keyless.providers["groq"].unready == KEY_HINT
    assert keyless.providers["litellm"].unready == "no API key: LITELLM_API_KEY is not set"
    monkeypatch.setenv("LITELLM_API_KEY", "sk-1")
    assert registry(providers=(PROXY,)).providers["litellm"].unready is None
    await keyless.aclose()


async def test_other_endpoints_are_sent_max_tokens_by_its_older_name() -> None:
    """Many know only that one."""
    bodies: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.content)
        return httpx2.Response(200, json={"choices": [{"message": {"content": "x"}}]})

    endpoint = OpenAICompatible(
        "mine",
        base_url="https://mine.test/v1",
        key=None,
        clock=FakeClock(),
        groq=False,
        transport=httpx2.MockTransport(handler),
    )
    request = ChatRequest(messages=({"role": "user", "content": "hi"},))
    await endpoint.chat(request, candidate("m", max_tokens=9), timeout_s=5)
    await endpoint.aclose()
    assert b'"max_tokens":9' in bodies[0]


def listing(*rows: dict[str, object], asked: list[httpx2.Request] | None = None) -> httpx2.MockTransport:
    """An endpoint that serves this list of models."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        if asked is not None:
            asked.append(request)
        return httpx2.Response(200, json={"object": "list", "data": rows})

    return httpx2.MockTransport(handler)


def with_list(providers: ProviderRegistry, name: str, transport: httpx2.MockTransport) -> ProviderRegistry:
    """The registry, one of whose endpoints is in memory."""
    endpoint = providers.providers[name]
    assert isinstance(endpoint, OpenAICompatible)
    endpoint._transport = transport
    return providers


async def test_of_an_endpoint_given_by_its_address_alone_the_list_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its key, its models' windows and prices; it is read again after ten minutes."""
    monkeypatch.setenv("FAR_KEY", "sk-of-far")
    clock, asked = FakeClock(), list[httpx2.Request]()
    far = EndpointSettings(name="far", base_url="https://far.test/v1", key_env="FAR_KEY")
    settings = Settings.model_validate({"GROQ_API_KEY": "gsk_a", "providers": (far,), "local": "off"})
    rows = ({"id": "paid", "context_length": 65_536}, {"id": "b:free", "context_length": 32_768}, {"id": "my-embed"})
    providers = with_list(build_registry(settings, catalog=CATALOG, clock=clock), "far", listing(*rows, asked=asked))
    for _ in range(3):
        await providers.refresh()
    found = providers.models()[1]
    assert {name: (one.row.context_window, one.cost, one.price) for name, one in found.models.items()} == {
        "b:free": (32_768, "free", FREE),
        "paid": (65_536, "paid", None),
    }
    assert [(str(one.url), one.headers["authorization"]) for one in asked] == [
        ("https://far.test/v1/models", "Bearer sk-of-far")
    ]
    clock.advance(600.0)
    await providers.refresh(lists=True)
    assert len(asked) == 2
    await providers.aclose()


async def test_a_list_that_quotes_the_key_brings_it_into_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger keeps what it knows of a model under its name."""
    monkeypatch.setenv("FAR_KEY", "plain-key-of-far-0123")
    far = EndpointSettings(name="far", base_url="https://far.test/v1", key_env="FAR_KEY")
    rows = ({"id": "m"}, {"id": "m-plain-key-of-far-0123"})
    providers = with_list(registry(providers=(far,), local="off"), "far", listing(*rows))
    await providers.refresh()
    assert list(providers.models()[1].models) == ["m"]
    await providers.aclose()


async def test_a_list_that_does_not_come_holds_up_one_call_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that Groq serves wait for it, too."""
    monkeypatch.setattr("groq_fallback_mcp.providers.discovery.LIST_WAIT_S", 0.05)
    waits: list[object] = []

    async def counted(tasks: set[asyncio.Task[None]], *, timeout: float) -> object:  # noqa: ASYNC109 - asyncio's own name
        waits.append(timeout)
        return await wait(tasks, timeout=timeout)

    async def never(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        return httpx2.Response(200)

    wait = asyncio.wait
    monkeypatch.setattr(asyncio, "wait", counted)
    far = EndpointSettings(name="far", base_url="https://far.test/v1")
    providers = with_list(registry(providers=(far,), local="off"), "far", httpx2.MockTransport(never))
    for _ in range(3):
        await providers.refresh()
    assert len(waits) == 1
    await providers.aclose()


async def test_the_start_reads_no_file_of_providers() -> None:
    """It takes 24 ms; the first look reads it, where it was not read beside the start."""
    _shipped_providers.cache_clear()
    providers = registry(local="off", find_local_servers=True)
    providers.models()
    assert _shipped_providers.cache_info().misses == 0
    await providers.refresh(local=True)
    assert _shipped_providers.cache_info().misses == 1
    await providers.aclose()


async def test_lists_are_waited_for_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait may take two seconds: the first ends here only once the second has begun."""
    begun, wait = 0, asyncio.wait
    both = asyncio.Event()

    async def counted(tasks: set[asyncio.Task[None]], *, timeout: float) -> object:  # noqa: ASYNC109 - asyncio's own name
        nonlocal begun
        begun += 1
        if begun == 2:
            both.set()
        await both.wait()
        return await wait(tasks, timeout=timeout)

    monkeypatch.setattr(asyncio, "wait", counted)
    far = [EndpointSettings(name=name, base_url=f"https://{name}.test/v1") for name in ("first", "second")]
    providers = registry(providers=tuple(far), local="off")
    for name in ("first", "second"):
        with_list(providers, name, listing({"id": "m"}))
    with anyio.fail_after(5.0):
        await providers.refresh()
    assert [list(provider.models) for provider in providers.models()[1:]] == [["m"], ["m"]]
    await providers.aclose()


async def test_a_look_at_this_machine_sends_nothing_beyond_it() -> None:
    """Setup looks only at what runs here."""
    asked = list[httpx2.Request]()
    far = EndpointSettings(name="far", base_url="https://far.test/v1")
    providers = with_list(registry(providers=(far,), local="off"), "far", listing({"id": "m"}, asked=asked))
    await providers.refresh(local=True, patient=True)
    assert asked == []
    await providers.refresh()
    assert len(asked) == 1
    await providers.aclose()


async def test_of_a_long_list_a_few_models_serve_unasked_and_the_others_by_name() -> None:
    """A call does not try four hundred models in turn."""
    far = EndpointSettings(name="far", base_url="https://far.test/v1")
    providers = with_list(registry(providers=(far,), local="off"), "far", listing(*({"id": f"m{n}"} for n in range(40))))
    await providers.refresh()
    found = providers.models()[1]
    assert len(found.models) == 40
    assert len(found.by_name_only) == 32
    await providers.aclose()


async def test_a_preset_keeps_the_models_that_its_list_has() -> None:
    """A list of other names, such as a proxy's, says nothing of them."""
    preset = EndpointSettings(preset="openrouter", name="openrouter", key_env="")
    model, offered = next(iter(registry(providers=(preset,), local="off").models()[1].models.items()))
    known = {"id": offered.wire_model, "context_length": 100_000}
    kept = with_list(registry(providers=(preset,), local="off"), "openrouter", listing(known, {"id": "x/y"}))
    strange = with_list(registry(providers=(preset,), local="off"), "openrouter", listing({"id": "x/y"}))
    for providers in (kept, strange):
        endpoint = providers.providers["openrouter"]
        assert isinstance(endpoint, OpenAICompatible)
        endpoint._missing_key = None
    before = list(strange.models()[1].models)
    await kept.refresh()
    assert list(kept.models()[1].models) == before
    await kept.refresh(lists=True)
    await strange.refresh(lists=True)
    assert {name: one.row.context_window for name, one in kept.models()[1].models.items()} == {model: 100_000}
    assert list(strange.models()[1].models) == before
    await kept.aclose()
    await strange.aclose()


async def test_an_endpoint_whose_list_cannot_be_read_offers_nothing_yet() -> None:
    """And is asked again some seconds later."""
    clock = FakeClock()
    far = EndpointSettings(name="far", base_url="https://far.test/v1")
    settings = Settings.model_validate({"GROQ_API_KEY": "gsk_a", "providers": (far,), "local": "off"})
    refusing = httpx2.MockTransport(lambda _: httpx2.Response(500))
    providers = with_list(build_registry(settings, catalog=CATALOG, clock=clock), "far", refusing)
    await providers.refresh()
    assert providers.models()[1].models == {}
    endpoint = providers.providers["far"]
    assert isinstance(endpoint, OpenAICompatible)
    endpoint._wire._transport = listing({"id": "m"})
    await providers.refresh()
    assert providers.models()[1].models == {}
    clock.advance(10.0)
    await providers.refresh()
    assert list(providers.models()[1].models) == ["m"]
    await providers.aclose()


def test_a_known_provider_s_address_alone_is_spoken_to_in_its_words() -> None:
    """Nobody knows what plan the account has, so no limit is assumed; an address on this machine may be anything."""
    given = EndpointSettings(name="mine", base_url="https://api.cerebras.ai/v1", models={"m": "m"})
    endpoint = endpoint_of(given, CATALOG)
    assert (endpoint.row, endpoint.plan) == (CATALOG.providers["cerebras"], None)
    assert endpoint.cost == "paid"
    assert endpoint_models(endpoint, CATALOG).models["m"].documented == {}
    on_trial = endpoint_of(given.model_copy(update={"plan": "trial"}), CATALOG)
    assert endpoint_models(on_trial, CATALOG).models["m"].pool is not None
    here = CATALOG.providers["ollama"].base_url
    assert endpoint_of(EndpointSettings(name="here", base_url=here), CATALOG).row is None


def test_a_provider_whose_account_is_missing_is_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cloudflare's key alone does not do: prompts would go to an address with a gap in it."""
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "token_of_cloudflare")
    monkeypatch.delenv("CLOUDFLARE_ACCOUNT_ID", raising=False)
    found = registry(providers=[{"preset": "cloudflare"}]).providers["cloudflare"]
    assert found.unready == "CLOUDFLARE_ACCOUNT_ID is not set"


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({"preset": "cloudflare"}, "no-training"),
        ({"preset": "cloudflare", "base_url": "https://elsewhere.example/v1"}, "unknown"),
        ({"preset": "cloudflare", "base_url": "https://elsewhere.example/v1", "data_policy": "no-training"}, "no-training"),
        ({"preset": "gemini", "base_url": "http://127.0.0.1:4000/v1"}, "trains"),
        ({"name": "mine", "base_url": "http://127.0.0.1:4000/v1"}, "no-training"),
    ],
)
def test_what_a_provider_promises_holds_for_its_own_address(given: dict[str, str], policy: str) -> None:
    """Its preset may be used for the dialect of another host, which has promised nothing."""
    assert endpoint_of(EndpointSettings.model_validate(given), CATALOG).data_policy == policy


@pytest.mark.parametrize(
    ("given", "stays"),
    [
        ({"preset": "litellm"}, False),
        ({"preset": "gemini", "base_url": "http://127.0.0.1:4000/v1"}, False),
        ({"preset": "ollama"}, True),
        ({"preset": "jan"}, True),
        ({"name": "mine", "base_url": "http://127.0.0.1:4000/v1"}, True),
    ],
)
def test_a_proxy_on_this_machine_is_not_where_prompts_stay(given: dict[str, str], *, stays: bool) -> None:
    """A call that may not leave this machine would leave it through LiteLLM."""
    assert registry(local="off", providers=[given]).models()[1].on_this_machine is stays


def test_another_plan_of_the_same_key_has_limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemini's free plan refused twenty a day; the paid one must not inherit that."""
    monkeypatch.setenv("GEMINI_API_KEY", "AIza_of_this_test")
    plans = [registry(providers=[{"preset": "gemini", "plan": plan}]).organization("gemini") for plan in ("free", "paid")]
    assert plans[0] != plans[1]


def test_who_shares_a_limit_is_known_by_the_address_alone() -> None:
    """OpenRouter's free models, whatever the account's plan: a spent day is theirs, and not that of paid ones."""
    given = EndpointSettings(
        name="router",
        base_url="https://openrouter.ai/api/v1",
        models={"x:free": "x:free", "openai/gpt-oss-20b": "openai/gpt-oss-20b"},
    )
    models = endpoint_models(endpoint_of(given, CATALOG), CATALOG).models
    assert models["x:free"].pool == Pool(name="free models", documented={})
    assert models["openai/gpt-oss-20b"].pool is None


async def test_a_list_that_cannot_be_read_is_not_asked_for_at_every_look() -> None:
    """Who watches limits looks every second; a key that was mended is known some seconds later."""
    clock, asked = FakeClock(), 0
    status = 401

    def answer(_: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        asked += 1
        return httpx2.Response(status, json={"data": []} if status == 200 else {"error": {"message": "Invalid API Key"}})

    transport = httpx2.MockTransport(answer)
    groq = OpenAICompatible("groq", base_url="http://groq.test/v1", key="gsk_a", clock=clock, transport=transport)
    own = ProviderRegistry(providers={"groq": groq}, models=(), organizations={}, clock=clock, groq=groq)
    looks = [await own.refused(timeout_s=1.0) for _ in range(5)]
    assert (looks, asked) == ([FailureKind.AUTHENTICATION] * 5, 1)
    status = 200
    clock.advance(REFUSED_LIFE_S)
    assert (await own.refused(timeout_s=1.0), await own.refused(timeout_s=1.0), asked) == (None, None, 2)
