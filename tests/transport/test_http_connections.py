"""What carries no call takes no place: idle, slow, half-open and foreign connections to the HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from groq_fallback_mcp.transport import http_connections as limits
from groq_fallback_mcp.transport.http_connections import Connections, Phase, Seen, is_overdue
from groq_fallback_mcp.transport.http_server import Guard, Rules, is_own_host, is_own_origin, listen

pytestmark = pytest.mark.anyio
TOKEN = "a-token-of-many-characters"
HEADERS = {
    "authorization": f"Bearer {TOKEN}",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2025-11-25",
}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
DESCRIPTORS = 1_024
# How many times sooner a hasty server gives up.
HASTE = 5


class Served:
    """A real server in a process of its own, with few descriptors."""

    def __init__(self, folder: Path, descriptors: int = DESCRIPTORS, *, hasty: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.log = folder / "log"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "GROQ_FALLBACK_HTTP_TOKEN": TOKEN,
            "GROQ_FALLBACK_LOG_FILE": str(self.log),
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        }
        program = (
            "import resource; from groq_fallback_mcp.transport import http_connections as limits;"
            f"limits.FIRST_REQUEST_S /= {HASTE if hasty else 1}; limits.BODY_PROGRESS_S /= {HASTE if hasty else 1};"
            "from groq_fallback_mcp.cli.serve import serve_over_http;"
            f"resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors}, {descriptors}));"
            f"serve_over_http('127.0.0.1:{self.port}')"
        )
        self.process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        pytest.fail("the server did not start")

    def open(self, data: bytes = b"") -> socket.socket:
        """A connection on which so much was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if data:
            connection.sendall(data)
        return connection

    def calls(self) -> float:
        """Seconds until a call with the token is answered, on a connection of its own."""
        started = time.monotonic()
        reply = httpx.post(f"http://127.0.0.1:{self.port}/mcp", json=LIST, headers=HEADERS, timeout=10)
        assert reply.status_code == 200, reply.text
        return time.monotonic() - started

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server."""
    server = Served(tmp_path_factory.mktemp("served"))
    yield server
    server.end()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose times are shorter."""
    server = Served(tmp_path_factory.mktemp("hasty"), hasty=True)
    yield server
    server.end()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_answer_in_pieces_is_sent_at_once(host: str) -> None:
    """Without TCP_NODELAY its second piece waits 40 ms for the client to acknowledge the first."""
    accepted: asyncio.Queue[int] = asyncio.Queue()

    def looked_at(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        accepted.put_nowait(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen(host, 0) as listener:
        server = await asyncio.start_server(looked_at, sock=listener)
        async with server:
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            assert await accepted.get() != 0
            writer.close()
            await writer.wait_closed()


def head(length: int, *, method: str = "POST", token: str = TOKEN) -> bytes:
    """The head of a request."""
    lines = [f"{method} /mcp HTTP/1.1", "host: 127.0.0.1", f"authorization: Bearer {token}", "content-type: application/json"]
    lines += ["accept: application/json, text/event-stream", *([f"content-length: {length}"] if length else [])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def opened(server: Served) -> socket.socket | None:
    """An idle connection, None where it was refused at once."""
    with contextlib.suppress(OSError):
        return server.open()
    return None


@pytest.mark.fault("B1")
@pytest.mark.parametrize(("descriptors", "count"), [(DESCRIPTORS, 1_100), (128, 200)])
def test_idle_connections_without_a_token_keep_nobody_out(tmp_path: Path, descriptors: int, count: int) -> None:
    """A call is served meanwhile within 2 s, and the log does not fill."""
    server = Served(tmp_path, descriptors)
    held: list[socket.socket] = []
    try:
        with ThreadPoolExecutor(16) as pool:
            held = [one for one in pool.map(opened, [server] * count) if one is not None]
        assert len(held) > count // 2
        took = [server.calls() for _ in range(5)]
        assert max(took) < 2.0
        assert server.process.poll() is None
        log = server.log.read_text()
        assert len(log) < 1_000_000
        assert log.count("Traceback") <= 20
    finally:
        for connection in held:
            connection.close()
        server.end()


@pytest.mark.fault("B1")
@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /mcp HT", b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ", head(100, token="wrong") + b"{"],
    ids=["idle", "line", "headers", "body"],
)
def test_a_connection_that_never_asks_is_closed_soon(hasty: Served, sent: bytes) -> None:
    """However much of a request came, and though a byte more comes now and then."""
    dripping = sent != b"" and b"wrong" not in sent
    end = time.monotonic() + (limits.BODY_PROGRESS_S + limits.FIRST_REQUEST_S) / HASTE + 5
    closed = False
    with hasty.open(sent) as connection:
        connection.settimeout(0.1)
        while not closed and time.monotonic() < end:
            try:
                closed = not connection.recv(4_096)
            except TimeoutError:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x" if dripping else b"")
            except OSError:
                closed = True
    assert closed
    hasty.calls()
    assert "Traceback" not in hasty.log.read_text()


@pytest.mark.fault("B2")
def test_held_streams_and_half_sent_bodies_take_no_place(served: Served) -> None:
    """128 of each, with the token: calls are served, with connections opened before and after."""
    held = [served.open(head(0, method="GET")) for _ in range(128)]
    held += [served.open(head(100_000) + b'{"half') for _ in range(128)]
    try:
        assert max(served.calls() for _ in range(5)) < 2.0
    finally:
        for connection in held:
            connection.close()


@pytest.mark.fault("B2")
def test_a_stream_that_nothing_would_come_on_is_not_opened(served: Served) -> None:
    """405, as the protocol has it for servers without one."""
    reply = httpx.get(f"http://127.0.0.1:{served.port}/mcp", headers=HEADERS, timeout=5)
    assert reply.status_code == 405
    assert reply.headers["allow"] == "POST"


@pytest.mark.fault("B1")
def test_garbage_is_refused_without_filling_the_log(served: Served) -> None:
    """A scanner that speaks TLS or SSH, a thousand times."""
    said = (b"\x16\x03\x01\x02\x00\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"\0" * 100 + b"\r\n\r\n")
    for number in range(1_000):
        with contextlib.suppress(OSError), served.open(said[number % 3]) as one:
            one.settimeout(2)
            assert one.recv(100).startswith(b"HTTP/1.1 400")
    assert served.calls() < 2.0
    assert len(served.log.read_text()) < 100_000


@pytest.mark.fault("B1")
def test_an_open_connection_serves_for_longer_than_a_pause_between_requests(hasty: Served) -> None:
    """Short calls, each with a pause: none is cut off."""
    with httpx.Client(base_url=f"http://127.0.0.1:{hasty.port}", headers=HEADERS) as client:
        for _ in range(8):
            assert client.post("/mcp", json=LIST).status_code == 200
            time.sleep(limits.FIRST_REQUEST_S / HASTE / 6)


SEEN = Seen(phase=Phase.REQUEST, since=100.0, moved_at=100.0)


@pytest.mark.fault("B1", "B2")
@pytest.mark.parametrize(
    ("seen", "lasts_s"),
    [
        (replace(SEEN, first=True), limits.FIRST_REQUEST_S),
        (replace(SEEN, first=True, moved_at=104.0), limits.FIRST_REQUEST_S),
        (SEEN, limits.KEEP_ALIVE_S),
        (replace(SEEN, phase=Phase.BODY), limits.BODY_PROGRESS_S),
        (replace(SEEN, phase=Phase.BODY, moved_at=155.0), limits.BODY_S),
        (replace(SEEN, phase=Phase.BODY, moved_at=190.0, body_bytes=30 * limits.LEAST_BYTES_PER_S), limits.BODY_S + 30.0),
        (replace(SEEN, phase=Phase.CALL, unread_since=100.0), limits.UNREAD_S),
        (replace(SEEN, phase=Phase.CALL), None),
    ],
)
def test_each_phase_of_a_connection_has_its_time(seen: Seen, lasts_s: float | None) -> None:
    """And a call that is under way has none of its own."""
    if lasts_s is None:
        assert not is_overdue(seen, 1e9)
        return
    assert not is_overdue(seen, 100.0 + lasts_s)
    assert is_overdue(seen, 100.1 + lasts_s)


class Fake:
    """A connection as the collection sees it."""

    def __init__(self, phase: Phase = Phase.REQUEST) -> None:
        self.phase = phase
        self.transport = self
        self.aborted = False

    def abort(self) -> None:
        """It has to go."""
        self.aborted = True


@pytest.mark.fault("B1")
def test_those_without_a_token_go_first_and_those_with_a_call_never() -> None:
    """The oldest of them; and half of all places are for those with a token."""
    connections: Any = Connections(8)
    unknown = [Fake() for _ in range(6)]
    for one in unknown:
        connections.add(one)
    assert [one.aborted for one in unknown] == [True, True, False, False, False, False]
    known = [Fake(Phase.CALL) for _ in range(8)]
    for one in known:
        connections.add(one)
        connections.know(one)
    assert not any(one.aborted for one in known)
    assert len(connections) <= 9
    idle = known[3]
    idle.phase = Phase.REQUEST
    connections.add(Fake())
    assert idle.aborted or any(one.aborted for one in unknown[2:])
    assert sum(one.aborted for one in known) <= 1


OWN = ("127.0.0.1:*", "localhost:*", "[::1]:*", "gate.example:443", "plain.example")


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:80.evil.example", "http://localhost.evil.example", "http://localhost.evil.example:80", "http://127.0.0.1:80@evil.example",
        "http://user@localhost:80", "http://localhost:80/path", "http://localhost:80?x", "http://localhost:80#x", "http://localhost:", "http://localhost:0",
        "http://localhost:99999", "http://localhost:+80", "http://localhost:8 0", "http://localhost:80 ", "http://evil.example/http://localhost:80", "null", "", "localhost:80",
        "file://localhost", "ws://localhost:80", "http://[::1].evil.example", "http://[::2]:80", "http://127.0.0.1.evil.example", "http://127.0.0.10:80",
        "http://localhost.:80", "http://xlocalhost:80", "http://l\u043ecalhost:80", "http://localhost\\.evil.example", "http://localhost%2eevil.example", "https://gate.example:80",
        "http://gate.example", "https://gate.example:443.evil.example", "http://plain.example:81", "http://localhost:80,http://evil.example", "http://localhost:80 http://evil.example",
        "http://*", "http://localhost:*", "http://127.1:80", "http://0x7f000001", "http://2130706433",
    ],
)  # fmt: skip
def test_an_origin_that_only_begins_like_ours_is_not_ours(origin: str) -> None:
    """Parsed and compared as a whole; the same for hosts."""
    assert not is_own_origin(origin, OWN)
    place = origin.partition("://")[2]
    if (
        place not in {"gate.example", "user@localhost:80"}
        and "://" in origin
        and not origin.startswith(("ws", "file", "https://gate.example:80"))
    ):
        assert not is_own_host(place, OWN)


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://localhost",
        "HTTP://LOCALHOST:80",
        "http://[::1]:8765",
        "http://127.0.0.1",
        "https://gate.example",
        "https://gate.example:443",
        "http://plain.example",
        "https://plain.example:443",
    ],
)
def test_an_origin_of_ours_is_ours(origin: str) -> None:
    """In any case, on any port where any is allowed, and on the scheme's own where none is written."""
    assert is_own_origin(origin, OWN)
    assert is_own_host(origin.partition("://")[2], OWN)


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("origin", "http://localhost:80.evil.example")], 403),
        ([("origin", "null")], 403),
        ([("origin", "http://localhost:1"), ("origin", "https://evil.example")], 403),
        ([("host", "localhost:80.evil.example")], 421),
        ([("host", "localhost@evil.example")], 421),
        ([("host", "localhost:8765"), ("host", "evil.example")], 421),
        ([("host", "LOCALHOST")], 200),
    ],
)
async def test_foreign_hosts_and_origins_are_refused_with_what_to_do(headers: list[tuple[str, str]], status: int) -> None:
    """Before anything of the request is read."""
    given = headers if any(name == "host" for name, _ in headers) else [("host", "localhost:8765"), *headers]
    sent = await asked(guarded(hosts=OWN), [(name.encode(), value.encode()) for name, value in given], [b"{}"])
    assert sent[0]["status"] == status
    if status != 200:
        assert "GROQ_FALLBACK_HTTP_HOSTS" in json.loads(sent[1]["body"])["next_step"]


