"""Groq's own JavaScript SDK against the simulator, as the seed document uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import anyio
import pytest

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]
MODULES = Path(__file__).parents[2] / ".cache" / "node" / "node_modules"
PROGRAM = """
import Groq from 'groq-sdk';
const groq = new Groq();
const models = await groq.models.list();
const answer = await groq.chat.completions.create({
  messages: [{ role: 'user', content: 'Hello, how are you?' }], model: 'openai/gpt-oss-20b', temperature: 0.7, max_tokens: 1024,
});
let streamed = '';
const stream = await groq.chat.completions.create({
  messages: [{ role: 'user', content: 'Hello' }], model: 'openai/gpt-oss-20b', stream: true,
});
for await (const piece of stream) streamed += piece.choices[0]?.delta?.content ?? '';
console.log(JSON.stringify({ models: models.data.length, text: answer.choices[0].message.content, streamed }));
"""


@pytest.mark.covers("sdks/groq-sdk")
async def test_the_javascript_sdk_lists_chats_and_streams(tmp_path: Path) -> None:
    """The document's two programs, and a stream."""
    node = shutil.which("node")
    if node is None or not (MODULES / "groq-sdk").is_dir():
        pytest.skip("needs node, and npm's groq-sdk in .cache: make e2e installs it where the registry has it")
    program = tmp_path / "program.mjs"
    program.write_text(PROGRAM)
    (tmp_path / "node_modules").symlink_to(MODULES)
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock())
    async with run_simulator(app) as simulator:
        environment = {"GROQ_API_KEY": "gsk_simulated", "GROQ_BASE_URL": simulator.base_url, "HOME": str(tmp_path)}
        done = await anyio.run_process([node, str(program)], env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert found["models"] > 5
    assert "simulated answer" in found["text"]
    assert "simulated answer" in found["streamed"]
