"""Whether a model may and can take a request, and with which values: tokens clamped, reasoning remapped, JSON mode chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from groq_fallback_mcp.call import (
    AudioFile,
    AudioRequest,
    ChatRequest,
    JsonMode,
    Limit,
    ReasoningEffort,
    Restrictions,
    SpeechRequest,
)
from groq_fallback_mcp.call.refusals import LOCAL_ONLY
from groq_fallback_mcp.catalog import Capabilities, Catalog, Kind, ModelRow, Stage
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens, has_images
from groq_fallback_mcp.policy.model_choice import INJECTION, ProviderModel, ProviderModels
from groq_fallback_mcp.quota.budget import Spend, picodollars, usd
from groq_fallback_mcp.render import excerpt

__all__ = [
    "ChatNeeds",
    "Fitted",
    "TooLarge",
    "chat_needs",
    "fit_audio",
    "fit_chat",
    "fit_speech",
    "is_requested",
    "model_objection",
    "price_objection",
    "provider_objection",
    "remap_reasoning",
    "serves_unnamed",
    "standing_objection",
    "training_objection",
]

DEFAULT_MAX_TOKENS = 1_024
# Reasoning counts as completion: a smaller default comes back as finish_reason length with empty content.
DEFAULT_MAX_TOKENS_REASONING = 2_048
LEAST_USEFUL_TOKENS = 64
LEAST_DEFAULT_TOKENS = 256
ESTIMATE_MARGIN = 1.1
RESERVE_TOKENS = 32
# One prompt in a hundred is longer than estimated by more than this.
STRICT_MARGIN = 1.3
# A paid account was measured to accept 26,214,400 bytes where the documentation says 25 MB.
MEGABYTE = 1_048_576
SEARCHES = frozenset({"web_search", "browser_search"})
RUNS_CODE = "code_interpreter"
# What a chat without images is for, where it does not say.
_IN_WORDS = frozenset({"fast", "reasoning", "agentic"})
_STRENGTH: dict[ReasoningEffort, float] = {"none": 0.0, "low": 1.0, "medium": 2.0, "default": 2.0, "high": 3.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatNeeds:
    """What a chat request asks of a model."""

    prompt_tokens: int
    images: int
    tools: bool
    schema: bool
    max_tokens: int | None
    reasoning_effort: ReasoningEffort | None
    search: bool = False
    search_optional: bool = False
    searches_within: bool = False
    code: bool = False
    screens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The values this model gets. `reduced`: fewer tokens than the caller asked for, so others go first.

    `builtin` names the tools that are to run at the provider.
    """

    max_tokens: int = 0
    reasoning_effort: ReasoningEffort | None = None
    json_mode: JsonMode = "none"
    notes: Sequence[str] = ()
    reduced: bool = False
    builtin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLarge:
    """Why a model cannot take a request that it could take if it were smaller: `tokens` are all that it takes at once.

    `limit` is the limit that says so, None for the context window.
    """

    reason: str
    tokens: int
    limit: Limit | None = None


def chat_needs(request: ChatRequest, use_case: str) -> ChatNeeds:
    """What `request` asks of a model. `fast` asks for little reasoning unless the caller says otherwise."""
    effort = request.reasoning_effort
    return ChatNeeds(
        prompt_tokens=estimate_prompt_tokens(request),
        images=has_images(request),
        tools=bool(request.tools),
        schema=request.schema is not None,
        max_tokens=request.max_tokens,
        reasoning_effort="low" if effort is None and use_case == "fast" else effort,
        search=request.search is not None,
        search_optional=request.search is not None and request.search.optional,
        searches_within=request.search is not None and request.search.is_bounded,
        code=request.code,
        screens=use_case == INJECTION,
    )


