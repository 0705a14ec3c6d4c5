"""The rows of providers.toml: places besides Groq that serve models in OpenAI's format, and how each differs from it.

Every row says where it is from and when it was checked; `uncertain` says what sources disagree about, and nothing that is
uncertain is relied on: it is shown, and the provider's own answers decide.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from groq_fallback_mcp.call import FailureKind, Limit, ReasoningEffort
from groq_fallback_mcp.catalog.price import Price

__all__ = [
    "Cost",
    "DataPolicy",
    "Dialect",
    "LimitHeader",
    "LocalServer",
    "ProviderError",
    "ProviderLimit",
    "ProviderModelRow",
    "ProviderPlan",
    "ProviderRow",
]

Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(gt=0, strict=True)]
Cost = Literal["local", "free", "paid"]
DataPolicy = Literal["no-training", "trains", "unknown"]

# The rows of a provider that say where they are from.
_HAVE_SOURCES = ("plans", "limits", "headers", "errors", "models", "dialect", "server")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _SourcedRow(_Row):
    source: Name
    checked: date
    uncertain: str = ""


class ProviderPlan(_SourcedRow):
    """What an account is: `cost` is what its calls cost, `data_policy` what becomes of prompts. The first plan is the default."""

    name: Name
    cost: Cost
    data_policy: DataPolicy = "unknown"
    note: str = ""


class ProviderLimit(_SourcedRow):
    """Limits of some models on a plan; an absent figure is not limited or not known.

    `models` are ids on the wire or endings of them (`*:free`), `*` for all. With `pool` these models share the limits,
    else each has its own. `concurrent`: calls at once. Limits per day come back when the provider's day ends.
    """

    plan: Name
    models: tuple[Name, ...] = ("*",)
    pool: str | None = None
    rpm: Positive | None = None
    rph: Positive | None = None
    rpd: Positive | None = None
    tpm: Positive | None = None
    tph: Positive | None = None
    tpd: Positive | None = None
    itpm: Positive | None = None
    otpm: Positive | None = None
    concurrent: Positive | None = None
    note: str = ""

    def figures(self) -> dict[Limit, int]:
        """The stated limits, by name."""
        named = {limit: getattr(self, limit.value, None) for limit in Limit}
        return {limit: figure for limit, figure in named.items() if figure is not None}

    def holds_for(self, wire_model: str) -> bool:
        """Whether a model is one of `models`."""
        return any(
            pattern in {"*", wire_model} or (pattern.startswith("*") and wire_model.endswith(pattern[1:]))
            for pattern in self.models
        )


class LimitHeader(_SourcedRow):
    """The response headers (lower case) that state a limit. `reset` may be a duration, seconds, or a moment.

    Without `limit` they count requests, and `reset` tells per how long.
    """

    limit: Limit | None = None
    capacity: str | None = None
    remaining: str | None = None
    reset: str | None = None


class ProviderError(_SourcedRow):
    """An error this provider is known to send, and what it stands for where that is not what it stands for elsewhere.

    It is recognized by `status`, `code` (compared with every code, type and limit source in the body, in any case of letters) and `words`
    (in the message or the id of a quota, in any case of letters); what is absent matches anything, and the first row that
    matches counts. `scope`: who is out of the running. `wait`: until when, `day` for the end of the provider's day; `none` where
    waiting never helps. `example` is a whole body, `headers` what comes with it.
    """

    status: Positive
    code: str | None = None
    words: str | None = None
    kind: FailureKind
    scope: Literal["model", "pool", "provider"] = "model"
    wait: Literal["stated", "day", "none"] = "stated"
    example: Name
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    meaning: Name


class Dialect(_Row):
    """What a request to this provider must be like. All defaults are OpenAI's format as most servers read it."""

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    least_max_tokens: Positive | None = None
    """Thinking is taken from max_tokens: fewer would leave no answer."""
    omit: tuple[Name, ...] = ()
    """Top-level fields that are refused, or ignored and soon refused."""
    only: tuple[Name, ...] = ()
    """The only top-level fields that are taken, where the provider refuses all others."""
    rename: dict[str, str] = Field(default_factory=dict[str, str])
    with_tools: dict[str, bool | int | str] = Field(default_factory=dict[str, bool | int | str])
    """Fields that go with every request that has tools."""
    tool_choice: dict[str, str] = Field(default_factory=dict[str, str])
    """Its words for values of tool_choice; an empty one is omitted."""
    omit_schema_keys: tuple[Name, ...] = ()
    """Keys that its reader of tools refuses, `strict` of the function included. One that holds a schema is kept."""
    text_content: Flag = False
    """Content must be one string: neither null nor a list."""
    message_fields: tuple[Name, ...] = ()
    """The only fields a message may have, `name` those of tools alone; empty for any."""
    reasoning_history: Literal["reasoning", "reasoning_content"] | None = None
    """The field in which its own thoughts must come back with tool calls; None: thoughts are never sent."""
    tool_call_ids: Literal["any", "nine_letters"] = "any"
    """`nine_letters`: exactly nine of a-z, A-Z, 0-9."""
    thought_signatures: Flag = False
    """Tool calls carry extra_content.google.thought_signature, which must come back with them."""
    assistant_after_tool: Flag = False
    """Between a tool's result and a message of the user there must be one of the assistant."""
    last_is_user: Flag = False
    """The last message must not be the assistant's."""
    stream_usage: Flag = True
    """It takes stream_options.include_usage."""
    reasoning: Literal["reasoning_effort", "reasoning", "thinking", "none"] = "reasoning_effort"
    """How reasoning effort is asked for: as OpenAI does, as `reasoning: {effort}`, as `thinking: {type}`, or not at all."""
    source: str = ""
    checked: date | None = None
    uncertain: str = ""


