"""Runs a scenario: the real engine, ledger and history of several processes over one store, in virtual time."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import anyio
from benchmarks.goodput.virtual_time import EPOCH
from interleavings.bookkeeper import Bookkeeper
from interleavings.scenario import AUDIO_MODELS, CHAT_MODELS, REFUGE, Job, Scenario
from interleavings.scheduler import PROCESS, SeededLoop, context_of
from interleavings.shared_store import ProcessStore, SharedRecords, StoreFaults, WatchedLedger
from interleavings.strict_groq import Reached, SeededProvider, StrictGroq

from groq_fallback_mcp.call import AudioFile, AudioRequest, CallRecord, ChatRequest
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.fallback import CallTimeouts, FallbackEngine
from groq_fallback_mcp.fallback.call_state import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import Ledger
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.quota.caller import Caller
from groq_fallback_mcp.quota.degrading import DegradingLedger
from groq_fallback_mcp.quota.history_writer import HistoryWriter
from groq_fallback_mcp.quota.store import Record

__all__ = ["Call", "Event", "Run", "simulated"]

CATALOG = load_catalog()
MODELS = (*CHAT_MODELS, *AUDIO_MODELS)
# Of a store that works: a transaction takes up to twice this, far from what the ledger calls too slow.
THREAD_S = 0.004
HANGING_S = 0.6
RECOVERY_DEADLINE_S = 30.0
BETWEEN_RECOVERY_CALLS_S = 61.0
CALL: ContextVar[Call | None] = ContextVar("CALL", default=None)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for people who look for a fault."""

    at_s: float
    process: str
    what: str

    def __str__(self) -> str:
        return f"{self.at_s:9.3f} {self.process:>4} {self.what}"


@dataclass(slots=True)
class Call:
    """A call and how it ended: with an answer, an error, a fault in the engine, or its process or its client being gone."""

    job: Job
    process: str
    began_s: float
    ended_s: float | None = None
    answer: Answer | None = None
    error: CallFailed | None = None
    fault: str | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    cancelled: bool = False
    process_gone: bool = False
    seen_text: str = ""
    heard: list[CallRecord] = field(default_factory=list[CallRecord])


@dataclass(slots=True)
class Run:
    """All that is known of a run when it is over. `recovery` are the calls after everything was well again."""

    scenario: Scenario
    books: Bookkeeper
    own_books: Sequence[Bookkeeper]
    calls: Sequence[Call]
    recovery: Sequence[Call]
    reached: Sequence[Reached]
    sent: Mapping[int, int]
    records: Mapping[str, Record]
    history: Sequence[CallRecord]
    killed: frozenset[str]
    left_over: Sequence[str]
    under_way: int
    errors_logged: Sequence[str]
    events: Sequence[Event]
    sizes: Sequence[Mapping[str, tuple[int, int]]] = ()

    @property
    def trace(self) -> str:
        """A hash of all that happened."""
        return hashlib.sha256("\n".join(map(str, self.events)).encode()).hexdigest()


class _Clock:
    """A process's clock: its wall may be wrong, its monotonic readings never are."""

    def __init__(self, world: _World, slot: int | None) -> None:
        self._world = world
        self._slot = slot

    def monotonic(self) -> float:
        return self._world.loop.time()

    def wall(self) -> float:
        return self._world.wall(self._slot)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class _Listener:
    """Notes what is heard of a call, in its task."""

    def call_started(self) -> None:
        """Nothing to note."""

    def call_ended(self, record: CallRecord) -> None:
        call = CALL.get()
        if call is not None:
            call.heard.append(record)