def fit_chat(needs: ChatNeeds, offered: ProviderModel, *, tpm: float | None) -> Fitted | TooLarge | str:
    """The fitted values, or why this model cannot take the request. `tpm` is its tokens-per-minute bucket."""
    row, capabilities = offered.row, offered.row.capabilities
    if row.kind not in ({Kind.GUARD} if needs.screens else {Kind.CHAT, Kind.SYSTEM}):
        return f"it is for {row.kind.value.replace('_', ' ')}, not for {'screening' if needs.screens else 'chat'}"
    missing = _missing(needs, capabilities)
    if missing is not None:
        return missing
    prompt_tokens = needs.prompt_tokens
    if offered.strict_window:
        # no refusal would tell that the estimate was too low: the prompt would be cut
        prompt_tokens = math.ceil(prompt_tokens * STRICT_MARGIN) + RESERVE_TOKENS
    space = None if row.context_window is None else row.context_window - prompt_tokens
    if space is not None and space < LEAST_USEFUL_TOKENS:
        if tpm is not None and tpm < prompt_tokens + space:
            # agents cut their conversation to the figure that they are given: it must be the lower one
            return _beyond_a_minute(needs, tpm)
        reason = f"about {needs.prompt_tokens} prompt tokens do not fit its context window of {row.context_window}"
        return TooLarge(reason=reason, tokens=prompt_tokens + space)
    bounds = [bound for bound in (row.max_completion_tokens, space) if bound is not None]
    tokens = _tokens(needs, bounds, tpm=tpm, reasons=bool(capabilities.reasoning))
    if isinstance(tokens, TooLarge):
        return tokens
    max_tokens, reduced, notes = tokens
    effort = remap_reasoning(needs.reasoning_effort, capabilities.reasoning)
    if needs.reasoning_effort not in {None, effort, "low"}:
        notes = (
            *notes,
            f"reasoning_effort {needs.reasoning_effort} changed to {effort or 'the default'}, which the model supports",
        )
    if needs.searches_within and row.kind is not Kind.SYSTEM:
        notes = (*notes, "The search was not limited to domains or a country; only compound systems support that.")
    if needs.search and not _searches(capabilities):
        notes = (*notes, "The web was not searched; the model has no tool for it.")
    return Fitted(
        max_tokens=max_tokens,
        reasoning_effort=effort,
        json_mode=_json_mode(needs, capabilities),
        notes=notes,
        reduced=reduced,
        builtin=_builtin(needs, capabilities),
    )


def fit_audio(request: AudioRequest, offered: ProviderModel) -> Fitted | str:
    """The fitted values, or why this model cannot take the recording."""
    row = offered.row
    if row.kind is not Kind.SPEECH_TO_TEXT:
        return "it does not transcribe"
    if request.translate and not row.capabilities.translation:
        return "it does not translate to English"
    if request.language is not None and offered.languages and request.language not in offered.languages:
        return f"it understands only {', '.join(offered.languages)}"
    if not isinstance(request.audio, AudioFile) and not offered.links:
        return "it accepts files only, not URLs"
    limit_mb = offered.upload_mb
    if isinstance(request.audio, AudioFile) and limit_mb is not None and request.audio.size > limit_mb * MEGABYTE:
        size = request.audio.size / MEGABYTE
        return f"the file is {size:.1f} MB, this plan allows {limit_mb} MB"
    return Fitted()


def fit_speech(request: SpeechRequest, offered: ProviderModel) -> Fitted | str:
    """The fitted values, or why this model cannot speak the text."""
    row, capabilities = offered.row, offered.row.capabilities
    if row.kind is not Kind.TEXT_TO_SPEECH:
        return "it does not generate speech"
    if offered.languages and request.language not in offered.languages:
        return f"it speaks only {', '.join(offered.languages)}"
    if request.voice is not None and capabilities.voices and request.voice not in capabilities.voices:
        return f"it has no voice {excerpt(request.voice)} (available are {', '.join(capabilities.voices)})"
    if capabilities.max_input_chars is not None and len(request.text) > capabilities.max_input_chars:
        return f"it accepts at most {capabilities.max_input_chars} characters at a time"
    return Fitted()


def remap_reasoning(wanted: ReasoningEffort | None, takes: Sequence[ReasoningEffort]) -> ReasoningEffort | None:
    """The value nearest to `wanted` that the model takes, the stronger of two; None leaves the field out."""
    if wanted is None or not takes:
        return None
    if wanted in takes:
        return wanted
    return min(takes, key=lambda value: (abs(_STRENGTH[value] - _STRENGTH[wanted]), -_STRENGTH[value]))


def provider_objection(restrictions: Restrictions, provider: ProviderModels, use_case: str) -> str | None:
    """Why nothing of a provider may be asked, None when it may."""
    if (closed := _closed(restrictions, provider)) is not None:
        return closed
    if provider.use_cases is not None and use_case not in provider.use_cases:
        return f"config.toml reserves it for {', '.join(sorted(provider.use_cases))}"
    if not provider.models:
        return "its list of models cannot be read, and config.toml names none"
    return None


def standing_objection(restrictions: Restrictions, provider: ProviderModels, row: ModelRow) -> str | None:
    """Why no call may ask a model, whatever it wants; None where some may."""
    return _closed(restrictions, provider) or model_objection(restrictions, row)


def _closed(restrictions: Restrictions, provider: ProviderModels) -> str | None:
    if restrictions.providers is not None and provider.name not in restrictions.providers:
        return f"this call may use only {', '.join(restrictions.providers) or 'no provider'}"
    if restrictions.local_only and not provider.on_this_machine:
        return LOCAL_ONLY
    return training_objection(restrictions, provider)


def training_objection(restrictions: Restrictions, provider: ProviderModels) -> str | None:
    """Why a provider may not be asked by its data policy, None when it may."""
    if not restrictions.no_training or provider.data_policy == "no-training":
        return None
    what = "trains on prompts" if provider.data_policy == "trains" else "may train on prompts"
    return f"it {what} (data_policy is no-training)"


