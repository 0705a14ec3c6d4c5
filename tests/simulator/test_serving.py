"""The simulator on a port: it starts, ends soon whatever is under way, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from simulator.rig import CATALOG, MODEL

from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.simulator import Fault, Generated, SimulatorOptions, create_app, run_simulator

pytestmark = pytest.mark.anyio
SOON_S = 2.0
HEADERS = {"authorization": "Bearer gsk_x"}
QUESTION = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


def _app(**options: object):  # noqa: ANN202 - the framework's type
    return create_app(SimulatorOptions(**options), catalog=CATALOG, clock=SystemClock())  # type: ignore[arg-type]


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_a_port_of_zero_takes_a_free_one_and_two_can_run_at_once() -> None:
    """Each answers on its own."""
    async with run_simulator(_app()) as one, run_simulator(_app()) as two, httpx.AsyncClient(headers=HEADERS) as client:
        assert one.port != two.port
        for running in (one, two):
            assert running.base_url == f"http://127.0.0.1:{running.port}"
            assert (await client.get(f"{running.base_url}/openai/v1/models")).status_code == 200


async def test_a_port_in_use_is_refused_with_its_number() -> None:
    """Even by another simulator; and one out of range."""
    async with run_simulator(_app()) as running:
        with pytest.raises(InputRefused, match=f"Port {running.port} is already in use"):
            async with run_simulator(_app(), port=running.port):
                pytest.fail("two simulators on one port")
    with pytest.raises(InputRefused, match="Port 70000 cannot be used"):
        async with run_simulator(_app(), port=70_000):
            pytest.fail("no such port")


async def test_after_the_end_the_port_is_free_again() -> None:
    """For a connection and for the next simulator."""
    async with run_simulator(_app()) as running:
        port = running.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
    async with run_simulator(_app(), port=port) as again:
        assert again.port == port


class _TellingClock(SystemClock):
    """Says when somebody begins to sleep."""

    def __init__(self) -> None:
        self.sleeping = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.sleeping.set()
        await super().sleep(seconds)


async def test_it_ends_soon_with_calls_under_way_idle_connections_and_silent_ones() -> None:
    """A hanging call, a kept connection, one that sends half a request; no task and no descriptor is left."""
    known, files = asyncio.all_tasks(), _open_files()
    clock = _TellingClock()
    app = create_app(SimulatorOptions(faults={MODEL: (Fault(kind="hang"),)}), catalog=CATALOG, clock=clock)
    async with httpx.AsyncClient(headers=HEADERS, timeout=30) as client:
        async with run_simulator(app) as running:
            base = f"{running.base_url}/openai/v1"
            hanging = asyncio.create_task(client.post(f"{base}/chat/completions", json=QUESTION))
            await clock.sleeping.wait()
            await client.get(f"{base}/models")
            silent = socket.create_connection(("127.0.0.1", running.port))
            silent.sendall(b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
            await client.get(f"{base}/models")
            before = time.monotonic()
        assert time.monotonic() - before < SOON_S
        assert asyncio.all_tasks() - known == {hanging}
        (outcome,) = await asyncio.gather(hanging, return_exceptions=True)
        assert isinstance(outcome, httpx.TransportError) or outcome.status_code == 500  # type: ignore[union-attr]
        silent.close()
    assert (asyncio.all_tasks(), _open_files()) == (known, files)


class _Endless:
    """An engine whose answers are larger than all buffers on the way."""

    async def answer(self, messages: object, *, max_tokens: int, temperature: float) -> Generated:
        return Generated(text="x" * 20_000_000, input_tokens=1, output_tokens=1)


async def test_it_ends_soon_while_a_client_does_not_read_a_long_answer() -> None:
    """Its connection is closed at once, not when the last byte is gone."""
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=CATALOG, clock=SystemClock(), text_engine=_Endless())
    files = _open_files()
    async with run_simulator(app) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
        body = json.dumps(QUESTION)
        head = f"host: x\r\nauthorization: {HEADERS['authorization']}\r\ncontent-length: {len(body)}"
        writer.write(f"POST /openai/v1/chat/completions HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
        await reader.read(1)
        before = time.monotonic()
    assert time.monotonic() - before < SOON_S
    assert _open_files() == files + 1
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_of_two_that_start_at_once_on_one_port_one_is_refused() -> None:
    """Before either listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = asyncio.Event()

    async def serve() -> None:
        async with run_simulator(_app(), port=port):
            await stop.wait()

    tasks = [asyncio.create_task(serve()) for _ in range(2)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.wait(tasks)
    assert [type(task.exception()) for task in done] == [InputRefused]
    assert sum(task.exception() is None for task in tasks) == 1


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    """In no exception group."""
    with pytest.raises(ZeroDivisionError):
        async with run_simulator(_app()):
            raise ZeroDivisionError


async def test_a_cancelled_block_ends_the_server_too() -> None:
    """No task is left behind and the port is free."""
    tasks = len(asyncio.all_tasks())
    ports: list[int] = []

    async def serve() -> None:
        async with run_simulator(_app()) as running:
            ports.append(running.port)
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    while not ports:  # noqa: ASYNC110 - set in the task
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == tasks
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0])).close()


async def test_signals_and_logging_stay_the_programs_own() -> None:
    """No handler is changed while it runs."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = [list(logging.getLogger(name).handlers) for name in ("", "uvicorn", "uvicorn.error")]
    async with run_simulator(_app()):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        assert [list(logging.getLogger(name).handlers) for name in ("", "uvicorn", "uvicorn.error")] == loggers
