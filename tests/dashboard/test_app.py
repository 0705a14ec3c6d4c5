"""The dashboard behind the gateway's guard: who is let in, what is sent, and that nothing else opens with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from dashboards import OWNERS, Dashboards
from upstream import Received

from groq_fallback_mcp.call import AttemptRecord, CallOrigin, CallRecord, CallUnderWay
from groq_fallback_mcp.cli.gateway import guarded
from groq_fallback_mcp.dashboard.access import CODE_LIFE_S, SESSION_LIFE_S
from groq_fallback_mcp.dashboard.app import HEADERS, HEARTBEAT_S, MOST_STREAMS, Dashboard
from groq_fallback_mcp.redaction import register_secrets
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio
PAGES = ("/", "/dashboard/page.js", "/dashboard/page.css", "/dashboard/data", "/dashboard/events")
SECRET = "Ab3-secret-of-this-test-9Zq"


def call(name: str, at: float, **fields: Any) -> CallRecord:
    """A call that was answered."""
    attempt = AttemptRecord(provider="groq", model="m1", outcome="answered", duration_s=0.5)
    return CallRecord(id=name, started_at=at, provider="groq", model="m1", attempts=(attempt,), **fields)


def sections(got: Received) -> dict[str, Any]:
    """The events of a stream: the last of each name, comments under an empty one."""
    found: dict[str, Any] = {}
    for block in got.body.decode().split("\n\n"):
        if block.startswith("event: "):
            name, _, data = block.removeprefix("event: ").partition("\ndata: ")
            found[name] = json.loads(data)
        elif block.startswith(":"):
            found[""] = block
    return found


@pytest.mark.parametrize("path", PAGES)
async def test_without_a_session_nothing_is_shown_but_how_to_come_in(path: str, tmp_path: Path) -> None:
    """The style of that page is no secret."""
    shown = Dashboards(tmp_path)
    got = await shown.ask(path)
    if path == "/dashboard/page.css":
        assert got.status == 200
        return
    assert got.status == 401
    if path == "/":
        assert b"<code>groq-fallback-mcp dashboard</code>" in got.body
    for wrong in ("groq-fallback-dashboard-8788=x", "=", "a=b; groq-fallback-dashboard-8788=; ;;", 'x="'):
        assert (await shown.ask(path, cookie=wrong)).status == 401


async def test_a_link_opens_a_session_once_and_in_time(tmp_path: Path) -> None:
    """Its cookie is for this server's pages alone, out of the reach of scripts and of other sites."""
    shown = Dashboards(tmp_path)
    link = await shown.link()
    assert (await shown.ask(link, method="HEAD")).status == 401
    got = await shown.ask(link)
    assert (got.status, got.headers["location"]) == (303, "/")
    cookie, *flags = got.headers["set-cookie"].split("; ")
    assert {flag.lower() for flag in flags} >= {"httponly", "samesite=strict", "path=/", f"max-age={SESSION_LIFE_S:.0f}"}
    assert "secure" not in got.headers["set-cookie"].lower()
    for path in ("/dashboard", *PAGES[:-1]):
        assert (await shown.ask(path, cookie=cookie)).status == 200
    for refused in (link, "/dashboard/open?code=wrong", "/dashboard/open", f"/dashboard/open?code={'x' * 9_000}"):
        got = await shown.ask(refused)
        assert (got.status, "set-cookie" in got.headers) == (401, False)
    late = await shown.link()
    shown.world.clock.advance(CODE_LIFE_S)
    assert (await shown.ask(late)).status == 401
    shown.world.clock.advance(SESSION_LIFE_S)
    assert (await shown.ask("/dashboard/data", cookie=cookie)).status == 401


async def test_cookies_of_other_servers_of_this_machine_are_in_nobodys_way(tmp_path: Path) -> None:
    """Browsers send those of all ports, whatever is in them."""
    shown = Dashboards(tmp_path)
    cookie = await shown.sign_in()
    for others in ('theme={"dark": true}; a b=c; ', "groq-fallback-dashboard-9999=x; ", "\xe9\x80=\xff; ;;=; "):
        assert (await shown.ask("/dashboard/data", cookie=others + cookie)).status == 200
    name = cookie.partition("=")[0]
    for both in (f"{cookie}; {name}=x", f"{name}=x; {cookie}"):
        assert (await shown.ask("/dashboard/data", cookie=both)).status == 200


async def test_a_look_at_the_headers_of_the_events_takes_no_place(tmp_path: Path) -> None:
    shown = Dashboards(tmp_path)
    cookie = await shown.sign_in()
    for _ in range(MOST_STREAMS + 1):
        assert (await shown.ask("/dashboard/events", method="HEAD", cookie=cookie)).status == 200