class _Observer:
    """Gathers a stream's text as a client would."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def attempt_started(self, candidate: Candidate, earlier: Sequence[Any]) -> None:
        self._call.seen_text = ""

    def text_received(self, text: str) -> None:
        self._call.seen_text += text

    has_shown = False

    def reasoning_received(self, text: str) -> None:
        """No model here thinks aloud."""

    def attempt_failed(self) -> None:
        self._call.seen_text = ""

    def waiting(self, seconds: float) -> None:
        """Nothing to show."""


@dataclass(slots=True)
class _Process:
    name: str
    slot: int
    store: ProcessStore
    ledger: Ledger
    engine: FallbackEngine
    history: HistoryWriter
    writing: asyncio.Task[None] | None = None


class _World:
    def __init__(self, scenario: Scenario, loop: SeededLoop, chance: random.Random) -> None:
        self.scenario = scenario
        self.loop = loop
        self.chance = chance
        self.groq = StrictGroq(loop=loop, scenario=scenario, chance=chance)
        self.jobs = {job.number: job for job in scenario.jobs}
        self.books = Bookkeeper()
        self.own_books: list[Bookkeeper] = []
        self.shared = SharedRecords(watcher=self.books)
        # of each slot's view of the store
        self.faults = [
            StoreFaults(waits=1.0 - scenario.at_once, retries=scenario.retried_transactions) for _ in range(scenario.processes)
        ]
        self.hanging = [False] * scenario.processes
        self.machine_off_s = 0.0
        self.server_off_s = 0.0
        self.off_s = [0.0] * scenario.processes
        self.processes: dict[int, _Process] = {}
        self.births = [0] * scenario.processes
        self.killed: set[str] = set()
        # as nothing else knows them any more, and a task that is collected says so
        self.graves: list[_Process] = []
        self.abandoned: list[asyncio.Task[None]] = []
        self.calls: list[Call] = []
        self.under_way: dict[asyncio.Task[None], Call] = {}
        self.events: list[Event] = []
        self.sizes: list[Mapping[str, tuple[int, int]]] = []

    def note(self, process: str, what: str) -> None:
        self.events.append(Event(self.loop.time(), process, what))

    def wall(self, slot: int | None) -> float:
        """A process's wall clock, or with None the store's."""
        true = EPOCH + self.loop.time()
        if not self.scenario.server_clock:
            return true + self.machine_off_s
        if slot is None:
            return true + self.server_off_s
        drift = self.scenario.drift[slot] if self.scenario.drift else 0.0
        return true + self.off_s[slot] + drift * self.loop.time()

    def thread_s(self) -> float:
        """How long a thread takes now for half of its work."""
        return self.chance.uniform(0.0, THREAD_S)

    def start(self, slot: int) -> None:
        """Start a process."""
        self.births[slot] += 1
        name = f"p{slot}.{self.births[slot]}"
        clock = _Clock(self, slot)
        store = ProcessStore(
            self.shared,
            process=name,
            wall=lambda: self.wall(None if self.scenario.server_clock else slot),
            faults=self.faults[slot],
            chance=self.chance,
        )
        own_books = Bookkeeper()
        self.own_books.append(own_books)
        own = ProcessStore(
            SharedRecords(watcher=own_books), process=name, wall=clock.wall, faults=StoreFaults(waits=0.0), chance=self.chance
        )
        # as open_ledger builds it
        ledger = DegradingLedger(WatchedLedger(store, clock), WatchedLedger(own, clock, threaded=False), clock)
        providers = {
            provider: SeededProvider(provider, self.groq, self.jobs, self.chance)
            for provider in ("groq", *([REFUGE] if self.scenario.refuge else []))
        }
        engine = FallbackEngine(
            catalog=CATALOG,
            registry=ProviderRegistry(
                providers=providers,
                models=[_offers(provider, self.scenario) for provider in providers],
                organizations={},
                clock=clock,
                groq=None,
            ),
            ledger=ledger,
            clock=clock,
            timeouts=CallTimeouts(),
            jitter=self.chance.random,
            listeners=[_Listener()],
        )
        history = HistoryWriter(ledger, clock, under_way=lambda: engine.under_way)
        engine.add_listener(history)
        process = _Process(name, slot, store, ledger, engine, history)
        process.writing = self.loop.in_process(name, history.run())
        self.processes[slot] = process
        self.note(name, "started")

    def kill(self, slot: int) -> None:
        """End a process as kill -9 does."""
        process = self.processes.pop(slot, None)
        if process is None:
            return
        self.loop.suspend(process.name)
        process.store.cut = True
        self.killed.add(process.name)
        self.graves.append(process)
        self.note(process.name, "killed")
        for task, call in list(self.under_way.items()):
            if call.process == process.name:
                call.process_gone, call.ended_s = True, self.loop.time()
                self.abandoned.append(task)
                del self.under_way[task]

    def call(self, job: Job) -> Call | None:
        """Have a client make a call; None where the process is not there."""
        process = self.processes.get(job.slot)
        if process is None:
            return None
        call = Call(job=job, process=process.name, began_s=self.loop.time())
        self.calls.append(call)
        task = self.loop.in_process(process.name, self._serve(process.engine, call))
        self.under_way[task] = call
        task.add_done_callback(lambda task: self._ended(task, call))
        if job.gives_up_after_s is not None:
            # as the servers do it: tasks that are cancelled in another way lose what they shield
            # in the process: anyio repeats a cancellation until it is taken notice of, for ever where a process is suspended
            self.loop.call_later(job.gives_up_after_s, call.scope.cancel, context=context_of(process.name))
        return call

    async def _serve(self, engine: FallbackEngine, call: Call) -> None:
        job = call.job
        CALL.set(call)
        if job.caller is not None:
            tokens = self.scenario.budgets.get(job.caller)
            engine = engine.for_caller(Caller(name=job.caller, budget=Budget(tokens=tokens)))
        self.note(call.process, f"call {job.number} begins: {job.use_case}, {job.model}, {job.deadline_s:g} s, {job.caller}")
        ended = "cancelled"
        try:
            with call.scope:
                outcome = await engine.serve(
                    _request(job), deadline_s=job.deadline_s, observer=_Observer(call) if job.watched else None
                )
                if isinstance(outcome, Answer):
                    call.answer = outcome
                    ended = f"answered by {outcome.provider}/{outcome.model}"
                else:
                    call.error = outcome
                    ended = f"{outcome.code}: {outcome.cause}"
            call.cancelled = call.scope.cancelled_caught
        except Exception as error:  # noqa: BLE001 - whatever leaves the engine is a finding
            call.fault = ended = f"{type(error).__name__}: {error}"
        tried = ", ".join(f"{one.model} {one.outcome} {one.reason}" for record in call.heard for one in record.attempts)
        self.note(call.process, f"call {job.number} ends: {ended} ({tried})")

    def _ended(self, task: asyncio.Task[None], call: Call) -> None:
        if self.under_way.pop(task, None) is not None:
            call.ended_s = self.loop.time()
            # where it was cancelled before it began
            call.cancelled = call.cancelled or task.cancelled()
            if not task.cancelled() and (fault := task.exception()) is not None:
                call.fault = repr(fault)

    def set_faults(self) -> None:
        """What is the matter with each process's view of the store now."""
        now = self.loop.time()
        for slot, faults in enumerate(self.faults):
            outages = [one for one in self.scenario.outages if one.span.has(now) and one.slot in {None, slot}]
            faults.refuses = 1.0 if any(one.kind == "refuses" for one in outages) else 0.0
            faults.forgets = 0.5 if any(one.kind == "forgets" for one in outages) else 0.0
            self.hanging[slot] = any(one.kind == "hangs" for one in outages)

    def measure(self) -> None:
        """Note how many records of each kind the store keeps, and how large they are together."""
        sizes: dict[str, tuple[int, int]] = {}
        for key, record in self.shared.records.items():
            kind = key.split("/")[0]
            records, characters = sizes.get(kind, (0, 0))
            sizes[kind] = records + 1, characters + len(key) + len(record.body)
        self.sizes.append(sizes)


