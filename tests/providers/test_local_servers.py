"""Servers on this machine are found by what they answer, looked at again, and never let a cut prompt pass for an answer."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest
from fake_clock import FakeClock
from local_servers import FakeServer, LlamaCpp, LmStudio, Model, Ollama, Vllm, catalog_with_ports, running
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, Success, Usage
from groq_fallback_mcp.catalog import Catalog, load_catalog
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers import local_servers
from groq_fallback_mcp.providers.local_servers import MOST_MODELS, LocalEndpoint, ServerWatch, was_cut
from groq_fallback_mcp.providers.registry import ProviderRegistry, build_registry
from groq_fallback_mcp.settings import EndpointSettings, Settings
from groq_fallback_mcp.simulator import run_simulator
from groq_fallback_mcp.simulator.other_providers import ProviderOptions, create_provider_app

pytestmark = pytest.mark.anyio
# read before the tests of a busy machine are given more
SHIPPED = {"LONGEST_LOOK_S": local_servers.LONGEST_LOOK_S, "PATIENT_LOOK_S": local_servers.PATIENT_LOOK_S}


def registry(catalog: Catalog, clock: FakeClock | None = None, **fields: object) -> ProviderRegistry:
    """The providers under these settings; Groq is at a port where nobody listens."""
    given = {
        "GROQ_API_KEY": "gsk_secret_of_groq",
        "GROQ_BASE_URL": "http://127.0.0.1:9",
        "find_local_servers": True,
        "local": "off",
    }
    return build_registry(Settings.model_validate(given | fields), catalog=catalog, clock=clock or FakeClock())


def offered(providers: ProviderRegistry) -> dict[str, list[tuple[str, int | None]]]:
    """The models of each provider but Groq, with their windows."""
    return {
        provider.name: [(name, model.row.context_window) for name, model in provider.models.items()]
        for provider in providers.models()
        if provider.name != "groq"
    }


async def free_port() -> int:
    """A port that nobody listens at."""
    async with running(LlamaCpp()) as port:
        return port


SERVERS: Sequence[tuple[str, FakeServer, list[tuple[str, int | None]]]] = [
    ("llamacpp", LlamaCpp(models=[Model(id="qwen3-8b", window=16_384)]), [("qwen3-8b", 16_384)]),
    (
        "ollama",
        Ollama(
            models=[
                Model(id="a:latest"),
                Model(id="b:8b", num_ctx=32_768),
                Model(id="e:1b", embeds=True),
                Model(id="c:4b", window=8_192),
            ]
        ),
        [("c:4b", 8_192), ("a", 4_096), ("b:8b", 32_768)],
    ),
    ("lmstudio", LmStudio(models=[Model(id="qwen3", window=8_192), Model(id="idle")]), [("qwen3", 8_192)]),
    ("lmstudio", LmStudio(newer=False, models=[Model(id="qwen3", window=8_192), Model(id="idle")]), [("qwen3", 8_192)]),
    ("vllm", Vllm(models=[Model(id="Qwen/Qwen3-8B", window=32_768)]), [("Qwen/Qwen3-8B", 32_768)]),
]


@pytest.mark.parametrize(("name", "server", "models"), SERVERS)
async def test_a_server_that_runs_is_a_provider_on_this_machine(
    name: str, server: FakeServer, models: list[tuple[str, int | None]]
) -> None:
    """With the window it has loaded; no key goes there."""
    async with running(server) as port:
        providers = registry(catalog_with_ports(**{name: port}))
        assert offered(providers) == {}
        await providers.refresh()
        assert offered(providers) == {name: models}
        found = providers.models()[-1]
        assert found.on_this_machine
        assert {model.cost for model in found.models.values()} == {"local"}
        await providers.aclose()
    assert set(server.keys) == {""}


async def test_it_comes_after_what_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """And before the local models of this process."""
    monkeypatch.setattr(
        "groq_fallback_mcp.providers.local.provider.available_models", lambda gguf=None: ("local/smollm2-135m",)
    )
    mine = EndpointSettings(name="mine", base_url="https://mine.test/v1", models=("m",))
    async with running(LlamaCpp(models=[Model(id="m", window=2_048)])) as port:
        providers = registry(catalog_with_ports(llamacpp=port), providers=(mine,), local="on")
        await providers.refresh()
        assert [provider.name for provider in providers.models()] == ["groq", "mine", "llamacpp", "local"]
        await providers.aclose()


async def test_nothing_is_looked_for_where_that_is_turned_off() -> None:
    """GROQ_FALLBACK_FIND_LOCAL_SERVERS=false."""
    server = LlamaCpp(models=[Model(id="m", window=2_048)])
    async with running(server) as port:
        providers = registry(catalog_with_ports(llamacpp=port), find_local_servers=False)
        await providers.refresh()
        assert offered(providers) == {}
        await providers.aclose()
    assert server.asked == []


class Other(FakeServer):
    """A web server that answers everything with a page."""

    def facts(self, path: str, body: dict[str, object]) -> Response | None:
        """A page."""
        del path, body
        return Response("<html>hello</html>", media_type="text/html")


@pytest.mark.parametrize(
    "server", [Other(), Vllm(owner="sglang", models=[Model(id="m", window=1_000)]), LlamaCpp(loading=True)]
)
async def test_another_server_at_the_port_is_ignored(server: FakeServer) -> None:
    """So is one that still loads, which is not there yet."""
    async with running(server) as port:
        providers = registry(catalog_with_ports(llamacpp=port, ollama=port, lmstudio=port, vllm=port))
        await providers.refresh()
        assert offered(providers) == {}
        assert providers.servers == ()
        await providers.aclose()


async def test_both_ports_of_a_server_are_looked_at() -> None:
    """The second one's provider is named with its port."""
    catalog = catalog_with_ports()
    async with (
        running(LlamaCpp(models=[Model(id="a", window=2_048)])) as first,
        running(LlamaCpp(models=[Model(id="b", window=4_096)])) as second,
    ):
        row = catalog.providers["llamacpp"]
        assert row.server is not None
        server = row.server.model_copy(update={"ports": (first, second)})
        catalog.providers["llamacpp"] = row.model_copy(update={"server": server})  # type: ignore[index]
        providers = registry(catalog)
        await providers.refresh()
        assert offered(providers) == {"llamacpp": [("a", 2_048)], f"llamacpp-{second}": [("b", 4_096)]}
        await providers.aclose()


