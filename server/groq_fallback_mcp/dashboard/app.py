"""The dashboard's routes: the page and its files, the data as JSON and as events, and the way in from the command line.

It stands behind the guard of the server that it is part of, which lets pass what has the token. For a browser, that has none,
`admits` and `is_public` say what else may pass: GETs of the dashboard, with a session. Nothing here changes anything.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request, cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from groq_fallback_mcp import __version__
from groq_fallback_mcp.dashboard.access import CODE_LIFE_S, SESSION_LIFE_S, Access
from groq_fallback_mcp.dashboard.source import EVERY_S, OverviewSource
from groq_fallback_mcp.gateway_tokens import CALLER
from groq_fallback_mcp.redaction import clean_json
from groq_fallback_mcp.tools import Context

__all__ = ["LINK", "OPEN", "Dashboard", "is_dashboard"]

HOME = "/"
FOLDER = "/dashboard"
LINK = f"{FOLDER}/link"
OPEN = f"{FOLDER}/open"
STYLE = f"{FOLDER}/page.css"
FILES = {
    STYLE: "text/css",
    **{f"{FOLDER}/{name}": "text/javascript" for name in ("page.js", "limits.js", "elements.js")},
}
MOST_STREAMS = 8
HEARTBEAT_S = 15.0
COOKIE = "groq-fallback-dashboard"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_READ = {"GET", "HEAD"}

_log = logging.getLogger(__name__)


class Dashboard:
    """The dashboard of one server, an ASGI application. `needs_session` is false where the server itself takes anybody's requests."""

    def __init__(self, context: Context, *, needs_session: bool = True, keeps_history: bool = True) -> None:
        self._clock = context.engine.clock
        self._access = Access(self._clock.monotonic)
        self._source = OverviewSource(context, keeps_history=keeps_history)
        self._needs_session = needs_session
        self._streams = 0
        self._app = Starlette(
            routes=[
                Route(HOME, self._page),
                Route(FOLDER, self._page),
                *(Route(path, self._file) for path in FILES),
                Route(LINK, self._link, methods=["POST"]),
                Route(OPEN, self._open),
                Route(f"{FOLDER}/data", self._data),
                Route(f"{FOLDER}/events", self._events),
            ],
            middleware=[Middleware(_Headers)],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def admits(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a request without a token is a browser's that has a session, for a page of the dashboard."""
        return is_dashboard(scope["path"]) and scope["method"] in _READ and self._session(scope) is not None

    @staticmethod
    def is_public(scope: MutableMapping[str, Any]) -> bool:
        """Whether a request needs neither token nor session: without them it gets no more than the advice how to come in."""
        return scope["method"] in _READ and scope["path"] in {HOME, FOLDER, OPEN, STYLE}

    def _may_look(self, request: Request) -> bool:
        return not self._needs_session or CALLER in request.scope.get("state", {}) or self._session(request.scope) is not None

    def _session(self, scope: MutableMapping[str, Any]) -> str | None:
        """The session that has not ended, of a request's cookie."""
        name = _cookie_name(scope)
        for header, value in scope["headers"]:
            # each by itself: another server of this host may have set one of the same name, or one that is not as it should be
            for part in value.decode("latin-1").split(";") if header == b"cookie" else ():
                found = cookie_parser(part).get(name)
                if found is not None and self._access.is_open(found):
                    return found
        return None

    async def _page(self, request: Request) -> Response:
        if self._may_look(request):
            return Response(_content("page.html"), media_type="text/html")
        return _signed_out()

    async def _file(self, request: Request) -> Response:
        path = request.url.path
        if path != STYLE and not self._may_look(request):
            return _refusal()
        return Response(_content(path.rpartition("/")[2]), media_type=FILES[path])

    async def _link(self, _: Request) -> Response:
        return JSONResponse({"path": f"{OPEN}?code={self._access.new_code()}", "expires_in_s": CODE_LIFE_S})

    async def _open(self, request: Request) -> Response:
        # a look at the headers alone, as of a preview, does not use the code up
        session = self._access.redeem(request.query_params.get("code", "")) if request.method == "GET" else None
        if session is None:
            return _signed_out()
        response = RedirectResponse(HOME, status_code=303)
        response.set_cookie(
            _cookie_name(request.scope),
            session,
            max_age=int(SESSION_LIFE_S),
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    async def _data(self, request: Request) -> Response:
        if not self._may_look(request):
            return _refusal()
        try:
            sections = await self._source.sections()
        except Exception:  # noqa: BLE001 - whatever it is, it goes through the log, where keys are taken out
            _log.exception("the dashboard's data cannot be read")
            return JSONResponse(_FAULT, status_code=500)
        body = b",".join(
            b'"%s":%s' % (name.encode(), section) for name, section in [("server", self._server()), *sections.items()]
        )
        return Response(b"{" + body + b"}", media_type="application/json")

    async def _events(self, request: Request) -> Response:
        if not self._may_look(request):
            return _refusal()
        if request.method == "HEAD":
            # there is nothing to follow, and no place is taken
            return Response(media_type="text/event-stream")
        if self._streams >= MOST_STREAMS:
            cause = f"{MOST_STREAMS} dashboards are open already"
            return JSONResponse({"error": cause, "next_step": "close one of them, or use /dashboard/data"}, status_code=503)
        return _Stream(self._changes(request), self._count)

    def _count(self, change: int) -> None:
        self._streams += change

    async def _changes(self, request: Request) -> AsyncGenerator[bytes]:
        """The sections that changed, as events, once a second; a comment where none did for some time."""
        shown: Mapping[str, bytes] = {}
        sent_at = self._clock.monotonic()
        yield b"retry: 2000\n\n"
        while self._may_look(request):
            try:
                sections = await self._source.sections()
            except Exception:  # noqa: BLE001 - the next look may succeed
                if _FAULT_EVENT not in shown:
                    _log.exception("the dashboard's data cannot be read")
                sections = {_FAULT_EVENT: clean_json(_FAULT)}
            changed = [_event(name, section) for name, section in sections.items() if shown.get(name) != section]
            is_quiet = self._clock.monotonic() - sent_at >= HEARTBEAT_S
            if changed:
                yield b"".join([_event("server", self._server()), *changed])
            elif is_quiet:
                yield b": nothing changed\n\n"
            if changed or is_quiet:
                sent_at = self._clock.monotonic()
            shown = sections
            await self._clock.sleep(EVERY_S)
        yield _event("ended", b"{}")

    def _server(self) -> bytes:
        return clean_json({"at": round(self._clock.wall(), 3), "version": __version__})


def is_dashboard(path: str) -> bool:
    """Whether a path is one of the dashboard's."""
    return path in {HOME, FOLDER} or path.startswith(f"{FOLDER}/")


_FAULT_EVENT = "fault"
_FAULT = {"error": "the dashboard's data cannot be read", "next_step": "see the server's log"}


class _Stream(StreamingResponse):
    """Events that are counted as long as they come."""

    def __init__(self, events: AsyncGenerator[bytes], count: Callable[[int], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._count(1)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._count(-1)


class _Headers:
    """Middleware that adds HEADERS to each response."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, with_headers)


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def _content(name: str) -> bytes:
    return (files(__package__) / name).read_bytes()


def _cookie_name(scope: MutableMapping[str, Any]) -> str:
    """Cookies are shared by all ports of a host: each server's has a name of its own."""
    server = scope.get("server")
    return COOKIE if server is None or server[1] is None else f"{COOKIE}-{server[1]}"


def _signed_out() -> Response:
    return Response(_content("signed_out.html"), status_code=401, media_type="text/html")


def _refusal() -> Response:
    refused = {"error": "this browser has no open session", "next_step": "run groq-fallback-mcp dashboard"}
    return JSONResponse(refused, status_code=401)