class LocalServer(_Row):
    """How a server on this machine is found and what it says of itself. `ports` in the order to look.

    `cuts_prompts`: it may cut a prompt that is too long and answer all the same, so that its window must be kept to here.
    `least_window` is what it loads with unless told otherwise.
    """

    kind: Literal["llamacpp", "ollama", "lmstudio", "vllm"]
    ports: tuple[Positive, ...]
    cuts_prompts: Flag = False
    least_window: Positive | None = None
    source: Name
    checked: date
    uncertain: str = ""


class ProviderModelRow(_SourcedRow):
    """A model as this provider serves it. `id` is its name in plans, `wire` at the provider where that differs.

    `cost`: free or paid where the provider has both.
    """

    id: Name
    wire: str | None = None
    context_window: Positive | None = None
    max_completion_tokens: Positive | None = None
    vision: Flag = False
    tools: Flag = True
    json_schema: Flag = False
    speech: Flag = False
    reasoning: tuple[ReasoningEffort, ...] = ()
    price: Price = Price()
    cost: Cost | None = None
    note: str = ""

    @property
    def wire_id(self) -> str:
        return self.wire or self.id


class ProviderRow(_SourcedRow):
    """A provider: what a `[[providers]]` table of config.toml with `preset = "<name>"` begins with.

    `day_ends` is the time zone whose midnight ends its day. `base_url` may name `{account}`, which comes from the variable `account_env`.
    `key_optional`: it may be set up without a key. `opt_in`: offered after all others. `json_schema`: it holds whatever model it
    runs to a schema while the answer is written. `failures_count`: calls that
    fail count as requests. `first_token_s`: how many seconds it may be silent before an answer, where that is long. Rows within it that name no `source` and `checked` have its own.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: Name
    base_url: Name
    key_env: str | None = None
    key_env_also: tuple[Name, ...] = ()
    key_optional: Flag = False
    key_page: str = ""
    account_env: str | None = None
    prefix: str = ""
    day_ends: str = "UTC"
    opt_in: Flag = False
    json_schema: Flag = False
    failures_count: Flag = False
    first_token_s: Positive | None = None
    order: int = 100
    """Where it stands among those offered to a newcomer, lowest first."""
    note: str = ""
    warning: str = ""
    """What a person should know before anything is sent there."""
    plans: tuple[ProviderPlan, ...]
    limits: tuple[ProviderLimit, ...] = ()
    headers: tuple[LimitHeader, ...] = ()
    errors: tuple[ProviderError, ...] = ()
    models: tuple[ProviderModelRow, ...] = ()
    dialect: Dialect = Dialect()
    server: LocalServer | None = None

    @model_validator(mode="before")
    @classmethod
    def _rows_have_its_source(cls, given: object) -> object:
        """What its own rows leave unsaid of where they are from."""
        if not isinstance(given, dict):
            return given
        origin = {name: given[name] for name in ("source", "checked") if name in given}
        rows: dict[str, object] = {
            name: [{**origin, **row} if isinstance(row, dict) else row for row in value]
            if isinstance(value, list)
            else {**origin, **value}
            for name, value in given.items()
            if name in _HAVE_SOURCES and isinstance(value, list | dict)
        }
        return {**given, **rows}

    @model_validator(mode="after")
    def _plans_are_named(self) -> Self:
        known = {plan.name for plan in self.plans}
        unknown = next((row.plan for row in self.limits if row.plan not in known), None)
        if not known or unknown is not None:
            message = f"the limits name the plan {unknown!r}, which is not in plans" if known else "plans must not be empty"
            raise ValueError(message)
        return self

    @property
    def sources(self) -> frozenset[str]:
        """Where it and all its rows are from."""
        rows = (*self.plans, *self.limits, *self.headers, *self.errors, *self.models, self.dialect, self.server)
        return frozenset({self.source, *(row.source for row in rows if row is not None and row.source)})

    def plan(self, name: str | None) -> ProviderPlan | None:
        """The plan of this name, the first without one; None for an unknown name."""
        return self.plans[0] if name is None else next((plan for plan in self.plans if plan.name == name), None)