async def test_what_is_configured_is_not_found_a_second_time() -> None:
    """By its address, or by its name."""
    async with running(LlamaCpp(models=[Model(id="a", window=2_048)])) as port:
        catalog = catalog_with_ports(llamacpp=port)
        same_address = EndpointSettings(name="mine", base_url=f"http://127.0.0.1:{port}/v1")
        providers = registry(catalog, providers=(same_address,))
        await providers.refresh()
        assert offered(providers) == {"mine": [("a", 2_048)]}
        same_name = EndpointSettings(preset="llamacpp", name="llamacpp", base_url="http://127.0.0.1:9/v1")
        named = registry(catalog, providers=(same_name,))
        await named.refresh()
        assert list(offered(named)) == ["llamacpp"]
        assert named.servers == ()
        await providers.aclose()
        await named.aclose()


async def test_a_preset_s_other_port_is_looked_at() -> None:
    """Who wrote only the preset loses no server at the port that llama.cpp had before."""
    async with running(LlamaCpp(models=[Model(id="a", window=2_048)])) as port:
        preset = EndpointSettings(preset="llamacpp", name="llamacpp")
        providers = registry(catalog_with_ports(llamacpp=port), providers=(preset,))
        await providers.refresh()
        assert offered(providers)[f"llamacpp-{port}"] == [("a", 2_048)]
        await providers.aclose()