async def test_only_the_owners_token_gets_a_link_or_the_data(tmp_path: Path) -> None:
    """A named token is for the gateway alone: the data is of everybody's calls."""
    shown = Dashboards(tmp_path)
    assert (await shown.ask("/dashboard/data", token=OWNERS)).status == 200
    for token, status in (("ann", 403), ("nobody", 401)):
        assert (await shown.ask("/dashboard/data", token=token)).status == status
        assert (await shown.ask("/dashboard/events", token=token)).status == status
        assert (await shown.ask("/dashboard/link", method="POST", token=token)).status == status
    assert (await shown.ask("/", token="ann")).status == 403
    assert (await shown.ask("/dashboard/link", method="POST")).status == 401


async def test_a_session_opens_nothing_but_gets_of_the_dashboard(tmp_path: Path) -> None:
    """A page of another origin that made the browser send the cookie could spend nothing, and not even make a link."""
    shown = Dashboards(tmp_path)
    cookie = await shown.sign_in()
    for method, path in (
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("POST", "/mcp"),
        ("POST", "/dashboard/link"),
        ("POST", "/"),
        ("DELETE", "/dashboard/data"),
    ):
        assert (await shown.ask(path, method=method, cookie=cookie)).status == 401, path
    # a wrong token is not made good by a cookie
    assert (await shown.ask("/dashboard/data", cookie=cookie, token="wrong")).status == 401


async def test_the_guards_against_other_names_and_origins_hold_for_it(tmp_path: Path) -> None:
    """DNS rebinding, and pages of other origins."""
    shown = Dashboards(tmp_path)
    cookie = await shown.sign_in()
    link = await shown.link()
    for path in ("/", "/dashboard/data", link):
        assert (await shown.ask(path, cookie=cookie, headers={"host": "evil.example"})).status == 421
        assert (await shown.ask(path, cookie=cookie, headers={"origin": "http://evil.example"})).status == 403
    assert (await shown.ask(link)).status == 303


async def test_every_response_has_the_headers_that_keep_a_page_alone(tmp_path: Path) -> None:
    """Only what this server sends is run, shown in no frame, kept nowhere, and leaks no address."""
    shown = Dashboards(tmp_path)
    cookie = await shown.sign_in()
    for path in ("/", "/dashboard/page.js", "/dashboard/page.css", "/dashboard/data", "/dashboard/nothing", "/dashboard/open"):
        got = await shown.ask(path, cookie=cookie)
        assert HEADERS.items() <= got.headers.items(), path
    assert HEADERS["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in HEADERS["content-security-policy"]


async def test_the_data_is_of_all_processes_that_share_the_ledger(tmp_path: Path) -> None:
    """Calls that ended, those under way, limits and sums."""
    shown = Dashboards(tmp_path)
    now = shown.world.clock.wall()
    under_way = CallUnderWay(id="u", started_at=now, provider="groq", model="m2", doing="waiting")
    await shown.keep(call("1", now - 5), call("2", now - 1), under_way=(under_way,))
    data = await shown.data()
    assert [one["id"] for one in data["calls"]["calls"]] == ["2", "1"]
    assert [one["doing"] for one in data["now"]["under_way"]] == ["waiting"]
    assert "groq/openai/gpt-oss-20b" in [one["model"] for one in data["now"]["models"]]
    assert (data["cost"]["total"]["calls"], data["cost"]["days"][-1]["calls"]) == (2, 2)
    assert [(one["model"], one["sent"]) for one in data["health"]["models"]] == [("groq/m1", 2)]
    assert data["server"]["version"]


async def test_no_secret_is_in_the_data(tmp_path: Path) -> None:
    """Whatever a client calls itself."""
    register_secrets(SECRET)
    shown = Dashboards(tmp_path)
    now = shown.world.clock.wall()
    origin = CallOrigin(client=SECRET, caller=f"a {SECRET}", endpoint=SECRET)
    await shown.keep(call("1", now, origin=origin, requested_model=SECRET))
    cookie = await shown.sign_in()
    data = await shown.ask("/dashboard/data", cookie=cookie)
    events = await shown.ask("/dashboard/events", cookie=cookie, leave_after=2)
    for got in (data, events):
        assert (got.status, SECRET.encode() in got.body, b"[redacted]" in got.body) == (200, False, True)


class Stream:
    """A stream that is read as it comes."""

    def __init__(self, shown: Dashboards, cookie: str) -> None:
        self.shown = shown
        self.cookie = cookie
        self.received = Received()
        self.left = anyio.Event()
        self.ended = anyio.Event()

    async def read(self) -> None:
        """Until the server ends it, or `left` is set."""
        pieces = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            for piece in pieces:
                return piece
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.received.status = message["status"]
            self.received.body += message.get("body", b"")

        headers = [(b"host", b"127.0.0.1:8788"), (b"cookie", self.cookie.encode())]
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/dashboard/events",
            "raw_path": b"/dashboard/events",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8788),
        }
        await self.shown.app(scope, receive, send)
        self.ended.set()

    async def until(self, wanted: bytes) -> None:
        """Until this has come."""
        with anyio.fail_after(10):
            while wanted not in self.received.body:  # noqa: ASYNC110 - it comes piece by piece
                await anyio.sleep(0.005)