def guarded(**options: Any) -> Guard:
    """A guard before an application that says yes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["more_body"] is False
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return Guard(app, identify=None, **options)


async def asked(guard: Guard, headers: list[tuple[bytes, bytes]], chunks: list[bytes], *, ends: bool = True) -> list[Any]:
    """What is sent for a request whose body comes in these chunks."""
    sent: list[Any] = []
    waiting = list(chunks)

    async def receive() -> Any:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or not ends}
        return await anyio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)

    await guard({"type": "http", "path": "/mcp", "method": "POST", "headers": headers}, receive, send)
    return sent


@pytest.mark.fault("B2")
async def test_a_body_that_stops_coming_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And while it was coming it took no place."""
    monkeypatch.setattr("groq_fallback_mcp.transport.http_server.BODY_PROGRESS_S", 0.2)
    guard = guarded(most=1)
    halves = [asyncio.create_task(asked(guard, [], [b'{"half'], ends=False)) for _ in range(200)]
    await asyncio.sleep(0.01)
    assert (await asked(guard, [], [b"{", b"}"]))[0]["status"] == 200
    assert {sent[0]["status"] for sent in await asyncio.gather(*halves)} == {408}
    assert guard._arriving_bytes == guard._under_way == 0


@pytest.mark.fault("B2")
async def test_all_bodies_that_are_coming_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alone would be taken."""
    monkeypatch.setattr("groq_fallback_mcp.transport.http_server.BODY_PROGRESS_S", 0.2)
    monkeypatch.setattr("groq_fallback_mcp.transport.http_server.MOST_ARRIVING_BYTES", 1_000)
    guard = guarded(body_bytes=600)
    halves = [asyncio.create_task(asked(guard, [], [b"x" * 500], ends=False)) for _ in range(3)]
    assert sorted(sent[0]["status"] for sent in await asyncio.gather(*halves)) == [408, 408, 503]
    assert (await asked(guard, [], [b"x" * 601]))[0]["status"] == 413
    assert (await asked(guard, [(b"content-length", b"601")], [b"x"], ends=False))[0]["status"] == 413
    assert guard._arriving_bytes == 0


async def test_however_many_requests_one_token_sends_others_find_a_place() -> None:
    """Each may have as many as are free; callers that are not told apart may have all."""
    go_on = anyio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def named(found: object) -> str | None:
        return None if found == b"anybody" else str(found)

    guard = Guard(slow, identify=lambda token: token or None, most=16, rules=Rules(place_name=named))
    sent: dict[bytes, list[asyncio.Task[list[Any]]]] = {}
    for name, count in ((b"ann", 12), (b"ben", 12), (b"anybody", 12)):
        headers = [(b"authorization", b"Bearer " + name)]
        sent[name] = [asyncio.create_task(asked(guard, headers, [b"{}"])) for _ in range(count)]
        await asyncio.sleep(0)
    await anyio.wait_all_tasks_blocked()
    go_on.set()
    answers = {name: Counter(one[0]["status"] for one in await asyncio.gather(*tasks)) for name, tasks in sent.items()}
    assert answers == {b"ann": {200: 8, 429: 4}, b"ben": {200: 4, 429: 8}, b"anybody": {200: 4, 503: 8}}
    assert (guard._under_way, guard._places) == (0, Counter())