async def test_a_look_is_believed_for_two_seconds() -> None:
    """Then the next call looks again: a server appears, loads another model, and goes."""
    clock, server, port = FakeClock(), LlamaCpp(models=[Model(id="a", window=2_048)]), await free_port()
    providers = registry(catalog_with_ports(llamacpp=port), clock)
    await providers.refresh()
    async with running(server, port=port):
        await providers.refresh()
        assert offered(providers) == {}
        clock.advance(2.0)
        await providers.refresh()
        assert offered(providers) == {"llamacpp": [("a", 2_048)]}
        server.models = [Model(id="b", window=4_096)]
        clock.advance(2.0)
        await providers.refresh()
        assert offered(providers) == {"llamacpp": [("b", 4_096)]}
    clock.advance(2.0)
    await providers.refresh()
    assert offered(providers) == {}
    await providers.aclose()


async def test_calls_at_the_same_time_share_a_look() -> None:
    """A burst does not become a burst of questions."""
    server = LlamaCpp(models=[Model(id="a", window=2_048)])
    async with running(server) as port:
        providers = registry(catalog_with_ports(llamacpp=port))
        await asyncio.gather(*(providers.refresh() for _ in range(20)))
        assert server.asked.count("/props") == 1
        await providers.aclose()


async def test_a_server_that_hangs_costs_little_and_is_then_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and says nothing."""
    for name, seconds in SHIPPED.items():
        monkeypatch.setattr(local_servers, name, seconds)
    clock = FakeClock()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        providers = registry(catalog_with_ports(llamacpp=port, ollama=port, lmstudio=port, vllm=port), clock)
        started = time.monotonic()
        await providers.refresh()
        assert time.monotonic() - started < 4.0
        clock.advance(11.0)
        started = time.monotonic()
        await providers.refresh()
        assert time.monotonic() - started < 1.5
        clock.advance(3.0)
        started = time.monotonic()
        await providers.refresh()
        assert time.monotonic() - started < 0.2
        await providers.aclose()


async def test_a_slow_server_is_found_by_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command makes no other look."""
    monkeypatch.setattr(local_servers, "LONGEST_LOOK_S", 0.0)
    async with running(LlamaCpp(models=[Model(id="gpt-oss-20b", window=65_536)])) as port:
        providers = registry(catalog_with_ports(llamacpp=port))
        await providers.refresh()
        assert "llamacpp" in providers.providers
        await providers.aclose()


async def test_a_configured_server_is_asked_for_its_real_window_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog's names for its models hold where it has them."""
    monkeypatch.setenv("MY_KEY", "sk-of-mine")
    server = Ollama(models=[Model(id="gpt-oss:20b", window=16_384), Model(id="b:8b")])
    async with running(server) as port:
        given = EndpointSettings(preset="ollama", name="ollama", base_url=f"http://127.0.0.1:{port}/v1", key_env="MY_KEY")
        providers = registry(catalog_with_ports(), providers=(given,))
        await providers.refresh()
        assert offered(providers) == {"ollama": [("openai/gpt-oss-20b", 16_384), ("b:8b", 4_096)]}
        await providers.aclose()
    assert set(server.keys) == {"Bearer sk-of-mine"}


async def test_models_that_the_user_names_stay_with_the_windows_that_are_read() -> None:
    """Whatever the server says it has."""
    async with running(Ollama(models=[Model(id="b:8b", window=8_192)])) as port:
        given = EndpointSettings(name="mine", base_url=f"http://127.0.0.1:{port}/v1", models=("b:8b", "later:1b"))
        providers = registry(catalog_with_ports(), providers=(given,))
        await providers.refresh()
        assert offered(providers) == {"mine": [("b:8b", 8_192), ("later:1b", None)]}
        await providers.aclose()


async def test_the_name_that_llama_cpp_s_preset_had_is_still_taken() -> None:
    """By calls that name it; the model is offered under its own."""
    async with running(LlamaCpp(models=[Model(id="qwen3-8b", window=16_384)])) as port:
        given = EndpointSettings(preset="llamacpp", name="llamacpp", base_url=f"http://127.0.0.1:{port}/v1")
        providers = registry(catalog_with_ports(), providers=(given,))
        await providers.refresh()
        found = providers.models()[-1]
        assert offered(providers)["llamacpp"] == [("qwen3-8b", 16_384), ("local-model", 16_384)]
        assert found.by_name_only == {"local-model"}
        await providers.aclose()


