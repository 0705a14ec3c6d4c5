"""Refusals as each provider writes them: the catalog's examples, with the figures of the moment in their places."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from groq_fallback_mcp.call import FailureKind, Limit
from groq_fallback_mcp.catalog import ProviderError, ProviderRow
from groq_fallback_mcp.durations import DAY_S
from groq_fallback_mcp.simulator.other_providers.limits import LimitMet
from groq_fallback_mcp.simulator.replies import SIMULATED

__all__ = ["Refusal", "limit_refusal", "plain_refusal", "with_kind", "with_status"]


class Refusal(Exception):
    """A refusal to be sent."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """As it goes out, labeled as simulated."""
        return Response(self.body, self.status, self.headers | SIMULATED, media_type="application/json")


def with_kind(row: ProviderRow, kind: FailureKind, *, status: int | None = None) -> Refusal | None:
    """The provider's first example of a kind of error; None where the catalog has none."""
    found = next((error for error in row.errors if error.kind is kind and status in {None, error.status}), None)
    return None if found is None else _of(found)


def with_status(row: ProviderRow, status: int) -> Refusal:
    """The provider's first example with a status, else a plain body."""
    found = next((error for error in row.errors if error.status == status), None)
    return plain_refusal(row, "Simulated error", status=status) if found is None else _of(found)


def plain_refusal(row: ProviderRow, message: str, *, status: int = 400, code: str | None = None) -> Refusal:
    """An error that the catalog has no example of, in the form of the provider's others."""
    return Refusal(status, _in_its_form(row, status, message, code))


def limit_refusal(row: ProviderRow, met: LimitMet, model: str, *, moment: float) -> Refusal:
    """A limit that was met, in the provider's words. `moment`: Unix seconds now."""
    daily = met.limit.window_s == DAY_S
    match row.name:
        case "gemini":
            return _gemini(met, model, daily=daily)
        case "openrouter":
            return _openrouter(met, moment, daily=daily)
        case "cerebras" | "mistral" | "nvidia" | "zai":
            # they say when in headers of every reply, or not at all
            return with_kind(row, FailureKind.RATE_LIMITED) or plain_refusal(row, "Rate limit exceeded", status=429)
        case "kilo":
            return with_kind(row, FailureKind.RATE_LIMITED, status=401) or plain_refusal(row, "Rate limit exceeded", status=429)
        case _:
            words = f"Rate limit exceeded: {met.capacity} {met.limit.unit}."
            headers = {"retry-after": str(int(met.wait_s) + 1)}
            return Refusal(429, _in_its_form(row, 429, words, "rate_limit_exceeded"), headers)


def _gemini(met: LimitMet, model: str, *, daily: bool) -> Refusal:
    what = "InputTokens" if met.limit in {Limit.ITPM, Limit.TPM} else "Requests"
    quota = f"Generate{what}Per{'Day' if daily else 'Minute'}PerProjectPerModel-FreeTier"
    # it comes with some seconds even where the day is spent
    delay = "45.837906927s" if daily else f"{met.wait_s:.9f}s"
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    message = (
        "You exceeded your current quota, please check your plan and billing details. "
        f"Quota exceeded for metric: {metric}, limit: {met.capacity}, model: {model}. Please retry in {delay}."
    )
    dimensions = {"location": "global", "model": model}
    violation = {"quotaMetric": metric, "quotaId": quota, "quotaDimensions": dimensions, "quotaValue": str(met.capacity)}
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    error = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
    return Refusal(429, json.dumps([{"error": error}]))


def _openrouter(met: LimitMet, moment: float, *, daily: bool) -> Refusal:
    reset = str(int((moment + met.wait_s) * 1_000))
    headers = {"X-RateLimit-Limit": str(met.capacity), "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    metadata: dict[str, Any] = {"headers": headers, "error_type": "rate_limit_exceeded"}
    if daily:
        metadata["limit_source"] = "openrouter_free_tier_daily"
    message = f"Rate limit exceeded: free-models-per-{'day' if daily else 'min'}. " + (
        "Add 10 credits to unlock 1000 free model requests per day" if daily else ""
    )
    error = {"message": message, "code": 429, "metadata": metadata}
    return Refusal(429, json.dumps({"error": error}), {name.lower(): value for name, value in headers.items()})


def _of(error: ProviderError) -> Refusal:
    return Refusal(error.status, error.example, error.headers)


def _in_its_form(row: ProviderRow, status: int, message: str, code: str | None) -> str:
    body: Any
    match row.name:
        case "gemini":
            body = [{"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}]
        case "cerebras":
            body = {"message": message, "type": "invalid_request_error", "param": None, "code": code or "wrong_api_format"}
        case "mistral":
            body = {
                "object": "error",
                "message": message,
                "type": "invalid_request_error",
                "param": None,
                "code": code or "3051",
            }
        case "nvidia":
            body = {"status": status, "title": "Error", "detail": message}
        case "cloudflare":
            body = {"errors": [{"message": f"AiError: {message}", "code": code or 5006}], "success": False, "result": {}}
        case "lmstudio":
            body = {"error": message}
        case _:
            body = {"error": {"message": message, "type": "invalid_request_error", "code": code}}
    return json.dumps(body)
