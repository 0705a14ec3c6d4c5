"""The simulator as a web application: authentication, routing, faults, and switches for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Catalog, ModelRow
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_list
from groq_fallback_mcp.simulator.audio_endpoints import speak, transcribe
from groq_fallback_mcp.simulator.batch_endpoints import (
    cancel_batch,
    create_batch,
    create_file,
    delete_file,
    file_content,
    file_info,
    list_batches,
    list_files,
    one_batch,
)
from groq_fallback_mcp.simulator.chat_completions import complete
from groq_fallback_mcp.simulator.generation import PlainSpeech, PlainText, SpeechEngine, TextEngine
from groq_fallback_mcp.simulator.injected_faults import halved, meet
from groq_fallback_mcp.simulator.options import SimulatorOptions, faulted_model, parse_fault
from groq_fallback_mcp.simulator.prompt_cache import PromptCache
from groq_fallback_mcp.simulator.rate_limits import Limits
from groq_fallback_mcp.simulator.replies import ApiError, error, json_reply, payload_of
from groq_fallback_mcp.simulator.responses import respond
from groq_fallback_mcp.simulator.wire import Payload
from groq_fallback_mcp.simulator.world import World

__all__ = ["create_app"]

BASE = "/openai/v1"
_Serve = Callable[..., Awaitable[Response]]


def create_app(
    options: SimulatorOptions,
    *,
    catalog: Catalog,
    clock: Clock,
    text_engine: TextEngine | None = None,
    speech_engine: SpeechEngine | None = None,
) -> Starlette:
    """The application; its `state.world` is open to tests."""
    tables: dict[str, Mapping[Limit, int]] = {row.id: catalog.limits(row.id, options.plan) for row in catalog.models.values()}
    for model, figures in options.limits.items():
        tables[model] = {Limit(name): figure for name, figure in figures.items()}
    world = World(
        options=options,
        catalog=catalog,
        clock=clock,
        text=text_engine or PlainText(),
        speech=speech_engine or PlainSpeech(),
        limits=Limits(clock=clock, tables=tables),
        cache=PromptCache(clock=clock),
    )
    world.reset()
    routes = [
        Route(f"{BASE}/models", _guarded(world, _models)),
        Route(f"{BASE}/models/{{model:path}}", _guarded(world, _one_model)),
        Route(f"{BASE}/chat/completions", _guarded(world, _chat), methods=["POST"]),
        Route(f"{BASE}/audio/transcriptions", _guarded(world, _transcriptions), methods=["POST"]),
        Route(f"{BASE}/audio/translations", _guarded(world, _translations), methods=["POST"]),
        Route(f"{BASE}/audio/speech", _guarded(world, _speech), methods=["POST"]),
        Route(f"{BASE}/responses", _guarded(world, _responses), methods=["POST"]),
        Route(f"{BASE}/files", _guarded(world, create_file), methods=["POST"]),
        Route(f"{BASE}/files", _guarded(world, list_files)),
        Route(f"{BASE}/files/{{id}}", _guarded(world, delete_file), methods=["DELETE"]),
        Route(f"{BASE}/files/{{id}}", _guarded(world, file_info)),
        Route(f"{BASE}/files/{{id}}/content", _guarded(world, file_content)),
        Route(f"{BASE}/batches", _guarded(world, create_batch), methods=["POST"]),
        Route(f"{BASE}/batches", _guarded(world, list_batches)),
        Route(f"{BASE}/batches/{{id}}", _guarded(world, one_batch)),
        Route(f"{BASE}/batches/{{id}}/cancel", _guarded(world, cancel_batch), methods=["POST"]),
        Route("/simulator/calls", _calls(world)),
        Route("/simulator/faults", _set_faults(world), methods=["POST"]),
        Route("/simulator/reset", _reset(world), methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_request})
    app.state.world = world
    return app


def _guarded(world: World, serve: _Serve) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            organization = world.organization(request.headers.get("authorization"))
            return await serve(world, organization, request)
        except ApiError as failure:
            return error(failure)

    return endpoint


async def _models(world: World, organization: str, request: Request) -> Response:
    del organization, request
    return json_reply({"object": "list", "data": [_model_body(world, row) for row in world.live()]})


async def _one_model(world: World, organization: str, request: Request) -> Response:
    del organization
    return json_reply(_model_body(world, world.model(request.path_params["model"])))


def _model_body(world: World, row: ModelRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "object": "model",
        "created": int(world.clock.wall()),
        "owned_by": row.id.split("/", maxsplit=1)[0] if "/" in row.id else "simulated",
        "active": True,
        "context_window": row.context_window or 448,
        "max_completion_tokens": row.max_completion_tokens or 448,
        "public_apps": None,
    }


async def _chat(world: World, organization: str, request: Request) -> Response:
    payload = await payload_of(request)

    async def serve(cut: bool) -> Response:
        return await complete(world, organization, payload, cut=cut)

    return await _counted(world, payload, serve)


async def _responses(world: World, organization: str, request: Request) -> Response:
    payload = await payload_of(request)

    async def serve(cut: bool) -> Response:
        return await respond(world, organization, payload, cut=cut)

    return await _counted(world, payload, serve)


async def _speech(world: World, organization: str, request: Request) -> Response:
    payload = await payload_of(request)

    async def serve(cut: bool) -> Response:
        return halved(await speak(world, organization, payload)) if cut else await speak(world, organization, payload)

    return await _counted(world, payload, serve)


async def _transcriptions(world: World, organization: str, request: Request) -> Response:
    return await _heard(world, organization, request, translate=False)


async def _translations(world: World, organization: str, request: Request) -> Response:
    return await _heard(world, organization, request, translate=True)


async def _heard(world: World, organization: str, request: Request, *, translate: bool) -> Response:
    async with request.form(max_part_size=200 * 1_048_576) as form:

        async def serve(cut: bool) -> Response:
            reply = await transcribe(world, organization, form, translate=translate)
            return halved(reply) if cut else reply

        return await _counted(world, {"model": form.get("model")}, serve)


async def _counted(world: World, payload: Payload, serve: Callable[[bool], Awaitable[Response]]) -> Response:
    """Meet the fault that is due, else serve; count what came of it."""
    model = payload.get("model")
    name = model if isinstance(model, str) else "?"
    fault = world.next_fault(name, payload)
    try:
        reply = await meet(world, name, fault) if fault is not None else None
        reply = reply or await serve(fault is not None and fault.kind == "cut")
    except ApiError as failure:
        world.count(name, str(failure.status))
        raise
    world.count(name, fault.kind if fault is not None else str(reply.status_code))
    return reply


def _calls(world: World) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        del request
        return json_reply({model: dict(counts) for model, counts in world.calls.items()})

    return endpoint


def _set_faults(world: World) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            texts: Any = await request.json()
            if not is_list(texts):
                raise ApiError(400, 'the body must be a list of texts such as ["*=429:5x2"]')  # noqa: TRY301 - it ends here
            known = {model: model for model in world.catalog.models}
            given = [(faulted_model(model, known), fault) for model, fault in map(parse_fault, map(str, texts))]
        except ApiError as failure:
            return error(failure)
        except InputRefused as refusal:
            return error(ApiError(400, str(refusal)))
        except ValueError:
            return error(ApiError(400, "could not parse the JSON body of the request"))
        world.faults = {}
        for model, fault in given:
            world.faults.setdefault(model, []).append(fault)
        return json_reply({"faults": len(given)})

    return endpoint


def _reset(world: World) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        del request
        world.reset()
        return json_reply({"reset": True})

    return endpoint


async def _no_such_request(request: Request, failure: Exception) -> Response:
    """What the framework refuses, in Groq's form: unknown paths and methods, bodies that are no form."""
    status = failure.status_code if isinstance(failure, HTTPException) else 500
    if status in {404, 405}:
        return error(ApiError(404, f"Unknown request URL: {request.method} {request.url.path}.", code="unknown_url"))
    return error(ApiError(status, str(getattr(failure, "detail", failure))))