@pytest.mark.parametrize(
    ("read", "sent", "stated", "cut"),
    [
        (4_096, 12_000, 4_096, 4_096),
        (2_100, 12_000, 4_096, 4_096),
        (30_000, 90_000, 32_768, 32_768),
        (4_090, 12_000, 32_768, "unknown"),
        (4_090, 12_000, None, "unknown"),
        (9_000, 12_000, 4_096, None),
        (40, 12_000, 4_096, None),
        (400, 900, 4_096, None),
        # what was cached is not counted
        (2_100, 12_000, 32_768, None),
        (16_000, 30_000, 32_768, None),
    ],
)
def test_an_answer_to_a_prompt_that_was_cut_is_a_failure(read: int, sent: int, stated: int | None, cut: object) -> None:
    """Far fewer tokens than were sent, and about the window; one that the server does not state is not learned."""
    success = Success(model="m", text="hello", usage=Usage(input_tokens=read, output_tokens=5))
    found = was_cut(success, sent_tokens=sent, stated=stated, least=4_096)
    assert (None if found is None else found.context_window or "unknown") == cut
    assert found is None or found.kind is FailureKind.CONTEXT_TOO_LONG


async def test_images_that_are_read_as_few_tokens_are_no_cut_prompt() -> None:
    """Five of them are estimated at 8,000 tokens, and read here as none."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    text = {"type": "text", "text": "word " * 4_096}
    messages: list[dict[str, Any]] = [{"role": "user", "content": [text, *[image] * 5]}]
    candidate = Candidate(provider="mine", model="a:8b", wire_model="a:8b", max_tokens=50, estimated_tokens=12_100)
    async with running(Ollama(models=[Model(id="a:8b", window=4_096, vision=True)])) as port:
        base_url = f"http://127.0.0.1:{port}/v1"
        endpoint = LocalEndpoint("mine", base_url=base_url, key=None, clock=FakeClock(), key_hint=None, groq=False)
        kinds = [row.server for row in load_catalog().providers.values() if row.server is not None]
        endpoint.watch = ServerWatch(base_url, kinds=kinds, clock=FakeClock())
        await endpoint.watch.look()
        for content, outcome in ((messages, Success), ([{"role": "user", "content": "word " * 12_000}], Failure)):
            request = ChatRequest(messages=content)
            assert isinstance(await endpoint.chat(request, candidate, timeout_s=5.0), outcome)
        await endpoint.watch.aclose()
        await endpoint.aclose()


class HalfAnOllama(Ollama):
    """One that does not say what it has loaded, so it can only be read as any other server."""

    def facts(self, path: str, body: dict[str, Any]) -> Response | None:
        if path == "/v1/models":
            return JSONResponse({"object": "list", "data": [{"id": model.id, "object": "model"} for model in self.models]})
        return None if path == "/api/ps" else super().facts(path, body)


async def test_a_configured_server_s_cloud_is_never_on_this_machine() -> None:
    """Calls that must not leave this machine would be sent there."""
    async with running(HalfAnOllama(models=[Model(id="a:8b"), Model(id="b:120b-cloud", cloud=True)])) as port:
        own = EndpointSettings(name="mine", base_url=f"http://127.0.0.1:{port}/v1")
        providers = registry(catalog_with_ports(), providers=(own,))
        await providers.refresh()
        assert [name for name, _ in offered(providers)["mine"]] == ["a:8b"]
        await providers.aclose()


async def test_a_server_of_another_kind_is_asked_for_its_list_alone() -> None:
    """Until it goes: what comes after it may be one of those that are known."""
    clock, server = FakeClock(), Vllm(owner="sglang", models=[Model(id="m", window=8_192)])
    async with running(server) as port:
        own = EndpointSettings(name="mine", base_url=f"http://127.0.0.1:{port}/v1")
        providers = registry(catalog_with_ports(), clock, providers=(own,))
        await providers.refresh()
        server.asked.clear()
        clock.advance(2.0)
        await providers.refresh()
        assert server.asked == ["/v1/models"]
        assert offered(providers) == {"mine": [("m", 8_192)]}
    clock.advance(2.0)
    await providers.refresh()
    clock.advance(2.0)
    async with running(LlamaCpp(models=[Model(id="a", window=2_048)]), port=port):
        await providers.refresh()
        assert offered(providers) == {"mine": [("a", 2_048)]}
        await providers.aclose()


async def test_what_any_program_may_list_is_bounded() -> None:
    """Every call would read it, and plan with it."""
    async with running(Vllm(models=[Model(id=f"m{n}", window=8_192) for n in range(1_000)])) as port:
        providers = registry(catalog_with_ports(vllm=port))
        await providers.refresh()
        assert len(offered(providers)["vllm"]) == MOST_MODELS
        await providers.aclose()


class SlowOllama(Ollama):
    """One whose first answer comes when it may."""

    def __init__(self) -> None:
        super().__init__(models=[Model(id="a:8b")])
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def _handle(self, request: Request) -> Response:
        self.reached.set()
        await self.go_on.wait()
        return await super()._handle(request)


async def test_a_call_that_is_cancelled_while_it_looks_has_seen_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one looks itself, with the time of a first look, instead of going without the server for two seconds."""
    monkeypatch.setattr(local_servers, "LONGEST_LOOK_S", 0.0)
    server = SlowOllama()
    async with running(server) as port:
        providers = registry(catalog_with_ports(ollama=port))
        looking = asyncio.create_task(providers.refresh())
        await server.reached.wait()
        looking.cancel()
        server.go_on.set()
        await providers.refresh()
        assert list(offered(providers)) == ["ollama"]
        await providers.aclose()


