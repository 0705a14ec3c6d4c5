"""`gateway`: OpenAI's endpoints on this machine, for agents' own model calls; on the same port MCP, where that is wanted."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from groq_fallback_mcp.addresses import host_and_port
from groq_fallback_mcp.application import open_context, tokens_path
from groq_fallback_mcp.cli.console import echo, echo_message, echo_secret
from groq_fallback_mcp.cli.local_servers import found_statement
from groq_fallback_mcp.cli.serving import BYTES_IN_MIB, LOOPBACK_HOSTS, USAGE_ERROR, checked, checked_token, open_port, run
from groq_fallback_mcp.errors import GroqFallbackError
from groq_fallback_mcp.gateway_token import gateway_token
from groq_fallback_mcp.gateway_tokens import TokensFile
from groq_fallback_mcp.logs import start_logging
from groq_fallback_mcp.render import capitalized, sentence
from groq_fallback_mcp.settings import Settings, load_settings, state_folder
from groq_fallback_mcp.tools import Context

if TYPE_CHECKING:
    from groq_fallback_mcp.transport.http_server import Guard

__all__ = ["guarded", "hold_port", "print_token", "serve_gateway"]


LOOPBACK = "127.0.0.1"
# Whoever has the port may leave at any time.
TRY_AGAIN_S = 2.0

_log = logging.getLogger(__name__)


def serve_gateway(host: str, port: int, *, mcp: bool, **flags: object) -> None:
    """Serve until a signal comes. Exits with 2 and one line on stderr when the configuration cannot be used."""
    with _usage_errors():
        settings = checked(load_settings(**flags))
        token = _token(settings, host)
        tokens = TokensFile(tokens_path(settings), time.monotonic)
        start_logging(settings.log_level, file=settings.log_file, as_json=settings.log_format == "json")

    async def serve() -> int:
        from groq_fallback_mcp.transport.http_server import PATH, serve_http

        listener = open_port(host, port)
        if listener is None:
            return USAGE_ERROR
        async with open_context(settings, remote=True) as context:
            guard = guarded(context, settings, token, tokens, mcp=mcp)
            origin = f"http://{host_and_port(host, port)}"
            also = f" and {origin}{PATH}" if mcp else ""
            echo(f"groq-fallback-mcp: {origin}/v1{also}", err=True)
            await context.engine.registry.refresh(patient=True)
            found = found_statement(context.engine.registry.servers)
            if found is not None:
                echo_message(f"groq-fallback-mcp: {found}", err=True)
            unready = [provider.unready for provider in context.engine.registry.providers.values()]
            if all(unready):
                echo_message(
                    f"groq-fallback-mcp: No model is available yet. {sentence(capitalized(str(unready[0])))}", err=True
                )
            await serve_http(guard, listener=listener)
        return 0

    gc.freeze()
    gc.enable()
    if status := run(serve):
        raise SystemExit(status)


async def hold_port(port: int, context: Context, settings: Settings) -> None:
    """Serve the gateway on loopback beside other work, until cancelled. While another process has the port, wait for it to be free."""
    from groq_fallback_mcp.transport.http_server import listen, serve_http

    try:
        tokens = TokensFile(tokens_path(settings), time.monotonic)
        guard = guarded(context, settings, _token(settings, LOOPBACK), tokens)
        while True:
            try:
                listener = listen(LOOPBACK, port)
                break
            except OSError as error:
                _log.debug("the gateway's port %d is not free: %s", port, error)
                await anyio.sleep(TRY_AGAIN_S)
        _log.info("the gateway serves http://%s:%d/v1", LOOPBACK, port)
        await serve_http(guard, listener=listener, keeps_signals=False)
    except Exception:  # noqa: BLE001 - the other work goes on without it
        _log.exception("the gateway on port %d has ended", port)


def guarded(context: Context, settings: Settings, token: str, tokens: TokensFile | None = None, *, mcp: bool = False) -> Guard:
    """The gateway behind its guard, for the owner's token and named ones; beside it, for the owner alone, the dashboard, /metrics and with `mcp` MCP."""
    from groq_fallback_mcp.dashboard.app import Dashboard, is_dashboard
    from groq_fallback_mcp.gateway.app import error_body, gateway_app
    from groq_fallback_mcp.gateway.audio import is_upload
    from groq_fallback_mcp.gateway.callers import Callers, name_of, owner_only
    from groq_fallback_mcp.gateway.endpoint import TIMEOUTS, GatewayTimes
    from groq_fallback_mcp.gateway.refusals import guard_error
    from groq_fallback_mcp.transport.http_server import METRICS, PATH, Guard, Rules, one_token, with_page
    from groq_fallback_mcp.transport.metrics_http import metrics_app

    # the default of this setting is for tool calls
    stated = {"attempt_timeout_s": settings.attempt_timeout_s} if "attempt_timeout_s" in settings.model_fields_set else {}
    times = GatewayTimes(
        hold_s=settings.gateway_hold_s, max_wait_s=settings.gateway_max_wait_s, call=replace(TIMEOUTS, **stated)
    )
    pages: Any = owner_only(metrics_app(context.engine))
    app: Any = with_page(gateway_app(context, times=times), pages, at=lambda path: path == METRICS)
    body_bytes = settings.line_mib * BYTES_IN_MIB

    @asynccontextmanager
    async def same_context() -> AsyncGenerator[Context]:
        yield context

    if mcp:
        from groq_fallback_mcp.mcp_server.build import server_with_toolsets
        from groq_fallback_mcp.transport.mcp_http import beside_mcp, mcp_app

        mcp_alone: Any = mcp_app(server_with_toolsets(settings.toolsets, same_context), body_bytes=body_bytes)
        app = beside_mcp(app, owner_only(mcp_alone))

    dashboard = Dashboard(context, keeps_history=settings.history)
    app = with_page(app, owner_only(dashboard), at=is_dashboard)

    def error(path: str, status: int, cause: str, next_step: str) -> Mapping[str, Any]:
        if path in {PATH, METRICS} or is_dashboard(path):
            return {"error": cause, "next_step": next_step}
        return error_body(path, guard_error(status, cause, next_step))

    hosts = (*LOOPBACK_HOSTS, *settings.http_hosts)
    identify = one_token(token) if tokens is None else Callers(token, tokens).identify
    rules = Rules(
        error=error,
        # of the dashboard nobody reads a body
        reads_itself=lambda path: is_upload(path) or is_dashboard(path),
        place_name=name_of,
        admits=dashboard.admits,
        is_public=dashboard.is_public,
    )
    return Guard(app, identify=identify, hosts=hosts, body_bytes=body_bytes, rules=rules)


def print_token() -> None:
    """The token that clients need, alone on its line."""
    with _usage_errors():
        token = _token(load_settings(), LOOPBACK)
    echo_secret(token)


@contextmanager
def _usage_errors() -> Generator[None]:
    """End with one line on stderr where the configuration cannot be used."""
    try:
        yield
    except GroqFallbackError as error:
        echo_message(f"groq-fallback-mcp: {error}", err=True)
        raise SystemExit(USAGE_ERROR) from None


def _token(settings: Settings, host: str) -> str:
    """The token of GROQ_FALLBACK_HTTP_TOKEN, else the one made at set-up: a web page can send requests to this machine, too."""
    stated = checked_token(settings, host) if settings.http_token is not None else None
    return stated or gateway_token(state_folder())
