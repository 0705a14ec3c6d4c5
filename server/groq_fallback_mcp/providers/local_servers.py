"""Servers on this machine: whether one listens, which it is, what it has loaded, and whether it cut a prompt short.

A server is told by what it answers, never by its port. One that hangs costs the first call 2 s and later ones 0.3 s, or 2 s
each where the user configured it, and is then left alone for some seconds, as is any other program that answers there: its log is
not filled with our requests.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, Outcome, Success
from groq_fallback_mcp.catalog import LocalServer
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.policy.estimate import has_images
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.json_fields import json_object
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.reply import Reply
from groq_fallback_mcp.providers.served_models import (
    OllamaDetails,
    OllamaTag,
    ServedModel,
    is_in_cloud,
    read_listed,
    read_llamacpp,
    read_lmstudio,
    read_lmstudio_v0,
    read_ollama_details,
    read_ollama_loaded,
    read_ollama_tags,
    read_vllm,
)
from groq_fallback_mcp.redaction import sanitize

if TYPE_CHECKING:
    from groq_fallback_mcp.providers.http import Wire

__all__ = ["LocalEndpoint", "ServerWatch", "quoting_no_key", "was_cut"]

LONGEST_LOOK_S = 0.3
# For the first look, as a command makes no other, and while nothing is known of an endpoint that the user configured.
PATIENT_LOOK_S = 2.0
PAUSE_S = 10.0
NOT_READY = 503
# Windows refuses connections to closed ports of its own only after two seconds.
CONNECT_S = 0.002
# Any program may listen there: what it answers must not take long to read, as every call looks first.
MOST_BYTES = 1024 * 1024
MOST_MODELS = 200
# Each model of Ollama costs a request, once.
MOST_OLLAMA_MODELS = 24
DEFAULT_LEAST_WINDOW = 4_096
# Estimates of short prompts are too far off to tell a cut from.
LEAST_TELLING_TOKENS = 1_000
CUT_SHARE = 0.6
# A server that cuts keeps at least about half of its window.
LEAST_KEPT_SHARE = 0.45
FILLED_SHARE = 0.98


class ServerWatch:
    """A server at one address of this machine, looked at again and again.

    `models` is what it serves now, None while nothing usable answers; `server` is the catalog's server that it is, None for
    another. `kinds`: what it may be. `configured`: the user named this address, so any OpenAI-compatible server will do, and
    `key` may be sent there.
    """

    def __init__(
        self, base_url: str, *, kinds: Sequence[LocalServer], clock: Clock, configured: bool = False, key: str | None = None
    ) -> None:
        self.base_url = base_url
        self.models: tuple[ServedModel, ...] | None = None
        self.server: LocalServer | None = None
        self._root = base_url.rstrip("/").removesuffix("/v1")
        parts = urlsplit(self._root)
        self._hosts = _addresses(parts.hostname or "")
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._kinds = tuple(kinds)
        self._clock = clock
        self._configured = configured
        self._key = key
        self._opened: Wire | None = None
        self._paused_until: float | None = None
        self._begins = False
        self._was_looked_at = False
        self._ollama: dict[str, OllamaDetails] = {}

    def is_closed(self) -> bool:
        """Whether nothing was there last time, and nobody listens now."""
        if self.models is not None or self._is_open():
            return False
        # whatever was there has gone, and what comes is looked at anew
        self._paused_until, self._was_looked_at = None, False
        return True

    async def look(self, *, patient: bool = False) -> None:
        """Find out what is there now; what is known stays where the server is too slow to say. `patient`: no call waits for it."""
        now = self._clock.monotonic()
        if self._paused_until is not None and now < self._paused_until:
            if not self._is_open():
                self.server = self.models = None
            return
        self._paused_until, self._begins = None, False
        is_patient = patient or not self._was_looked_at or (self._configured and self.models is None)
        # its import is not the server's time
        _ = self._wire
        with anyio.move_on_after(PATIENT_LOOK_S if is_patient else LONGEST_LOOK_S) as scope:
            self.server, self.models = await self._found()
        # not before: a call that is cancelled meanwhile has seen nothing
        self._was_looked_at = True
        is_foreign = self.models is None and not self._configured and not self._begins
        if scope.cancelled_caught or is_foreign:
            self._paused_until = now + PAUSE_S

    async def aclose(self) -> None:
        """Close its connections."""
        if self._opened is not None:
            await self._opened.aclose()

    def _is_open(self) -> bool:
        return any(_accepts(host, self._port) for host in self._hosts)

    async def _found(self) -> tuple[LocalServer | None, tuple[ServedModel, ...] | None]:
        # one that has only a list is asked for nothing else while it answers; of others what it was last time comes first
        only_lists = self.models is not None and self.server is None
        for row in () if only_lists else sorted(self._kinds, key=lambda row: row is not self.server):
            models = await self._read(row)
            if models is not None:
                return row, models[:MOST_MODELS]
        listed = await self._get(self.base_url.removeprefix(self._root) + "/models") if self._configured else None
        found = None if listed is None else read_listed(listed)
        # an Ollama that does not say what it is still lists what it would send to its cloud
        return None, None if found is None else quoting_no_key(model for model in found if not is_in_cloud(model.wire))

    async def _read(self, row: LocalServer) -> tuple[ServedModel, ...] | None:
        match row.kind:
            case "llamacpp":
                # both are refused with 503 while it loads, so it is not there yet
                props, models = await asyncio.gather(self._get("/props"), self._get("/v1/models"))
                return None if props is None or models is None else read_llamacpp(props, models)
            case "ollama":
                return await self._read_ollama(row)
            case "lmstudio":
                newer, older = await asyncio.gather(self._get("/api/v1/models"), self._get("/api/v0/models"))
                found = None if newer is None else read_lmstudio(newer)
                return found if found is not None else None if older is None else read_lmstudio_v0(older)
            case "vllm":
                models = await self._get("/v1/models")
                return None if models is None else read_vllm(models)

    async def _read_ollama(self, row: LocalServer) -> tuple[ServedModel, ...] | None:
        tagged, running = await asyncio.gather(self._get("/api/tags"), self._get("/api/ps"))
        tags = None if tagged is None else read_ollama_tags(tagged)
        loaded = None if running is None else read_ollama_loaded(running)
        if tags is None or loaded is None:
            return None
        # what is loaded answers at once
        offered = sorted(tags, key=lambda tag: tag.name not in loaded)[:MOST_OLLAMA_MODELS]
        details = await asyncio.gather(*(self._ollama_details(tag) for tag in offered))
        least = row.least_window or DEFAULT_LEAST_WINDOW
        return tuple(
            ServedModel(
                id=tag.name.removesuffix(":latest"),
                wire=tag.name,
                context_window=known.window(loaded.get(tag.name), least),
                tools=known.tools,
                vision=known.vision,
            )
            for tag, known in zip(offered, details, strict=True)
            if known is not None and known.chats
        )

    async def _ollama_details(self, tag: OllamaTag) -> OllamaDetails | None:
        if tag.digest not in self._ollama:
            body = await self._get("/api/show", {"model": tag.name})
            if body is None:
                return None
            self._ollama[tag.digest] = read_ollama_details(body)
        return self._ollama[tag.digest]

    async def _get(self, path: str, json: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
        """The object at a path, None where there is none; a POST with a body."""
        method = "GET" if json is None else "POST"
        reply = await self._wire.exchange(method, path, timeout_s=PATIENT_LOOK_S, most_bytes=MOST_BYTES, json=json)
        if isinstance(reply, Failure) or reply.status != 200:
            self._begins = self._begins or self._is_beginning(reply)
            return None
        body = json_object(reply.body)
        return None if isinstance(body, Failure) else body

    def _is_beginning(self, reply: Reply | Failure) -> bool:
        """Whether a server that is not ready yet may answer so: another program is paused."""
        if not isinstance(reply, Failure):
            return reply.status == NOT_READY
        # of one that was here, a lost connection is its restart; programs that speak no HTTP hang up each time
        restarts = reply.kind is FailureKind.CONNECTION_LOST and self.models is not None
        return restarts or reply.kind is FailureKind.UNREACHABLE

    @property
    def _wire(self) -> Wire:
        """Opened where something listens, as httpx is a tenth of a second."""
        if self._opened is None:
            from groq_fallback_mcp.providers.http import Wire

            self._opened = Wire(self._root, key=self._key)
        return self._opened


class LocalEndpoint(OpenAICompatible):
    """An endpoint on this machine, with what is known of the server behind it. An answer to a prompt that was cut is a failure."""

    watch: ServerWatch | None = None

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        outcome = await super().chat(request, candidate, timeout_s=timeout_s, stream=stream)
        server = None if self.watch is None else self.watch.server
        if not isinstance(outcome, Success) or self.watch is None or server is None or not server.cuts_prompts:
            return outcome
        if has_images(request):
            # how many tokens an image is read as differs by a factor of ten
            return outcome
        stated = next((model.context_window for model in self.watch.models or () if model.wire == candidate.wire_model), None)
        return was_cut(outcome, sent_tokens=candidate.estimated_tokens, stated=stated, least=server.least_window) or outcome


def quoting_no_key(models: Iterable[ServedModel]) -> tuple[ServedModel, ...]:
    """The models whose names do not quote the key that they were asked with: names reach the ledger's file and results."""
    return tuple(model for model in models if sanitize(model.wire) == model.wire)


