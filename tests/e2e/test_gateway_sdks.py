"""Official SDKs with the gateway as their base URL: list, chat, stream, tools, images, schemas, audio, and each error."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from e2e.npm_clients import node_24
from gateway_process import TOKEN, gateway

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.simulator import Fault, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / ".cache" / "node" / "node_modules"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf500f0003840180"
    "cda42ae90000000049454e44ae426082"
)
PICTURE = "data:image/png;base64," + base64.b64encode(PNG).decode()
ALL_LIMITED = SimulatorOptions(latency_scale=0.0, faults={"*": (Fault(kind="429", seconds=90),)})


def judge(found: dict[str, Any]) -> None:
    """What every SDK must have got, whatever it calls it."""
    for text in ("chat", "streamed", "image"):
        assert "simulated answer" in found[text], text
    assert found["usage"] > 0
    for calls in ("calls", "streamedCalls"):
        assert [call["name"] for call in found[calls]] == ["get_weather", "get_time"], calls
        assert all(set(json.loads(call["arguments"])) == {"city"} for call in found[calls]), calls
    assert set(found["object"]) == {"name"}
    statuses = {"wrong": 400, "unknown": 404, "stranger": 401, "limited": 429, "limitedStream": 429}
    assert {name: found[name]["status"] for name in statuses} == statuses
    assert "gpt-9" in found["unknown"]["said"]
    assert TOKEN not in json.dumps(found)


def judge_the_rest(sdk: str, found: dict[str, Any]) -> None:
    """Of those that have it."""
    assert 80 <= int(found["limited"]["wait"]) <= 90
    if sdk == "responses":
        assert found["thinking"] == ["reasoning", "message"]
    else:
        assert found["models"][0] == ("claude-code/auto" if sdk == "anthropic" else "auto")
    if sdk == "anthropic":
        assert 0 < found["counted"] < 100
        assert found.get("runs", 1) >= 1
    if sdk in {"openai", "groq"}:
        assert found["transcript"]
        assert found["translation"]
        assert found["speech"] == "RIFF"


async def answers(folder: Path, *program: str) -> dict[str, Any]:
    """What a program got of a gateway that serves and of one whose models are all limited."""
    async with (
        gateway(folder / "serving") as (_, _, port),
        gateway(folder / "limited", options=ALL_LIMITED) as (_, _, limited),
    ):
        environment = {
            "GATEWAY": f"http://127.0.0.1:{port}",
            "LIMITED": f"http://127.0.0.1:{limited}",
            "TOKEN": TOKEN,
            "RECORDING": str(sample_path()),
            "PICTURE": PICTURE,
            "HOME": str(folder),
        }
        done = await anyio.run_process(program, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("sdk", ["openai", "responses", "anthropic", "groq", "vercel"])
async def test_the_javascript_sdks(tmp_path: Path, sdk: str) -> None:
    """OpenAI's in both its APIs, Anthropic's, Groq's, and the one that Kilo and opencode are built on."""
    if not (MODULES / "@anthropic-ai" / "sdk").is_dir():
        pytest.skip("needs the SDKs of npm in .cache/node: make e2e installs them where the registry has them")
    program = shutil.copy(HERE / "gateway_sdks.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES)
    found = await answers(tmp_path, node_24(), str(program), sdk)
    judge(found)
    if sdk != "vercel":
        judge_the_rest(sdk, found)
        kinds = [found[name]["kind"] for name in ("wrong", "unknown", "stranger", "limited")]
        assert kinds == ["BadRequestError", "NotFoundError", "AuthenticationError", "RateLimitError"]


@pytest.mark.parametrize(
    "sdk", ["openai", "responses", "anthropic", "groq", pytest.param("litellm", marks=pytest.mark.nightly)]
)
async def test_the_python_sdks(tmp_path: Path, sdk: str) -> None:
    """OpenAI's in both its APIs, Anthropic's, Groq's, which puts /openai before each path, and LiteLLM's, to which we are one more server like OpenAI's."""
    found = await answers(tmp_path, sys.executable, str(HERE / "gateway_sdks.py"), sdk)
    judge(found)
    if sdk != "litellm":
        judge_the_rest(sdk, found)