def model_objection(restrictions: Restrictions, row: ModelRow) -> str | None:
    """Why a model may not be asked, None when it may."""
    if restrictions.no_preview and row.stage is Stage.PREVIEW:
        return "it is a preview model (no_preview is set)"
    if restrictions.models is not None and row.id not in restrictions.models:
        return "the gateway token may not use it"
    return None


def is_requested(restrictions: Restrictions, provider: ProviderModels, model: str, requested_model: str | None) -> bool:
    """Whether a call asks for a model that serves only on request; true for every other model."""
    if model == requested_model:
        return True
    if model in provider.by_name_only:
        return False
    return model not in provider.on_request or restrictions.local_only or provider.name in (restrictions.providers or ())


def serves_unnamed(model: str, provider: ProviderModels, *, catalog: Catalog, restrictions: Restrictions, today: date) -> bool:
    """Whether a chat in words may be answered by this model though it names none."""
    if provider.use_cases is not None and not provider.use_cases & _IN_WORDS:
        return False
    if provider.cataloged and model not in (restrictions.models or ()):
        chains = [name for row in catalog.practices.values() if row.tool == "groq_chat" for name in (row.model, *row.chain)]
        if model not in {*chains, *(catalog.successor(name, today) for name in chains)}:
            return False
    return is_requested(restrictions, provider, model, None)


def price_objection(restrictions: Restrictions, most: Spend) -> str | None:
    """Why a call that may cost `most` is too dear, None when it is not. What has no price cannot be held to one."""
    if restrictions.max_usd is None:
        return None
    if most.picousd is None:
        return "its price is unknown and max_usd is set"
    if most.picousd > picodollars(restrictions.max_usd):
        return f"it could cost {usd(most.picousd)} USD, more than the {restrictions.max_usd:f} allowed"
    return None


def _missing(needs: ChatNeeds, capabilities: Capabilities) -> str | None:  # noqa: PLR0911 - one line a need
    if needs.images and not capabilities.vision:
        return "it does not accept images"
    if capabilities.max_images is not None and needs.images > capabilities.max_images:
        return f"it accepts at most {capabilities.max_images} images"
    if needs.tools and not capabilities.tools:
        return "it does not support tools"
    if needs.search and not needs.search_optional and not _searches(capabilities):
        return "it cannot search the web"
    if needs.code and RUNS_CODE not in capabilities.builtin_tools:
        return "it cannot run code"
    if needs.schema and not (capabilities.json_schema or capabilities.json_object):
        return "it does not support JSON output"
    return None


def _tokens(
    needs: ChatNeeds, bounds: Sequence[int], *, tpm: float | None, reasons: bool
) -> tuple[int, bool, tuple[str, ...]] | TooLarge:
    default = DEFAULT_MAX_TOKENS_REASONING if reasons else DEFAULT_MAX_TOKENS
    asked = default if needs.max_tokens is None else needs.max_tokens
    granted = min([asked, *bounds])
    notes = (
        (f"max_tokens lowered from {asked} to {granted}, the most the model can generate",)
        if needs.max_tokens is not None and granted < asked
        else ()
    )
    if tpm is None or needs.prompt_tokens + granted <= tpm:
        return granted, False, notes
    # the prompt is only estimated: a call filled up to the last token would come back as 413
    left = int(tpm - needs.prompt_tokens * ESTIMATE_MARGIN) - RESERVE_TOKENS
    least = LEAST_USEFUL_TOKENS if needs.max_tokens is not None else LEAST_DEFAULT_TOKENS
    if left < least:
        return _beyond_a_minute(needs, tpm)
    if needs.max_tokens is None:
        return left, False, notes
    return left, True, (f"max_tokens lowered from {asked} to {left} to fit the limit of {tpm:,.0f} tokens/min",)


def _beyond_a_minute(needs: ChatNeeds, tpm: float) -> TooLarge:
    reason = f"about {needs.prompt_tokens} prompt tokens leave no room in its {tpm:,.0f} tokens per minute"
    return TooLarge(reason=reason, tokens=int(tpm), limit=Limit.TPM)


def _searches(capabilities: Capabilities) -> bool:
    return bool(SEARCHES & set(capabilities.builtin_tools))


def _builtin(needs: ChatNeeds, capabilities: Capabilities) -> tuple[str, ...]:
    wanted = (SEARCHES if needs.search else set[str]()) | ({RUNS_CODE} if needs.code else set[str]())
    return tuple(name for name in capabilities.builtin_tools if name in wanted)


def _json_mode(needs: ChatNeeds, capabilities: Capabilities) -> JsonMode:
    if not needs.schema:
        return "none"
    if needs.tools or needs.search or needs.code:
        # Groq: "json mode cannot be combined with tool/function calling". The prompt asks for JSON, and the answer is checked.
        return "prompted"
    return "json_schema" if capabilities.json_schema else "json_object"
