"""The gateway's routes, each with and without Groq's /openai before it. What is not there is refused in the API's own form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from groq_fallback_mcp.clock import today
from groq_fallback_mcp.gateway.audio import SpeechEndpoint, TranscriptionEndpoint
from groq_fallback_mcp.gateway.callers import TokenHeader, caller_of, context_for, over_rpm
from groq_fallback_mcp.gateway.chat import ChatEndpoint, GatewayTimes, json_response, refusal_response
from groq_fallback_mcp.gateway.model_list import listed_models
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.tools.tool import Context

__all__ = ["gateway_app"]

Endpoint = Callable[[Request], Awaitable[Response]]

PREFIXES = ("", "/openai")
_ROUTES = "/v1/chat/completions, /v1/models, /v1/audio/transcriptions, /v1/audio/translations and /v1/audio/speech"


def gateway_app(context: Context, *, times: GatewayTimes, plan: str) -> Starlette:
    """The application, without the guard before it. `plan` is the name of Groq's plan, for messages."""
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
            only=None if found is None else found.restrictions.models,
        )

    async def models(request: Request) -> Response:
        return json_response({"object": "list", "data": await rows(request)})

    async def model(request: Request) -> Response:
        name = request.path_params["id"]
        found = next((row for row in await rows(request) if row["id"] in {name, name.removeprefix("groq/")}), None)
        if found is not None:
            return json_response(found)
        message = f"The model {excerpt(name)} cannot be used here. See /v1/models"
        return refusal_response(Refusal(status=404, message=message, param="model", code="model_not_found"))

    served: Mapping[str, Callable[[Context], Endpoint]] = {
        "/v1/chat/completions": lambda own: ChatEndpoint(own.engine, times=times, plan=plan),
        "/v1/audio/transcriptions": lambda own: TranscriptionEndpoint(own, translate=False),
        "/v1/audio/translations": lambda own: TranscriptionEndpoint(own, translate=True),
        "/v1/audio/speech": SpeechEndpoint,
    }
    endpoints: Sequence[tuple[str, Endpoint, str]] = [
        *((path, _for_each_caller(make, context), "POST") for path, make in served.items()),
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


def _for_each_caller(make: Callable[[Context], Endpoint], context: Context) -> Endpoint:
    """An endpoint whose calls are counted as their caller's, and refused before anything else where those are too many."""

    async def call(request: Request) -> Response:
        found = caller_of(request)
        refusal = await over_rpm(context, found)
        if refusal is not None:
            return refusal_response(refusal)
        return await make(context_for(context, found))(request)

    return call


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other
    path = excerpt(request.url.path)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        message = f"{request.method} is not allowed for {path}. Use {allowed}"
        return refusal_response(
            Refusal(status=405, code="method_not_allowed", message=message, headers=dict(error.headers or {}))
        )
    if error.status_code == 404:
        return refusal_response(Refusal(status=404, code="unknown_url", message=f"There is no {path} here. Use {_ROUTES}"))
    return refusal_response(Refusal(status=error.status_code, message=str(error.detail)))