def simulated(scenario: Scenario) -> Run:
    """Run a scenario to its end."""
    chance = random.Random(scenario.seed)
    loop = SeededLoop(random.Random(scenario.seed + 1))
    world = _World(scenario, loop, chance)
    loop.thread_s = lambda: _thread_s(world)
    with _repeatable(chance), _errors() as errors, asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_simulate(world, errors))


async def _simulate(world: _World, errors: list[str]) -> Run:
    scenario, loop = world.scenario, world.loop
    for slot in range(scenario.processes):
        world.start(slot)
    await _traffic(world)
    # whoever waits is served or told why, and reservations of processes that are gone expire
    await _until(loop, scenario.recovers_after_s)
    under_way = len(world.under_way)
    calls, world.calls = world.calls, []
    for job in _recovery(scenario):
        world.jobs[job.number] = job
        world.call(job)
        await asyncio.sleep(BETWEEN_RECOVERY_CALLS_S)
    recovery, world.calls = world.calls, calls
    living = [*world.processes.values()]
    for process in living:
        await loop.in_process(process.name, process.history.flush())
    history = await loop.in_process(living[0].name, living[0].ledger.calls(since=0.0, limit=100_000))
    records = dict(world.shared.records)
    for process in living:
        assert process.writing is not None
        process.writing.cancel()
        await loop.in_process(process.name, process.ledger.aclose())
    await asyncio.sleep(1.0)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    left_over = [repr(task) for task in tasks if loop.process_of[task] not in world.killed]
    run = Run(
        scenario=scenario,
        books=world.books,
        own_books=world.own_books,
        calls=calls,
        recovery=recovery,
        reached=world.groq.reached,
        sent=world.groq.sent,
        records=records,
        history=history,
        killed=frozenset(world.killed),
        left_over=left_over,
        under_way=under_way,
        errors_logged=[*errors],
        events=[*world.events],
        sizes=world.sizes,
    )
    await _bury(world, tasks)
    return run


