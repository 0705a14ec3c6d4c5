"""Errors in OpenAI's form, with the status that makes agents do the right thing. Pure.

Agents repeat 408, 409, 429 and whatever is 500 or more; what cannot be mended by repeating is a 400, which Kilo Code, opencode,
Cline, Continue and Codex ask once and show. A 413, and words such as "rate limit" or "overloaded", would make them compact or repeat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from groq_fallback_mcp.call import FailureKind
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.errors import InputRefused, ModelNotAllowed
from groq_fallback_mcp.fallback.final_error import SHORTEN, SHOWN_SIZES, CallFailed, Code
from groq_fallback_mcp.redaction import sanitize_message
from groq_fallback_mcp.render import capitalized, sentence

__all__ = [
    "TOO_LARGE",
    "InvalidBody",
    "Refusal",
    "failed",
    "guard_error",
    "invalid",
    "refused",
    "renamed",
    "renumbered",
    "too_large",
]

LEAST_WAIT_S = 1
_IN_MESSAGE = re.compile(r"in message (\d+)")
# Where a wait is not known.
USUAL_WAIT_S = 5.0
# (status, type) of each code that ends a call. 402 stands for what only money or another day mends.
_FORMS: dict[Code, tuple[int, str]] = {
    "rate_limited": (429, "rate_limit_error"),
    "busy": (429, "rate_limit_error"),
    "deadline": (504, "timeout_error"),
    "unreachable": (502, "api_error"),
    "all_failed": (502, "api_error"),
    "authentication": (401, "authentication_error"),
    "account_refused": (403, "permission_error"),
    "over_budget": (402, "billing_error"),
}
_ROUTES = {
    "groq_chat": "/v1/chat/completions",
    "transcribe": "/v1/audio/transcriptions",
    "speak": "/v1/audio/speech",
}
TOO_LARGE = "request_too_large"
_INVALID = (400, "invalid_request_error")
_OVERLOADED = {FailureKind.OVERLOADED, FailureKind.TIER_FULL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A response that is an error. `param` is the field of the body that it is about, `retry_after_s` when to ask again.

    Of a prompt that is too long `tokens` says how many it has, and `most_tokens` how many, which are less, the largest model takes.
    `overloaded`: every model that was asked had too much to do.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    tokens: int | None = None
    most_tokens: int | None = None
    overloaded: bool = False

    def body(self) -> dict[str, Any]:
        """The JSON body, in the API's form."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def all_headers(self) -> dict[str, str]:
        """Its headers, with the time to wait in seconds and in milliseconds: clients read one or the other."""
        if self.retry_after_s is None:
            return dict(self.headers)
        waits = {
            "retry-after": str(max(math.ceil(self.retry_after_s), LEAST_WAIT_S)),
            "retry-after-ms": str(max(math.ceil(self.retry_after_s * 1000), LEAST_WAIT_S)),
        }
        return {**self.headers, **waits}


class InvalidBody(Exception):
    """What is wrong with a body, raised while it is read."""

    def __init__(self, message: str, param: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.refusal = invalid(message, param=param, code=code)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Refusal:
    """A request that is wrong in itself."""
    return Refusal(status=400, message=sanitize_message(message), param=param, code=code)


def renumbered(refusal: Refusal, origins: Sequence[int], *, entry: str = "message") -> Refusal:
    """A refusal that counts entries as the client does. `origins`: for each message the number of its entry, 0 for one that has none."""
    found = _IN_MESSAGE.search(refusal.message)
    at = int(found[1]) - 1 if found else -1
    if found is None or not 0 <= at < len(origins):
        return refusal
    place = f"in {entry} {origins[at]}" if origins[at] else "in the system prompt"
    return replace(refusal, message=refusal.message.replace(found[0], place, 1))


def renamed(refusal: Refusal, names: Mapping[str, str]) -> Refusal:
    """A refusal that calls a field as its API does. `names`: what chat completions call it, and what this API does."""
    name = names.get(refusal.param or "")
    if name is None or refusal.param is None:
        return refusal
    return replace(refusal, param=name, message=refusal.message.replace(refusal.param, name))


def refused(error: InputRefused) -> Refusal:
    """A name that does not exist, or a model that cannot do what is asked."""
    if isinstance(error, ModelNotAllowed):
        message = _for_clients(str(error))
        return Refusal(status=403, type="permission_error", message=message, param="model", code="model_not_allowed")
    if error.cause.lower().startswith("unknown model"):
        return Refusal(status=404, message=_for_clients(str(error)), param="model", code="model_not_found")
    return invalid(_for_clients(str(error)))


def failed(error: CallFailed) -> Refusal:
    """A call that no model answered."""
    status, type_ = _FORMS.get(error.code, _INVALID)
    repeated = status == 429 or status >= 500
    wait_s = (USUAL_WAIT_S if error.retry_after_s is None else error.retry_after_s) if repeated else None
    message = f"{sentence(capitalized(error.cause))} {sentence(capitalized(error.next_step))}"
    kinds = {attempt.kind for attempt in error.attempts if attempt.sent}
    return Refusal(
        status=status,
        type=type_,
        code=error.code,
        message=_for_clients(message),
        retry_after_s=wait_s,
        overloaded=error.code == "all_failed" and bool(kinds) and kinds <= _OVERLOADED,
    )


def guard_error(status: int, cause: str, next_step: str) -> Refusal:
    """What the guard before the gateway refuses."""
    types = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "api_error"}
    if status == 401:
        next_step = f"Send your token as Authorization: Bearer TOKEN; {SCRIPT} gateway --show-token prints the owner's"
    message = f"{sentence(capitalized(cause))} {sentence(capitalized(next_step))}"
    return Refusal(status=status, type=types.get(status, "invalid_request_error"), message=message)


def too_large(error: CallFailed, tokens: int, *, answer: int) -> Refusal:
    """A request that fits no model, whenever it is sent: it has about so many tokens.

    `answer`: the tokens that it asks for. Where both together would fit, models refused what they count otherwise.
    """
    step = sentence(error.next_step.replace(SHORTEN, "Start a smaller task", 1))
    takes = ", ".join(map(str, error.sizes[:SHOWN_SIZES]))
    most = error.sizes[0].tokens if error.sizes else 0
    if tokens + answer <= most or not error.sizes:
        counted = f"By our count it has about {tokens:,} tokens" + (f", and {takes}" if takes else "")
        message = f"Every model that was tried rejected this request as too large. {counted}. {step}"
        return Refusal(status=400, code=TOO_LARGE, message=_for_clients(message))
    message = f"This request has about {tokens:,} tokens. With room for an answer that is more than a model takes here: {takes}. {step}"
    refusal = Refusal(status=400, code=TOO_LARGE, message=_for_clients(message))
    return replace(refusal, tokens=tokens, most_tokens=most) if tokens > most else refusal


def _for_clients(message: str) -> str:
    """Without the tools of MCP, which are not to be had here."""
    for needless in (", or see check_limits", ", or a file in an allowed folder"):
        message = message.replace(needless, "")
    message = message.replace("list_models", "/v1/models")
    for tool, route in _ROUTES.items():
        message = message.replace(f"the tool {tool}", route)
    return sanitize_message(message)
