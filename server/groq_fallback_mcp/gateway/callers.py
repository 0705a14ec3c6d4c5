"""Whose request it is: the token decides who is counted, what may be spent, and which models may be used.

Everything else about people, such as signing in, is the work of a proxy before the gateway.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groq_fallback_mcp.call import UNRESTRICTED, CallOrigin, Restrictions, client_name, trace_context
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.gateway_tokens import CALLER, GatewayToken, TokensFile, token_hash
from groq_fallback_mcp.quota import OWNER, Caller
from groq_fallback_mcp.quota.budget import Budget, picodollars
from groq_fallback_mcp.render import capitalized, sentence
from groq_fallback_mcp.tools.tool import Context

__all__ = ["Callers", "GatewayCaller", "TokenHeader", "caller_of", "context_for", "name_of", "over_rpm", "owner_only"]

TOKEN_HEADER = b"x-groq-fallback-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCaller:
    """Who makes a request. `caller` is None for the owner while there are no other tokens."""

    caller: Caller | None
    restrictions: Restrictions = UNRESTRICTED

    @property
    def name(self) -> str | None:
        """The name that is counted under; None where nobody is told apart."""
        return None if self.caller is None else self.caller.name

    @property
    def is_owner(self) -> bool:
        """Whether it is the owner's own token."""
        return self.caller is None or self.caller == OWNER


class Callers:
    """Finds whose token it is: the owner's, or one of the file's."""

    def __init__(self, owner_token: str, tokens: TokensFile) -> None:
        self._owner_token = owner_token.encode()
        self._tokens = tokens
        self._known: Mapping[bytes, GatewayToken] = {}
        self._callers: dict[bytes, GatewayCaller] = {}

    def identify(self, token: bytes) -> GatewayCaller | None:
        """Whose token this is; None where it is nobody's.

        How long it takes tells nothing: the owner's is compared in constant time, the others are found by a hash that nobody can choose.
        """
        tokens = self._tokens.current()
        if tokens is not self._known:
            self._known, self._callers = tokens, {digest: _caller(one) for digest, one in tokens.items()}
        if hmac.compare_digest(token, self._owner_token):
            return GatewayCaller(caller=OWNER if tokens else None)
        return self._callers.get(token_hash(token))


class TokenHeader:
    """Middleware that names the token in each response to one of the file's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _found(scope)
        if found is None or found.is_owner or found.caller is None:
            await self._app(scope, receive, send)
            return
        name = found.caller.name.encode()

        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (TOKEN_HEADER, name)]}
            await send(message)

        await self._app(scope, receive, labelled)


def caller_of(request: Request) -> GatewayCaller | None:
    """Who makes a request; None where nobody is told apart."""
    return _found(request.scope)


def name_of(found: object) -> str | None:
    """The name that a caller is counted under; None where nobody is told apart."""
    return found.name if isinstance(found, GatewayCaller) else None


def context_for(context: Context, found: GatewayCaller | None, request: Request) -> Context:
    """What handlers need, for a caller's request."""
    engine = context.engine if found is None else context.engine.for_caller(found.caller, found.restrictions)
    headers = request.headers
    origin = CallOrigin(
        endpoint=request.url.path.removeprefix("/openai"),
        client=client_name(headers.get("user-agent", "")),
        **trace_context(headers),
    )
    return replace(context, engine=engine.with_origin(origin))


async def over_rpm(context: Context, found: GatewayCaller | None) -> Refusal | None:
    """Count a request of a caller that may make only some per minute; its refusal where it is one too many."""
    if found is None or found.caller is None or found.caller.rpm is None:
        return None
    wait = await context.engine.ledger.take_request(found.caller)
    if wait is None:
        return None
    message = f"{sentence(capitalized(wait.reason))} Send the request again after the time in Retry-After"
    return Refusal(status=429, type="rate_limit_error", code="rate_limited", message=message, retry_after_s=wait.wait_s)


def owner_only(app: ASGIApp) -> ASGIApp:
    """An application that only the owner's token opens: what has no callers to tell apart."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        found = _found(scope)
        if scope["type"] == "http" and found is not None and not found.is_owner:
            body = b'{"error": "this token is for the gateway alone", "next_step": "use /v1, or the owner\'s token"}'
            await Response(body, status_code=403, media_type="application/json")(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded


def _found(scope: MutableMapping[str, Any]) -> GatewayCaller | None:
    found = scope.get("state", {}).get(CALLER)
    return found if isinstance(found, GatewayCaller) else None


def _caller(token: GatewayToken) -> GatewayCaller:
    usd = token.budget_usd_per_day
    budget = Budget(tokens=token.tokens_per_day, picousd=None if usd is None else picodollars(usd))
    caller = Caller(name=token.name, budget=budget, rpm=token.rpm, yields=token.batch)
    return GatewayCaller(caller=caller, restrictions=Restrictions(models=token.models))
