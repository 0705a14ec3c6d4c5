"""doctor, setup and gateway show what runs on this machine, with its real context and how to turn the search off."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from command_line import command
from fake_clock import FakeClock
from gateway_process import environment_of, free_port, started
from local_servers import LlamaCpp, LmStudio, Model, Ollama, catalog_with_ports, running

from groq_fallback_mcp.cli import doctor
from groq_fallback_mcp.providers.registry import build_registry
from groq_fallback_mcp.settings import Settings

pytestmark = pytest.mark.anyio
TURNS_OFF = "GROQ_FALLBACK_FIND_LOCAL_SERVERS=false turns this off"


def catalog(folder: Path, **ports: int) -> Path:
    """An overlay in which local servers are looked for at these ports only."""
    kinds = ("llamacpp", "ollama", "lmstudio", "vllm")
    rows = [
        f'[[providers]]\nname = "{kind}"\nchecked = 2026-11-29\n'
        f'server = {{ kind = "{kind}", ports = [{ports.get(kind, "")}], cuts_prompts = {str(kind in {"ollama", "lmstudio"}).lower()}, '
        f'source = "user", checked = 2026-11-29 }}\n'
        for kind in kinds
    ]
    path = folder / "catalog.toml"
    path.write_text("\n".join(rows))
    return path


async def test_doctor_shows_what_runs_and_how_to_give_it_more_context(tmp_path: Path) -> None:
    """An agent's prompt does not fit the windows that servers load by default."""
    async with (
        running(Ollama(models=[Model(id="qwen3:8b", window=4_096)])) as ollama,
        running(LlamaCpp(models=[Model(id="gpt-oss-20b", window=65_536)])) as llamacpp,
        running(LmStudio(models=[Model(id="idle")])) as lmstudio,
    ):
        overlay = catalog(tmp_path, ollama=ollama, llamacpp=llamacpp, lmstudio=lmstudio)
        given = {"GROQ_FALLBACK_CATALOG": str(overlay), "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "true"}
        done = await command("doctor", cwd=tmp_path, **given)
    lines = done.stdout.splitlines()
    assert (
        f"warn server ollama: Ollama at http://127.0.0.1:{ollama}/v1: qwen3:8b, 4,096 tokens of context; agents need 32,768 or more."
        " Restart it with OLLAMA_CONTEXT_LENGTH=32768" in lines
    )
    assert (
        f"ok   server llamacpp: llama.cpp server at http://127.0.0.1:{llamacpp}/v1: gpt-oss-20b, 65,536 tokens of context"
        in lines
    )
    assert (
        f"warn server lmstudio: LM Studio at http://127.0.0.1:{lmstudio}/v1 has no model loaded. Load one to fall back to it"
        in lines
    )
    # no key is set, and what runs here answers all the same
    assert any(line.startswith("ok   chat: ") and "llamacpp/gpt-oss-20b" in line for line in lines)
    assert done.returncode == 0


async def test_a_server_that_stops_while_doctor_looks_is_no_configured_provider() -> None:
    """It stays among the providers, as calls under way may still name it."""
    clock = FakeClock()
    settings = Settings.model_validate({"find_local_servers": True, "local": "off"})
    async with running(LlamaCpp(models=[Model(id="gpt-oss-20b", window=65_536)])) as port:
        registry = build_registry(settings, catalog=catalog_with_ports(llamacpp=port), clock=clock)
        await registry.refresh(patient=True)
        assert "llamacpp" in registry.providers
    clock.advance(60.0)
    await registry.refresh(patient=True)
    context: Any = SimpleNamespace(engine=SimpleNamespace(registry=registry))
    assert await doctor._providers(settings, context) == []


@pytest.mark.nightly
async def test_doctor_shows_that_nothing_runs_or_is_looked_for(tmp_path: Path) -> None:
    """In a line of its own."""
    overlay = str(catalog(tmp_path))
    none = await command("doctor", cwd=tmp_path, GROQ_FALLBACK_CATALOG=overlay, GROQ_FALLBACK_FIND_LOCAL_SERVERS="true")
    assert "ok   local servers: none running (llama.cpp, Ollama, LM Studio and vLLM are found by themselves)" in none.stdout
    off = await command("doctor", cwd=tmp_path)
    assert "ok   local servers: not looked for (GROQ_FALLBACK_FIND_LOCAL_SERVERS)" in off.stdout


@pytest.mark.nightly
async def test_setup_and_gateway_say_in_one_line_what_they_found(tmp_path: Path) -> None:
    """And how to turn it off."""
    async with running(LlamaCpp(models=[Model(id="gpt-oss-20b", window=65_536)])) as port:
        overlay = catalog(tmp_path, llamacpp=port)
        given = {"GROQ_FALLBACK_CATALOG": str(overlay), "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "true"}
        expected = "Found on this machine: llama.cpp server (gpt-oss-20b, 65,536 tokens of context). "
        for arguments in (("setup", "cursor"), ("setup", "kilo", "--gateway", "--dry-run")):
            done = await command(*arguments, cwd=tmp_path, **given)
            line = next(line for line in done.stdout.splitlines() if line.startswith(expected))
            assert TURNS_OFF in line
        gateway = free_port()
        environment = environment_of(tmp_path, "http://127.0.0.1:9", **given)
        async with started("gateway", "--port", str(gateway), environment=environment, port=gateway) as process:
            assert process.stderr is not None
            await anyio.to_thread.run_sync(process.stderr.readline)
            told = (await anyio.to_thread.run_sync(process.stderr.readline)).decode()
        assert expected in told
        assert TURNS_OFF in told


@pytest.mark.nightly
async def test_a_command_s_chat_is_answered_by_what_runs_here(tmp_path: Path) -> None:
    """Without a key and without a line of configuration."""
    async with running(LlamaCpp(models=[Model(id="gpt-oss-20b", window=65_536)])) as port:
        overlay = catalog(tmp_path, llamacpp=port)
        given = {"GROQ_FALLBACK_CATALOG": str(overlay), "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "true"}
        done = await command("chat", "Say hello.", cwd=tmp_path, **given)
        listed = await command("models", cwd=tmp_path, **given)
        limits = await command("limits", cwd=tmp_path, **given)
    assert done.stdout.strip() == "gpt-oss-20b read 2 tokens"
    assert "gpt-oss-20b" in listed.stdout
    assert "gpt-oss-20b" in limits.stdout
