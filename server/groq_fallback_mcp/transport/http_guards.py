"""What stands before the HTTP endpoint: who may ask, and how many at once. Plain ASGI, without a word about MCP."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["HEALTH", "MOST_AT_ONCE", "Guard"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/healthz"
# As many calls as are under way at Groq at a time, and as many again that wait for their turn.
MOST_AT_ONCE = 128


class Guard:
    """Lets a request through to `app` with the right bearer token, while fewer than `most` are under way.

    `token` None: nobody is asked for one. The address HEALTH tells whoever asks that the process lives, and nothing else.
    """

    def __init__(self, app: App, *, token: str | None, most: int = MOST_AT_ONCE) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._most = most
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == HEALTH:
            await _answer(send, 200, {"status": "ok"})
            return
        if not self._may(scope):
            cause = "no bearer token, or a wrong one"
            next_step = "send the header Authorization: Bearer with the token that GROQ_FALLBACK_HTTP_TOKEN holds at the server"
            await _answer(send, 401, {"error": cause, "next_step": next_step}, (b"www-authenticate", b"Bearer"))
            return
        if self._under_way >= self._most:
            refusal = {"error": f"{self._most} requests are under way", "next_step": "send it again in a second, or elsewhere"}
            await _answer(send, 503, refusal, (b"retry-after", b"1"))
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1

    def _may(self, scope: Scope) -> bool:
        if self._token is None:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        # in constant time: how long it takes tells nothing about the token
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"


async def _answer(send: Send, status: int, body: dict[str, str], *headers: tuple[bytes, bytes]) -> None:
    content = json.dumps(body).encode()
    length = (b"content-length", str(len(content)).encode())
    start = [(b"content-type", b"application/json"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})
