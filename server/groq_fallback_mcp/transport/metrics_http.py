"""`/metrics` over HTTP, for requests that the guard admits."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from groq_fallback_mcp.fallback import FallbackEngine
from groq_fallback_mcp.telemetry.prometheus import CallMetrics
from groq_fallback_mcp.transport.http_server import METRICS, App, Receive, Scope, Send

__all__ = ["metrics_app"]


def metrics_app(engine: FallbackEngine) -> App:
    """The page of an engine's calls, counted from now on."""
    metrics = CallMetrics()
    engine.add_listener(metrics)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if request.method not in {"GET", "HEAD"}:
            refusal = {"error": f"{request.method} is not allowed for {METRICS}", "next_step": "use GET"}
            await JSONResponse(refusal, 405, {"allow": "GET, HEAD"})(scope, receive, send)
            return
        body, content_type = await metrics.page(engine, request.headers.get("accept", ""))
        await Response(body, headers={"content-type": content_type, "cache-control": "no-store"})(scope, receive, send)

    return serve
