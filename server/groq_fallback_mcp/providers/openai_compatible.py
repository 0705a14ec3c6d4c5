"""Groq and every other endpoint that speaks OpenAI's format."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from groq_fallback_mcp.call import (
    AudioFile,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Outcome,
    QuotaSnapshot,
    SpeechRequest,
)
from groq_fallback_mcp.catalog import Dialect, ProviderRow
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.audio_wire import read_speech, read_transcript, speech_payload, transcription_fields
from groq_fallback_mcp.providers.base import LiveModel, StreamOptions
from groq_fallback_mcp.providers.classify import classify
from groq_fallback_mcp.providers.dialect import in_dialect
from groq_fallback_mcp.providers.history import CallMemory
from groq_fallback_mcp.providers.json_fields import mapping
from groq_fallback_mcp.providers.openai_wire import chat_payload, read_chat
from groq_fallback_mcp.providers.rate_limit_headers import Sender, snapshot
from groq_fallback_mcp.providers.reply import BODY_BYTES, Reply
from groq_fallback_mcp.providers.served_models import read_models
from groq_fallback_mcp.providers.stream import ChatStream
from groq_fallback_mcp.redaction import sanitize_message

if TYPE_CHECKING:
    import httpx2

    from groq_fallback_mcp.providers.http import Wire

__all__ = ["OpenAICompatible"]

# Ten hours of speech with the time of every word.
TRANSCRIPT_BYTES = 16 * 1024 * 1024
# Minutes of sound, where a call asks for some seconds.
SPEECH_BYTES = 16 * 1024 * 1024

_Found = TypeVar("_Found")


class OpenAICompatible:
    """A provider over HTTP. `base_url` ends where `/chat/completions` begins.

    `key_hint` is what a person is told when there is no key but one is needed; without a key and with a hint every
    call fails before anything is sent. `groq`: it takes the fields that only Groq knows. `row` is what the catalog knows of any
    other provider.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        key: str | None,
        clock: Clock,
        key_hint: str | None = None,
        groq: bool = True,
        row: ProviderRow | None = None,
        proxy: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._missing_key = None if key or key_hint is None else key_hint
        self._key = key
        self._groq = groq
        self._sender: Sender = "groq" if groq else row
        self._dialect = Dialect() if row is None else row.dialect
        self._memory = CallMemory()
        self._base_url = base_url
        self._proxy = proxy
        self._transport = transport
        self._opened: Wire | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def _wire(self) -> Wire:
        """Opened with the first use, as httpx and its certificates are a tenth of a second."""
        if self._opened is None:
            from groq_fallback_mcp.providers.http import Wire

            self._opened = Wire(self._base_url, key=self._key, proxy=self._proxy, transport=self._transport)
        return self._opened

    def warm_up(self) -> None:
        """Load what the first call needs; may be called on another thread before any call."""
        _ = self._wire

    @property
    def unready(self) -> str | None:
        return self._missing_key

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        if stream is not None:
            return self._kept(await self._streamed(request, candidate, stream, quiet_s=timeout_s))
        reply = await self.send("POST", "/chat/completions", timeout_s=timeout_s, json=self._payload(request, candidate))
        return self._kept(reply if isinstance(reply, Failure) else self._answer(reply, request, candidate))

    async def transcribe(
        self, request: AudioRequest, candidate: Candidate, *, timeout_s: float, longest_s: float | None = None
    ) -> Outcome:
        path = "/audio/translations" if request.translate else "/audio/transcriptions"
        fields = transcription_fields(request, candidate.wire_model)
        with ExitStack() as opened:
            files: dict[str, tuple[str | None, bytes | BinaryIO, str]]
            if isinstance(request.audio, AudioFile):
                audio = request.audio
                # a file is read while it is sent, and never held
                content = audio.content if isinstance(audio.content, bytes) else opened.enter_context(audio.open())
                files = {"file": (audio.name, content, audio.media_type)}
            else:
                # a form without a file must be multipart too; a part without a file name makes httpx build it so
                files = {"url": (None, str(fields.pop("url")).encode(), "text/plain")}
            reply = await self.send(
                "POST",
                path,
                timeout_s=timeout_s,
                most_bytes=TRANSCRIPT_BYTES,
                longest_s=longest_s,
                data=fields,
                files=files,
            )
        if isinstance(reply, Failure):
            return self._discreet(reply)
        quota, simulated = self._quota(reply), _simulated(reply)
        return self._discreet(
            read_transcript(reply.body, request=request, model=candidate.wire_model, quota=quota, simulated=simulated)
        )

    async def speak(self, request: SpeechRequest, candidate: Candidate, *, timeout_s: float) -> Outcome:
        payload = speech_payload(request, candidate)
        reply = await self.send("POST", "/audio/speech", timeout_s=timeout_s, most_bytes=SPEECH_BYTES, json=payload)
        if isinstance(reply, Failure):
            return self._discreet(reply)
        quota, simulated = self._quota(reply), _simulated(reply)
        return self._discreet(
            read_speech(reply.body, request=request, model=candidate.wire_model, quota=quota, simulated=simulated)
        )

    async def live_models(self, *, timeout_s: float) -> tuple[LiveModel, ...] | Failure:
        """The provider's own list of models, now."""
        reply = await self.send("GET", "/models", timeout_s=timeout_s)
        return self._discreet(reply if isinstance(reply, Failure) else read_models(reply.body))

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()

    async def _streamed(
        self, request: ChatRequest, candidate: Candidate, streaming: StreamOptions, *, quiet_s: float
    ) -> Outcome:
        if self._missing_key is not None:
            return self._keyless(self._missing_key)
        stream = ChatStream(
            model=candidate.wire_model,
            clock=self._clock,
            on_progress=streaming.on_progress,
            on_text=streaming.on_text,
            on_reasoning=streaming.on_reasoning,
            is_shown=streaming.is_shown,
            tools=_function_names(request),
            sender=self._sender,
        )
        payload = self._payload(request, candidate, stream=True)
        reply = await self._wire.stream(
            "/chat/completions", json=payload, quiet_s=quiet_s, longest_s=streaming.longest_s, sink=stream
        )
        reply = reply if isinstance(reply, Failure) else self._checked(reply)
        if isinstance(reply, Failure):
            # nothing is missing from an answer that has said why it ended, though the connection may end badly after it
            return stream.outcome(quota=QuotaSnapshot(), simulated=False) if stream.whole else reply
        if reply.body:
            # an endpoint that does not stream answers at once
            return self._answer(reply, request, candidate)
        return stream.outcome(quota=self._quota(reply), simulated=_simulated(reply))

    def _payload(self, request: ChatRequest, candidate: Candidate, *, stream: bool = False) -> dict[str, Any]:
        payload = chat_payload(request, candidate, groq=self._groq, stream=stream)
        return payload if self._groq else in_dialect(payload, self._dialect, self._memory)

    def _quota(self, reply: Reply) -> QuotaSnapshot:
        return snapshot(reply.headers, sender=self._sender, now_wall=self._clock.wall())

    def _kept(self, outcome: Outcome) -> Outcome:
        """The outcome; what came with its calls is kept where the provider wants it back."""
        if isinstance(outcome, Failure):
            return self._discreet(outcome)
        if self._dialect.thought_signatures or self._dialect.reasoning_history is not None:
            self._memory.keep(outcome)
        return outcome

    def _answer(self, reply: Reply, request: ChatRequest, candidate: Candidate) -> Outcome:
        return read_chat(
            reply.body,
            model=candidate.wire_model,
            quota=self._quota(reply),
            simulated=_simulated(reply),
            now_wall=self._clock.wall(),
            tools=_function_names(request),
            wants_json=candidate.json_mode != "none",
            sender=self._sender,
        )

    def _discreet(self, outcome: _Found | Failure) -> _Found | Failure:
        """The outcome without the key in its message, in whatever form an upstream may quote it."""
        if isinstance(outcome, Failure):
            return replace(outcome, message=sanitize_message(outcome.message))
        return outcome

    async def send(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        most_bytes: int = BODY_BYTES,
        longest_s: float | None = None,
        json: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        files: Mapping[str, tuple[str | None, bytes | BinaryIO, str]] | None = None,
    ) -> Reply | Failure:
        """One exchange with this endpoint: the reply of a success, or what an error stands for."""
        if self._missing_key is not None:
            return self._keyless(self._missing_key)
        reply = await self._wire.exchange(
            method,
            path,
            timeout_s=timeout_s,
            most_bytes=most_bytes,
            longest_s=longest_s,
            json=json,
            data=data,
            files=files,
        )
        return reply if isinstance(reply, Failure) else self._checked(reply)

    @staticmethod
    def _keyless(why: str) -> Failure:
        return Failure(kind=FailureKind.AUTHENTICATION, message=why, sent=False)

    def _checked(self, reply: Reply) -> Reply | Failure:
        """The reply, or the failure that its status stands for."""
        if reply.status >= 400:
            text = reply.body.decode("utf-8", "replace")
            return classify(reply.status, reply.headers, text, now_wall=self._clock.wall(), sender=self._sender)
        if reply.status >= 300:
            return Failure(kind=FailureKind.BAD_RESPONSE, message="a redirect, which is not followed", status=reply.status)
        return reply


def _function_names(request: ChatRequest) -> tuple[str, ...]:
    """The functions that the model may call. What runs at the provider comes back in a field of its own."""
    named = [mapping(tool.get("function")) for tool in request.tools]
    return tuple(str(function.get("name")) for function in named if function is not None)


def _simulated(reply: Reply) -> bool:
    return reply.headers.get("x-simulated", "").lower() == "true"
