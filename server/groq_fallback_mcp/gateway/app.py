"""The gateway's routes, each with and without Groq's /openai before it. What is not there is refused in the API's own form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from groq_fallback_mcp.clock import today
from groq_fallback_mcp.gateway.audio import SpeechEndpoint, TranscriptionEndpoint
from groq_fallback_mcp.gateway.callers import TokenHeader, caller_of, context_for, over_rpm
from groq_fallback_mcp.gateway.client_lists import CLAUDE_PREFIX, codex_models, messages_models
from groq_fallback_mcp.gateway.completions import ChatCompletions
from groq_fallback_mcp.gateway.dialect import Dialect
from groq_fallback_mcp.gateway.endpoint import AnswerEndpoint, GatewayTimes
from groq_fallback_mcp.gateway.http import json_response, read_request, refusal_response
from groq_fallback_mcp.gateway.messages import Messages, counted
from groq_fallback_mcp.gateway.messages_body import read_messages_body
from groq_fallback_mcp.gateway.model_list import listed_models
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.gateway.responses import Responses
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.tools.tool import Context

__all__ = ["error_body", "gateway_app"]

Endpoint = Callable[[Request], Awaitable[Response]]

PREFIXES = ("", "/openai")
MESSAGES = Messages()
_ROUTES = "/v1/chat/completions, /v1/responses, /v1/messages, /v1/models, /v1/audio/transcriptions, /v1/audio/translations and /v1/audio/speech"


def gateway_app(context: Context, *, times: GatewayTimes) -> Starlette:
    """The application, without the guard before it."""
    engine = context.engine
    started = int(engine.clock.wall())

    async def rows(request: Request) -> list[dict[str, object]]:
        found = caller_of(request)
        await engine.registry.refresh()
        ready = [name for name, provider in engine.registry.providers.items() if provider.unready is None]
        return listed_models(
            catalog=engine.catalog,
            providers=engine.registry.models(),
            ready=ready,
            today=today(engine.clock),
            created=started,
            restrictions=engine.restrictions if found is None else found.restrictions.within(engine.restrictions),
        )

    async def models(request: Request) -> Response:
        if "anthropic-version" in request.headers:
            return json_response(messages_models(await rows(request)))
        found = await rows(request)
        more = {"models": codex_models(found)} if "client_version" in request.query_params else {}
        return json_response({"object": "list", "data": found, **more})

    async def model(request: Request) -> Response:
        name = request.path_params["id"].removeprefix(CLAUDE_PREFIX)
        names = {name, name.removeprefix("groq/")}
        found = [row for row in await rows(request) if row["id"] in names or f"{row['owned_by']}/{row['id']}" == name]
        own = MESSAGES if "anthropic-version" in request.headers else None
        shown = found if own is None else messages_models(found)["data"]
        if shown:
            return json_response(shown[0])
        message = f"The model {excerpt(name)} cannot be used here. See /v1/models"
        return refusal_response(Refusal(status=404, message=message, param="model", code="model_not_found"), own)

    async def count_tokens(request: Request) -> Response:
        read = await read_request(request, lambda given: read_messages_body(given, catalog=engine.catalog))
        return refusal_response(read, MESSAGES) if isinstance(read, Refusal) else json_response(counted(read))

    dialects: Mapping[str, Dialect] = {
        "/v1/chat/completions": ChatCompletions(),
        "/v1/responses": Responses(),
        "/v1/messages": MESSAGES,
    }
    audio: Mapping[str, Callable[[Context], Endpoint]] = {
        "/v1/audio/transcriptions": lambda own: TranscriptionEndpoint(own, translate=False),
        "/v1/audio/translations": lambda own: TranscriptionEndpoint(own, translate=True),
        "/v1/audio/speech": SpeechEndpoint,
    }
    endpoints: Sequence[tuple[str, Endpoint, str]] = [
        *((path, _answers(dialect, context, times=times), "POST") for path, dialect in dialects.items()),
        ("/v1/messages/count_tokens", count_tokens, "POST"),
        *((path, _for_each_caller(make, context), "POST") for path, make in audio.items()),
        ("/v1/models", models, "GET"),
        ("/v1/models/{id:path}", model, "GET"),
    ]
    return Starlette(
        routes=[
            Route(prefix + path, endpoint, methods=[method]) for prefix in PREFIXES for path, endpoint, method in endpoints
        ],
        middleware=[Middleware(TokenHeader)],
        exception_handlers={HTTPException: _unknown},
    )


def _answers(dialect: Dialect, context: Context, *, times: GatewayTimes) -> Endpoint:
    return _for_each_caller(lambda own: AnswerEndpoint(dialect, own.engine, times=times), context, dialect)


def _for_each_caller(make: Callable[[Context], Endpoint], context: Context, dialect: Dialect | None = None) -> Endpoint:
    """An endpoint whose calls are counted as their caller's, and refused before anything else where those are too many."""

    async def call(request: Request) -> Response:
        found = caller_of(request)
        refusal = await over_rpm(context, found)
        if refusal is not None:
            return refusal_response(refusal, dialect)
        return await make(context_for(context, found, request))(request)

    return call


def error_body(path: str, refusal: Refusal) -> Mapping[str, Any]:
    """The body of an error, as clients of a path read it."""
    return refusal.body() if (dialect := _dialect_of(path)) is None else dialect.error(refusal)[1]


def _dialect_of(path: str) -> Dialect | None:
    """The dialect whose errors have a form of their own; None for OpenAI's."""
    return MESSAGES if "/v1/messages" in path else None


def _of_base_url(request: Request) -> str | None:
    """What to do where a base URL with /v1 too many, or without it, made the path; None where no other would be right."""
    path, base = request.url.path, str(request.base_url).rstrip("/")
    prefix = next(one for one in reversed(PREFIXES) if path.startswith(f"{one}/"))
    rest = path.removeprefix(prefix)
    known = _ROUTES.replace(" and ", ", ").split(", ")
    if rest.startswith("/v1/v1/"):
        return f"This client adds /v1 itself. Give it the base URL {base}{prefix}"
    return f"Give this client the base URL {base}{prefix}/v1" if f"/v1{rest}" in known else None


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other
    path, dialect = excerpt(request.url.path), _dialect_of(request.url.path)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        message = f"{request.method} is not allowed for {path}. Use {allowed}"
        refusal = Refusal(status=405, code="method_not_allowed", message=message, headers=dict(error.headers or {}))
    elif error.status_code == 404:
        step = _of_base_url(request) or f"Use {_ROUTES}"
        refusal = Refusal(status=404, code="unknown_url", message=f"There is no {path} here. {step}")
    else:
        refusal = Refusal(status=error.status_code, message=str(error.detail))
    return refusal_response(refusal, dialect)