class WebSite(FakeServer):
    """Some program of the user's own, at the port of a server."""

    def facts(self, path: str, body: dict[str, Any]) -> Response | None:
        del path, body
        return None


async def test_another_program_at_a_known_port_is_asked_seldom() -> None:
    """And a server that takes its place is found as soon as the port was seen closed."""
    clock, site = FakeClock(), WebSite()
    async with running(site) as port:
        providers = registry(catalog_with_ports(ollama=port), clock)
        for _ in range(4):
            await providers.refresh()
            clock.advance(2.0)
        assert len(site.asked) == 2
    await providers.refresh()
    clock.advance(2.0)
    async with running(Ollama(models=[Model(id="a:8b")]), port=port):
        await providers.refresh()
        assert list(offered(providers)) == ["ollama"]
        await providers.aclose()


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_10.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n{"],
    ids=["not HTTP", "too long"],
)
async def test_a_program_whose_answers_cannot_be_read_is_asked_seldom(answer: bytes) -> None:
    """It is not a server that is about to be ready."""
    connections: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if asked := await reader.read(1_000):
            connections.append(asked)
            writer.write(answer)
            await writer.drain()
        writer.close()

    clock = FakeClock()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as program:
        providers = registry(catalog_with_ports(llamacpp=program.sockets[0].getsockname()[1]), clock)
        for _ in range(4):
            await providers.refresh()
            clock.advance(2.0)
        await providers.aclose()
    # both paths of llama.cpp, once
    assert len(connections) == 2


@pytest.mark.parametrize("name", ["llamacpp", "ollama", "lmstudio", "vllm"])
async def test_the_simulated_server_is_found_like_the_real_one(name: str) -> None:
    """`simulate --like ollama` is what people try this with."""
    app = create_provider_app(name, ProviderOptions(window=8_192), catalog=load_catalog(), clock=FakeClock())
    async with run_simulator(app) as running_at:
        catalog = catalog_with_ports(**{name: int(running_at.base_url.rpartition(":")[2])})
        providers = registry(catalog)
        await providers.refresh()
        found = offered(providers)
        await providers.aclose()
    assert [window for _, window in found[name]] == [8_192]
