"""How long an agent's own prompt is here: the installed agent is run once, and sends its first request to us instead of the gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clients.entry import find_command
from groq_fallback_mcp.clients.gateway_clients import GatewayClient
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.gateway.client_lists import codex_models
from groq_fallback_mcp.gateway.completions import ChatCompletions
from groq_fallback_mcp.gateway.dialect import Dialect
from groq_fallback_mcp.gateway.http import read_json
from groq_fallback_mcp.gateway.messages import Messages
from groq_fallback_mcp.gateway.model_list import AUTO
from groq_fallback_mcp.gateway.refusals import TOO_LARGE, Refusal, invalid
from groq_fallback_mcp.gateway.responses import Responses
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.system import on_windows

__all__ = ["measured_prompt"]

LOOPBACK = "127.0.0.1"
RUN_S = 120.0
MOST_BYTES = 64 * 1_048_576
_AUTO_ROW = {"id": AUTO, "type": "chat", "owned_by": "groq-fallback-mcp"}


def measured_prompt(client: GatewayClient, *, port: int, prepare: Callable[[], object]) -> int:
    """The tokens of the agent's longest request to the gateway's port for "Say hello.", with the person's own settings and MCP servers.

    `prepare` sets the agent up for the gateway; it runs once the program and the port are there. The agent runs in an empty
    folder: in a project it would also start what the project's own files name. Raises ConfigurationError where it cannot be run, or sends nothing.
    """
    name, *arguments = client.measure
    program = find_command(name, project=Path.cwd())
    if program is None:
        raise ConfigurationError(f"The command {name} is not on the PATH", next_step="Install it, or omit --measure")
    found: list[int] = []
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), _recorder(found))
    except OSError:
        raise ConfigurationError(
            f"Port {port} is in use, probably by the gateway", next_step="Stop it, measure, and start it again"
        ) from None
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        prepare()
        with tempfile.TemporaryDirectory(prefix="groq-fallback-mcp-") as empty:
            here = [argument.replace("{origin}", f"http://{LOOPBACK}:{port}") for argument in arguments]
            _run([program, *here], environment={**os.environ, **client.measure_environment}, folder=empty)
    except (OSError, subprocess.TimeoutExpired) as error:
        if not found:
            raise ConfigurationError(f"The command {name} did not end ({type(error).__name__})", next_step=_RUN_IT) from None
    finally:
        server.shutdown()
        server.server_close()
    if not found:
        raise ConfigurationError(f"{client.title} sent no request to the gateway", next_step=_RUN_IT)
    return max(found)


def _run(command: Sequence[str], *, environment: Mapping[str, str], folder: str) -> None:
    """Run the agent for at most RUN_S; what it leaves behind is ended with it. Raises OSError and TimeoutExpired."""
    process = subprocess.Popen(  # noqa: S603 - the agent's own command, found on the PATH outside the project
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    try:
        process.wait(RUN_S)
    finally:
        with suppress(OSError):
            if on_windows():
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_RUN_IT = f"Omit --measure, run {SCRIPT} gateway, and try it: a request that does not fit is refused with its size"


def _recorder(found: list[int]) -> Callable[..., BaseHTTPRequestHandler]:
    """A handler that adds the size of each request for an answer, and refuses it in the way that agents do not repeat."""
    catalog = load_catalog()
    # as too long: what is wrong in another way Claude Code sends once more with all its tools
    refusal = replace(invalid(f"Measured by {SCRIPT} setup"), code=TOO_LARGE)

    class Recorder(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Codex takes its instructions from the list, which are part of its prompt
            self._answer(200, {"object": "list", "data": [], "models": codex_models([_AUTO_ROW])})

        def do_POST(self) -> None:
            try:
                content = self.rfile.read(min(int(self.headers.get("content-length") or 0), MOST_BYTES))
            except ValueError:
                content = b""
            dialect = _dialect(self.path)
            read = dialect.read(read_json(content), catalog=catalog, now=0)
            if not isinstance(read, Refusal):
                found.append(estimate_prompt_tokens(read.body.request))
            status, body = dialect.error(refusal)
            self._answer(status, body)

        def _answer(self, status: int, body: Mapping[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle(self) -> None:
            # an agent may leave before it has read the answer
            with suppress(OSError):
                super().handle()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Recorder


def _dialect(path: str) -> Dialect:
    """The API that a request is for, by its path."""
    if "/messages" in path:
        return Messages()
    return Responses() if "/responses" in path else ChatCompletions()