@asynccontextmanager
async def stream(shown: Dashboards, cookie: str) -> AsyncIterator[Stream]:
    """A stream that a client leaves in the end."""
    one = Stream(shown, cookie)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.read)
        yield one
        one.left.set()


async def test_events_send_what_changed_and_nothing_else(tmp_path: Path) -> None:
    """A call that ended shows without asking again."""
    shown = Dashboards(tmp_path)
    async with stream(shown, await shown.sign_in()) as one:
        await one.until(b"event: health")
        assert set(sections(one.received)) == {"server", "now", "calls", "cost", "health"}
        one.received.body = b""
        await shown.keep(call("1", shown.world.clock.wall()))
        await one.until(b"event: calls")
        await one.until(b"event: health")
        assert b"event: now" not in one.received.body
        assert sections(one.received)["calls"]["calls"][0]["id"] == "1"


async def test_events_of_which_nothing_changes_send_a_sign_of_life(tmp_path: Path) -> None:
    """So that neither side takes the other for gone."""
    shown = Dashboards(tmp_path)
    async with stream(shown, await shown.sign_in()) as one:
        await one.until(b"event: health")
        before = shown.world.clock.monotonic()
        await one.until(b": nothing changed")
        assert shown.world.clock.monotonic() - before >= HEARTBEAT_S - 2


async def test_events_end_with_the_session(tmp_path: Path) -> None:
    """And say so."""
    shown = Dashboards(tmp_path)
    async with stream(shown, await shown.sign_in()) as one:
        await one.until(b"event: health")
        shown.world.clock.advance(SESSION_LIFE_S)
        with anyio.fail_after(10):
            await one.ended.wait()
        assert one.received.body.endswith(b"event: ended\ndata: {}\n\n")


async def test_streams_are_bounded_and_one_that_ends_makes_room(tmp_path: Path) -> None:
    """The refusal says what to do."""
    shown = Dashboards(tmp_path)
    cookie = await shown.sign_in()
    async with anyio.create_task_group() as tasks:
        streams = [Stream(shown, cookie) for _ in range(MOST_STREAMS)]
        for one in streams:
            tasks.start_soon(one.read)
        for one in streams:
            await one.until(b"retry")
        refused = await shown.ask("/dashboard/events", cookie=cookie)
        assert (refused.status, "close one of them" in refused.json["next_step"]) == (503, True)
        streams[0].left.set()
        with anyio.fail_after(10):
            await streams[0].ended.wait()
        assert (await shown.ask("/dashboard/events", cookie=cookie, leave_after=2)).status == 200
        for one in streams:
            one.left.set()


async def test_a_store_that_fails_shows_as_a_fault_and_recovers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, not every second."""
    shown = Dashboards(tmp_path)
    ledger: Any = shown.world.ledger
    works = ledger.calls

    async def fails(**_: object) -> None:
        raise RuntimeError(SECRET)

    ledger.calls = fails
    cookie = await shown.sign_in()
    got = await shown.ask("/dashboard/data", cookie=cookie)
    assert (got.status, SECRET.encode() in got.body) == (500, False)
    caplog.clear()
    async with stream(shown, cookie) as one:
        await one.until(b"event: fault")
        await one.until(b": nothing changed")
        ledger.calls = works
        await one.until(b"event: health")
    assert len(caplog.records) == 1


async def test_over_https_the_cookie_is_for_https_alone(tmp_path: Path) -> None:
    """As it is where a proxy ends TLS before the server, and says so."""
    shown = Dashboards(tmp_path)
    inner, link = shown.app, await shown.link()

    async def tls(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "scheme": "https"}, receive, send)

    shown.app = tls
    assert "; Secure" in (await shown.ask(link)).headers["set-cookie"]


async def test_where_the_server_asks_for_no_token_the_dashboard_asks_for_no_session(tmp_path: Path) -> None:
    """As `serve --http` on loopback without one: everything else is open there, too."""
    shown = Dashboards(tmp_path)
    context = Context(engine=shown.world.engine, folders=())
    shown.app = Dashboard(context, needs_session=False)
    for path in ("/", "/dashboard/data"):
        assert (await shown.ask(path)).status == 200


async def test_what_turned_its_history_off_says_so(tmp_path: Path) -> None:
    """An empty list would look as if nothing had been called."""
    shown = Dashboards(tmp_path)
    context = Context(engine=shown.world.engine, folders=())
    settings = load_settings().model_copy(update={"history": False})
    shown.app = guarded(context, settings, OWNERS)  # type: ignore[assignment]
    assert (await shown.data())["calls"]["kept"] is False


async def test_the_rest_of_the_gateway_is_as_it_was(tmp_path: Path) -> None:
    """With the owner's token."""
    shown = Dashboards(tmp_path)
    assert (await shown.ask("/v1/models", token=OWNERS)).status == 200
    assert (await shown.ask("/dashboards", token=OWNERS)).status == 404
    assert (await shown.ask("/dashboard/nothing", token=OWNERS)).status == 404