def was_cut(success: Success, *, sent_tokens: int, stated: int | None, least: int | None) -> Failure | None:
    """The failure of an answer to a prompt that the server cut: far fewer tokens than were sent, and about a window.

    Fewer tokens alone say nothing: some servers count only what they had not cached. So of a window that the server does not
    state, such as the `least` it loads with, the count must be nearly all, and even then it is not learned.
    """
    read_tokens = success.usage.input_tokens
    if not success.usage_reported or sent_tokens < LEAST_TELLING_TOKENS or read_tokens > CUT_SHARE * sent_tokens:
        return None
    by_stated = stated is not None and LEAST_KEPT_SHARE * stated <= read_tokens <= stated < sent_tokens
    by_least = least is not None and FILLED_SHARE * least <= read_tokens <= least
    if not by_stated and not by_least:
        return None
    message = f"the server read only {read_tokens:,} of about {sent_tokens:,} prompt tokens and cut off the rest"
    window = stated if by_stated else None
    return Failure(kind=FailureKind.CONTEXT_TOO_LONG, message=message, status=200, context_window=window)


def _addresses(host: str) -> Sequence[str]:
    return ("127.0.0.1", "::1") if host == "localhost" else (host,)


def _accepts(address: str, port: int) -> bool:
    """Whether anybody listens. The system itself answers, in 25 microseconds here: a tenth of what waiting in the loop takes."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT_S)
            probe.connect((address, port))
    except OSError:
        return False
    return True
