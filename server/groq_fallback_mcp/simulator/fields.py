"""What Groq refuses in a chat request before it is admitted, in Groq's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from groq_fallback_mcp.catalog import Kind, ModelRow, Plan
from groq_fallback_mcp.simulator.builtin_tools import builtin_faults
from groq_fallback_mcp.simulator.documents import document_faults
from groq_fallback_mcp.simulator.engines import estimate_tokens
from groq_fallback_mcp.simulator.instances import schema_fault
from groq_fallback_mcp.simulator.replies import ApiError
from groq_fallback_mcp.simulator.tool_calls import tool_faults
from groq_fallback_mcp.simulator.unknown_fields import unknown_field_faults
from groq_fallback_mcp.simulator.vision import check_image_size, image_faults
from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table

__all__ = ["SCORE_TOKENS", "answer_form", "check_fields", "checked_max_tokens", "checked_messages"]

DEFAULT_MAX_TOKENS = 2_048
SCORE_TOKENS = 8
MOST_STOPS = 4
MOST_TOOLS = 128
REFUSED_FIELDS = ("logprobs", "logit_bias", "top_logprobs")
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TIERS = ("auto", "on_demand", "flex", "performance")


def checked_messages(payload: Payload) -> Messages:
    """The messages. Raises ApiError where there are none or one is none."""
    rows = items(payload.get("messages"))
    if not rows:
        raise ApiError(400, "'messages' : minimum number of items is 1")
    for index, row in enumerate(rows):
        if table(row).get("role") not in ROLES:
            raise ApiError(400, f"'messages.{index}' : discriminator property 'role' has invalid value")
    return rows


def check_fields(payload: Payload, model: ModelRow, messages: Messages, headers: Mapping[str, str], plan: Plan) -> None:
    """Raises ApiError for the first field that this model, this plan, or any, does not take."""
    check_image_size(messages)
    for faults in (
        unknown_field_faults(payload, messages),
        _of_the_model(payload, model, messages),
        _of_any_model(payload, messages, plan),
        _of_json_mode(payload),
        _of_the_form(payload),
        tool_faults(payload, model, messages),
        builtin_faults(payload, model),
        document_faults(payload),
    ):
        for fault in faults:
            raise ApiError(400, fault, headers=headers)


def checked_max_tokens(payload: Payload, model: ModelRow, messages: Messages, headers: Mapping[str, str]) -> int:
    """The bound of the completion. Raises ApiError where it, or it with the messages, is too large for the model."""
    name = "max_completion_tokens" if payload.get("max_completion_tokens") is not None else "max_tokens"
    wanted = payload.get(name)
    bound = model.max_completion_tokens
    if wanted is None:
        default = SCORE_TOKENS if model.kind is Kind.GUARD else DEFAULT_MAX_TOKENS
        wanted = min(default, bound or default)
    elif not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise ApiError(400, f"'{name}' : value must be an integer of at least 1", headers=headers)
    elif bound is not None and wanted > bound:
        message = (
            f"`{name}` must be less than or equal to `{bound}`, the maximum value for `{name}` is less than the "
            "`context_window` for this model"
        )
        raise ApiError(400, message, headers=headers, param=name)
    # a guard writes a number whatever it may write, so its context is for what it judges
    written = 0 if model.kind is Kind.GUARD else wanted
    if model.context_window is not None and estimate_tokens(messages) + written > model.context_window:
        message = "Please reduce the length of the messages or completion."
        raise ApiError(400, message, code="context_length_exceeded", param="messages", headers=headers)
    return wanted


def answer_form(payload: Payload) -> tuple[str, Any]:
    """`text`, `json_object` or `json_schema`, and the schema where there is one."""
    form: Payload = payload.get("response_format") or {}
    if not isinstance(form, dict):
        return "", None
    described = form.get("json_schema")
    return str(form.get("type", "text")), cast("Payload", described).get("schema") if isinstance(described, dict) else None


def _of_the_model(payload: Payload, model: ModelRow, messages: Messages) -> Iterator[str]:
    if model.kind not in {Kind.CHAT, Kind.SYSTEM, Kind.GUARD}:
        yield f"The model `{model.id}` does not support chat completions"
    if payload.get("tools") and not model.capabilities.tools:
        yield "`tool calling` is not supported with this model"
    yield from image_faults(model, messages)
    takes: Sequence[str] = model.capabilities.reasoning
    if payload.get("reasoning_effort") is not None and payload["reasoning_effort"] not in takes:
        values = ", ".join(f"`{value}`" for value in takes)
        yield f"`reasoning_effort` must be one of {values}" if takes else "`reasoning_effort` is not supported with this model"


def _of_any_model(payload: Payload, messages: Messages, plan: Plan) -> Iterator[str]:
    yield from (f"property '{name}' is unsupported" for name in REFUSED_FIELDS if payload.get(name))
    for index, message in enumerate(messages):
        if message.get("name") is not None:
            yield f"property 'messages.{index}.name' is unsupported"
    if payload.get("n") not in (None, 1):
        yield "'n' : number must be at most 1"
    if payload.get("service_tier") not in (None, *TIERS):
        yield "'service_tier' : value must be one of " + ", ".join(TIERS)
    if payload.get("service_tier") == "performance" and plan == "free":
        # that it is sold to paying customers alone is the console's; the text is unverified
        yield "service_tier `performance` is not available for this organization"
    for name, most in (("stop", MOST_STOPS), ("tools", MOST_TOOLS)):
        if len(items(payload.get(name))) > most:
            yield f"'{name}' : maximum number of items is {most}"


def _of_json_mode(payload: Payload) -> Iterator[str]:
    """Both in the words of public reports: vercel/ai #16540 and BerriAI/litellm #4804."""
    if answer_form(payload)[0] not in {"json_object", "json_schema"}:
        return
    if payload.get("tools") or payload.get("functions"):
        yield "json mode cannot be combined with tool/function calling"
    if payload.get("stream") is True:
        yield "`response_format` does not support streaming"


def _of_the_form(payload: Payload) -> Iterator[str]:
    kind, schema = answer_form(payload)
    if kind not in {"text", "json_object", "json_schema"}:
        yield "'response_format.type' : value must be one of text, json_object, json_schema"
    if kind == "json_schema":
        if not isinstance(schema, dict):
            yield "'response_format.json_schema.schema' : property is missing or no object"
        elif (reason := schema_fault(cast("dict[str, Any]", schema))) is not None:
            yield f"invalid JSON schema for response_format: {reason}"
    reasoning = payload.get("reasoning_format")
    if reasoning is not None and payload.get("include_reasoning") is not None:
        yield "`include_reasoning` and `reasoning_format` cannot be given together"
    if reasoning not in (None, "hidden", "raw", "parsed"):
        yield "'reasoning_format' : value must be one of hidden, raw, parsed"
    if reasoning == "raw" and (kind != "text" or payload.get("tools")):
        yield "`reasoning_format` must be `parsed` or `hidden` when using JSON mode or tools"
