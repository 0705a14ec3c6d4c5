"""What every test with a real client needs: the client, a simulated Groq, and a scripted model for the client."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from e2e.kilo import Kilo, find_kilo
from e2e.npm_clients import Npm
from e2e.processes import Watch

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.local_engines import local_engines
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import Generated, SimulatorOptions, TextEngine, create_app, parse_fault, run_simulator
from groq_fallback_mcp.simulator.generation import PlainText
from groq_fallback_mcp.simulator.world import World

REPOSITORY = Path(__file__).parents[2]


@dataclass(slots=True, kw_only=True)
class RecordedText:
    """Writes as `engine` does and keeps what it wrote."""

    engine: TextEngine
    written: list[str] = field(default_factory=list[str])

    async def answer(self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float) -> Generated:
        generated = await self.engine.answer(messages, max_tokens=max_tokens, temperature=temperature)
        self.written.append(generated.text)
        return generated


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedGroq:
    """A running simulator. `hears`: whether a speech model writes its transcripts."""

    base_url: str
    world: World
    text: RecordedText
    hears: bool

    @property
    def environment(self) -> Mapping[str, str]:
        """What points our server at it, and at nothing else."""
        return {
            "GROQ_BASE_URL": self.base_url,
            "GROQ_API_KEY": "gsk_simulated",
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        }

    @property
    def calls(self) -> Mapping[str, Mapping[str, int]]:
        """Calls by model and outcome."""
        return {model: dict(outcomes) for model, outcomes in self.world.calls.items()}

    def fail(self, fault: str) -> None:
        """Let a model fail from now on, in the words of `simulate --fault`."""
        model, parsed = parse_fault(fault)
        self.world.faults.setdefault(model, []).append(parsed)


class StalledText:
    """Begins to answer, says so, and does not end before it is let go."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.let_go = anyio.Event()

    async def answer(self, messages: Any, *, max_tokens: int, temperature: float) -> Generated:
        self.asked.set()
        await self.let_go.wait()
        return Generated(text="too late", input_tokens=1, output_tokens=2)


@pytest.fixture
def npm(tmp_path: Path) -> Iterator[Npm]:
    """Clients with a throw-away home, and the speech sample in their project; a daemon that one leaves is ended."""
    made = Npm(tmp_path)
    shutil.copy(sample_path(), made.project / "speech.flac")
    with closing(Watch(f"HOME={tmp_path}\0")) as left:
        yield made
        left.take_hold()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch over processes with a mark of this test's own."""
    with closing(Watch(f"e2e-{uuid.uuid4().hex}")) as opened:
        yield opened


@pytest.fixture
def kilo(tmp_path: Path) -> Kilo:
    """The real Kilo with a throw-away home and project."""
    binary = find_kilo(repository=REPOSITORY)
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    return Kilo(binary=binary, home=home, project=project)


@pytest.fixture
async def groq() -> AsyncIterator[SimulatedGroq]:
    """A simulated Groq that answers at once, with the local models as its words where they are installed."""
    async with local_engines() as (text, speech):
        recorded = RecordedText(engine=text or PlainText())
        app = create_app(
            SimulatorOptions(latency_scale=0.0),
            catalog=load_catalog(),
            clock=SystemClock(),
            text_engine=recorded,
            speech_engine=speech,
        )
        async with run_simulator(app) as running:
            yield SimulatedGroq(base_url=running.base_url, world=app.state.world, text=recorded, hears=speech is not None)
