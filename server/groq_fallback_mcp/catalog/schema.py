"""The rows of the catalog, validated: unknown keys are refused, prices are Decimal, units are in the names.

Every row says where it is from (`source`, the id of a row in `sources`) and when it was checked.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from groq_fallback_mcp.call import Limit, ReasoningEffort
from groq_fallback_mcp.catalog.price import Price
from groq_fallback_mcp.catalog.provider_rows import ProviderRow

__all__ = [
    "Advice",
    "Capabilities",
    "CatalogFile",
    "Endpoint",
    "ErrorCodeRow",
    "ErrorRow",
    "HeaderRow",
    "Kind",
    "LimitRow",
    "ModelRow",
    "Plan",
    "Practice",
    "Price",
    "Sdk",
    "Shutdown",
    "SourceRow",
    "Stage",
]

Plan = Literal["free", "developer"]
Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(gt=0, strict=True)]


class Kind(StrEnum):
    """What a model does. `system` is a model with server-side tools (groq/compound); it chats."""

    CHAT = "chat"
    SYSTEM = "system"
    SPEECH_TO_TEXT = "speech_to_text"
    TEXT_TO_SPEECH = "text_to_speech"
    GUARD = "guard"


class Stage(StrEnum):
    """Where a model is in its life. Preview models may end at short notice."""

    PRODUCTION = "production"
    PREVIEW = "preview"
    RETIRED = "retired"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _SourcedRow(_Row):
    source: Name
    checked: date


class SourceRow(_Row):
    """A document that rows refer to."""

    id: Name
    title: Name
    date: date


class Capabilities(_Row):
    """What a model accepts.

    `reasoning` lists the values of reasoning_effort it takes, weakest first. `json_schema` is strict mode, where
    the answer cannot but fit the schema; best effort is not counted. `tools` are the caller's own, `builtin_tools`
    those that run at the provider. `max_input_chars` bounds one call's text to be spoken, `languages` what can be.
    `reasoning_format`: it would write its thoughts into the answer unless told to keep them apart.
    """

    vision: Flag = False
    max_images: Positive | None = None
    tools: Flag = False
    json_object: Flag = False
    json_schema: Flag = False
    reasoning: tuple[ReasoningEffort, ...] = ()
    reasoning_format: Flag = False
    builtin_tools: tuple[str, ...] = ()
    translation: Flag = False
    voices: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    max_input_chars: Positive | None = None


class ModelRow(_SourcedRow):
    """A model as its source gives it. `stage` is the source's; `Catalog.stage` lays shutdowns over it.

    `max_file_mb` is the file size its table states, where it states one.
    """

    id: Name
    kind: Kind
    stage: Literal[Stage.PRODUCTION, Stage.PREVIEW]
    speed_tps: Positive | None = None
    context_window: Positive | None = None
    max_completion_tokens: Positive | None = None
    max_file_mb: Positive | None = None
    price: Price = Price()
    capabilities: Capabilities = Capabilities()
    capabilities_source: str | None = None
    cached_price_source: str | None = None


class Shutdown(_SourcedRow):
    """The end of a model. `on` is the first day it no longer answers; `approximate` when only a month is known."""

    model: Name
    on: date
    successor: Name | None = None
    approximate: Flag = False
    note: str = ""


class LimitRow(_SourcedRow):
    """The rate limits of a model on a plan. An absent figure is not limited or not known.

    `upload_mb` is the largest file a speech model takes. `source_plan_name` is what the source called the plan,
    where that was wrong.
    """

    model: Name
    plan: Plan
    rpm: Positive | None = None
    rpd: Positive | None = None
    tpm: Positive | None = None
    tpd: Positive | None = None
    ash: Positive | None = None
    asd: Positive | None = None
    upload_mb: Positive | None = None
    source_plan_name: str | None = None

    def figures(self) -> dict[Limit, int]:
        """The stated limits, by name."""
        named = {limit: getattr(self, limit.value, None) for limit in Limit}
        return {limit: figure for limit, figure in named.items() if figure is not None}


class Practice(_SourcedRow):
    """A row of the best-practices table: for this use, this model, for this reason; then `chain` in order.

    `title`, `model` and `reason` are the source's words. `chain` is ours: what may serve, best first, the
    shipped ones beginning with `model`. `tool` is the one that serves it. `correction` says where the source is wrong or has been overtaken.
    """

    use_case: Name
    title: str
    model: Name
    reason: str = ""
    chain: tuple[Name, ...] = ()
    tool: Literal["groq_chat", "transcribe", "speak", "screen"] = "groq_chat"
    correction: str = ""


class Advice(_SourcedRow):
    """A sentence of the best practices that is not a model choice."""

    topic: Literal["rate_limits", "cost", "context_window", "errors"]
    title: Name
    text: Name
    correction: str = ""


class HeaderRow(_SourcedRow):
    """A response header, with the meaning the source gives it."""

    header: Name
    example: str
    meaning: str
    correction: str = ""


class ErrorRow(_SourcedRow):
    """An HTTP status as the source describes it, and what this project does about it."""

    status: Positive
    meaning: str
    action: str


class ErrorCodeRow(_SourcedRow):
    """A code inside an error body, with an example, and what this project does about it.

    One code can come with two statuses and mean two things: rate_limit_exceeded does. `title` is the source's
    heading, `type` the body's; both are empty where the source gives none.
    """

    status: Positive
    code: Name
    type: str = ""
    title: str = ""
    message: str
    action: str
    correction: str = ""


class Endpoint(_SourcedRow):
    """A path below the base URL, and what of this project reaches it (empty: nothing yet)."""

    method: Name
    path: Name
    purpose: str
    reached_by: str


class Sdk(_SourcedRow):
    """An official client library."""

    language: Name
    package: Name
    install: str


class CatalogFile(_Row):
    """One TOML file of the catalog, or a user's overlay; every table may be absent."""

    sources: tuple[SourceRow, ...] = ()
    models: tuple[ModelRow, ...] = ()
    shutdowns: tuple[Shutdown, ...] = ()
    limits: tuple[LimitRow, ...] = ()
    practices: tuple[Practice, ...] = ()
    advice: tuple[Advice, ...] = ()
    headers: tuple[HeaderRow, ...] = ()
    errors: tuple[ErrorRow, ...] = ()
    error_codes: tuple[ErrorCodeRow, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    sdks: tuple[Sdk, ...] = ()
    providers: tuple[ProviderRow, ...] = ()