async def _traffic(world: _World) -> None:
    """All that the scenario has planned, in its order."""
    scenario, loop = world.scenario, world.loop
    plan: list[tuple[float, Any]] = [(job.at_s, lambda job=job: world.call(job)) for job in scenario.jobs]
    for outage in scenario.outages:
        plan += [(outage.span.from_s, world.set_faults), (outage.span.to_s, world.set_faults)]
    for slot, span in scenario.kills:
        plan += [(span.from_s, lambda slot=slot: world.kill(slot)), (span.to_s, lambda slot=slot: _restart(world, slot))]
    for slot, span in scenario.suspensions:
        plan += [(span.from_s, lambda slot=slot: _pause(world, slot)), (span.to_s, lambda slot=slot: _resume(world, slot))]
    plan += [(step.at_s, lambda step=step: _step(world, step.slot, step.by_s)) for step in scenario.clock_steps]
    plan += [(moment, world.measure) for moment in scenario.measured_at_s]
    for at_s, act in sorted(plan, key=lambda one: one[0]):
        await _until(loop, at_s)
        act()


async def _until(loop: SeededLoop, moment: float) -> None:
    await asyncio.sleep(max(moment - loop.time(), 0.0))


def _restart(world: _World, slot: int) -> None:
    if slot not in world.processes:
        world.start(slot)


def _pause(world: _World, slot: int) -> None:
    if (process := world.processes.get(slot)) is not None:
        world.note(process.name, "suspended")
        world.loop.suspend(process.name)


def _resume(world: _World, slot: int) -> None:
    if (process := world.processes.get(slot)) is not None:
        world.note(process.name, "resumed")
        world.loop.resume(process.name)


def _step(world: _World, slot: int | None, by_s: float) -> None:
    world.note("", f"the clock of {slot} is set by {by_s:+g} s")
    if not world.scenario.server_clock:
        world.machine_off_s += by_s
    elif slot is None:
        world.server_off_s += by_s
    else:
        world.off_s[slot] += by_s


def _recovery(scenario: Scenario) -> Iterator[Job]:
    """A call for each model by its name, from each process in turn, when all is well again."""
    first = max((job.number for job in scenario.jobs), default=0) + 1
    # twice: a model that is suspect is tested by one call at a time
    for number, model in enumerate((*MODELS, *MODELS)):
        is_audio = model in AUDIO_MODELS
        yield Job(
            number=first + number,
            at_s=0.0,
            slot=number % scenario.processes,
            use_case="audio" if is_audio else "fast",
            model=model,
            words=5,
            max_tokens=64,
            output_tokens=10,
            audio_s=10.0 if is_audio else 0.0,
            deadline_s=RECOVERY_DEADLINE_S,
            caller=None,
            watched=False,
            gives_up_after_s=None,
        )


async def _bury(world: _World, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End what processes left behind that were killed. Their stores are cut off, so that it has no effect any more."""
    for name in world.killed:
        world.loop.resume(name)
    for _ in range(20):
        left = [task for task in tasks if not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=100.0)


def _thread_s(world: _World) -> float:
    name = PROCESS.get()
    slot = int(name[1:].split(".")[0]) if name else 0
    return world.chance.uniform(0.0, HANGING_S) if world.hanging[slot] else world.thread_s()


def _request(job: Job) -> ChatRequest | AudioRequest:
    if job.audio_s:
        audio = AudioFile(name=f"{job.number}.wav", content=b"", media_type="audio/wav", duration_s=job.audio_s)
        return AudioRequest(audio=audio, model=job.model)
    words = f"call {job.number} " + "word " * job.words
    return ChatRequest(
        messages=({"role": "user", "content": words},), use_case=job.use_case, model=job.model, max_tokens=job.max_tokens
    )


def _offers(provider: str, scenario: Scenario) -> ProviderModels:
    is_groq = provider == "groq"
    models = {
        model: ProviderModel(row=CATALOG.models[model], wire_model=model, documented=scenario.limits[model] if is_groq else {})
        for model in MODELS
    }
    return ProviderModels(name=provider, models=models, live=frozenset(models) if is_groq else None, cataloged=is_groq)


@contextmanager
def _repeatable(chance: random.Random) -> Iterator[None]:
    """Names that processes make up come from the seed, too."""
    with patch.object(secrets, "token_hex", lambda count=16: f"{chance.getrandbits(8 * count):0{2 * count}x}"):
        yield


@contextmanager
def _errors() -> Iterator[list[str]]:
    """What the program and asyncio log as errors."""
    found: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage() + (f": {record.exc_info[1]!r}" if record.exc_info else ""))

    keeper = Keeper(level=logging.ERROR)
    loggers = [logging.getLogger("groq_fallback_mcp"), logging.getLogger("asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(keeper)
        # what is only noteworthy is what these runs are about, and takes time to write
        logger.setLevel(logging.ERROR)
    try:
        yield found
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(keeper)
            logger.setLevel(level)
