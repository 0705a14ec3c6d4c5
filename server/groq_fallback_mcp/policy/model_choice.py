"""Which models there are to choose from, and which of them a request asks for, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches

from groq_fallback_mcp.call import (
    CONTINUOUS,
    AnyRequest,
    AudioRequest,
    ChatRequest,
    Exclusion,
    Limit,
    Pool,
    Refilling,
    SpeechRequest,
)
from groq_fallback_mcp.catalog import Catalog, Cost, DataPolicy, Kind, ModelRow, Price, Stage
from groq_fallback_mcp.errors import InputRefused, ModelNotAllowed
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens, has_images
from groq_fallback_mcp.render import excerpt

__all__ = [
    "INJECTION",
    "Choice",
    "ProviderModel",
    "ProviderModels",
    "choose",
    "default_use_case",
    "is_retired",
    "named_provider",
    "resolve_model",
]

ChatKinds = (Kind.CHAT, Kind.SYSTEM)
INJECTION = "injection"
LONGEST_NAME = 200
MOST_NAMED = 12
SHORT_PROMPT_TOKENS = 2_000
_TOOL = {Kind.SPEECH_TO_TEXT: "transcribe", Kind.TEXT_TO_SPEECH: "speak", Kind.GUARD: "screen"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderModel:
    """A model at a provider. `wire_model` is its id there; `documented` its limits, empty where there are none;
    `languages` those it understands, empty for all; `links` whether it
    accepts a URL instead of a file; `upload_mb` the largest file it takes, in MB of 1,048,576 bytes. `pool` are limits it shares
    with other models, `refilling` says how its limits come back, `cost` what kind of money its calls cost and `price` how much,
    None where that is not known, or the row's for a provider that is `cataloged`. `failures_count`: a call that fails is counted as a request there.
    `must_be_priced`: without a price, its calls may cost anything.
    `strict_window`: the server cuts what does not fit its window, or counts max_tokens as used.
    """

    row: ModelRow
    wire_model: str
    documented: Mapping[Limit, int] = field(default_factory=dict[Limit, int])
    pool: Pool | None = None
    refilling: Refilling = CONTINUOUS
    cost: Cost | None = None
    price: Price | None = None
    failures_count: bool = False
    must_be_priced: bool = False
    strict_window: bool = False
    upload_mb: int | None = None
    languages: tuple[str, ...] = ()
    links: bool = True

    def documented_limit(self, limit: Limit) -> int | None:
        """What is documented of a limit, its own or its pool's; the lower where both are."""
        shared = None if self.pool is None else self.pool.documented.get(limit)
        return min((figure for figure in (self.documented.get(limit), shared) if figure is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderModels:
    """A provider's models by the id used in plans, in its order of preference.

    `on_this_machine`: what is sent there leaves no machine. `use_cases` are those it is asked for, None for all.
    `live` holds the ids of the provider's live list, None while it has not been read. `cataloged`: the
    catalog's shutdowns hold here, and models that stand in no chain, such as moderation models, are asked by name only.
    `on_request` holds the ids that serve only calls that ask for this provider, for local models, or for them by name, and
    `by_name_only` those that serve only calls that name them: of a long list all would be asked in turn where its server is down.
    `data_policy` is what becomes of prompts there. `first_token_s`: how many seconds it may be silent before an answer.
    """

    name: str
    models: Mapping[str, ProviderModel]
    live: frozenset[str] | None = None
    cataloged: bool = False
    on_this_machine: bool = False
    use_cases: frozenset[str] | None = None
    on_request: frozenset[str] = frozenset()
    by_name_only: frozenset[str] = frozenset()
    data_policy: DataPolicy = "no-training"
    first_token_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The models to consider in order, and those that ended without a successor.

    `requested_provider` is the one whose model the caller named, None where any will do.
    """

    wanted: Sequence[str]
    ended: Sequence[Exclusion]
    use_case: str
    requested_model: str | None
    notes: Sequence[str]
    requested_provider: str | None = None


def choose(request: AnyRequest, *, catalog: Catalog, providers: Sequence[ProviderModels], today: date) -> Choice:
    """The models a request asks for, best first, each once.

    Raises InputRefused for a model or use case that does not exist, naming the nearest ones, and for a model that the caller may not use.
    """
    kinds = _kinds(request)
    requested = (
        None
        if request.model is None
        else resolve_model(request.model, catalog=catalog, providers=providers, kinds=kinds, today=today)
    )
    allowed = request.restrictions.models
    if requested is not None and allowed is not None and requested not in allowed:
        raise ModelNotAllowed(
            f"this gateway token may not use the model {requested}",
            next_step=f"use {' or '.join(allowed[:MOST_NAMED]) or 'another token'}",
        )
    use_case = _use_case(request, catalog)
    practice = catalog.practices[use_case]
    names = [
        *([requested] if requested is not None else []),
        practice.model,
        *practice.chain,
        *(
            name
            for provider in providers
            if not provider.cataloged
            for name, offered in provider.models.items()
            if offered.row.kind in kinds
        ),
        # a caller that may use only some models is served by them, in a use case's chain or not
        *(name for name in request.restrictions.models or () if name in catalog.models and catalog.models[name].kind in kinds),
    ]
    wanted: list[str] = []
    ended: dict[str, Exclusion] = {}
    notes: list[str] = []
    listed = next((provider for provider in providers if provider.cataloged), None)
    for name in dict.fromkeys(names):
        elsewhere = any(name in provider.models for provider in providers if not provider.cataloged)
        gone = listed is not None and is_retired(name, catalog=catalog, provider=listed, today=today)
        if elsewhere or not gone:
            wanted.append(name)
        if not gone:
            continue
        successor = catalog.successor(name, today)
        shutdown = catalog.shutdowns.get(name)
        ended_on = shutdown.on if shutdown is not None and shutdown.on <= today else None
        reason = f"shut down on {ended_on}" if ended_on is not None else "missing from the live list"
        if successor is None:
            ended.setdefault(name, Exclusion(provider="groq", model=name, reason=f"{reason}, no successor"))
        else:
            wanted.append(successor)
        # a model that was not named needs no explanation
        if name == requested:
            notes.append(f"{name} was {reason}; " + (f"used its successor {successor}" if successor else "it has no successor"))
    return Choice(
        wanted=tuple(dict.fromkeys(wanted)),
        ended=tuple(ended.values()),
        use_case=use_case,
        requested_model=requested,
        notes=tuple(notes),
        requested_provider=None
        if request.model is None
        else named_provider(request.model, catalog=catalog, providers=providers),
    )


def resolve_model(
    name: str, *, catalog: Catalog, providers: Sequence[ProviderModels], kinds: Sequence[Kind], today: date
) -> str:
    """The id a caller's name stands for, also with its provider before it or without its maker, as gpt-oss-20b.

    Raises InputRefused for an unknown name or a model of another kind.
    """
    known = {row.id: row.kind for row in catalog.models.values()}
    known |= {model: offered.row.kind for provider in providers for model, offered in provider.models.items()}
    # LiteLLM has it before every model here
    bare = name.removeprefix("groq/")
    found = name if name in known else _of_provider(name, providers)
    if found is None and bare in known:
        found = bare
    if found is None:
        # as its server calls it, e.g. Ollama's gpt-oss:20b
        found = next(
            (id_ for provider in providers for id_, offered in provider.models.items() if offered.wire_model == name), None
        )
    if found is None:
        short = [model for model in known if model.rpartition("/")[2] == bare.lower()]
        found = short[0] if len(short) == 1 else None
    if found is not None and known[found] in kinds:
        return found
    # retired ones are taken, but not suggested
    fitting = sorted(
        model for model, kind in known.items() if kind in kinds and catalog.stage(model, today) is not Stage.RETIRED
    )
    if found is None:
        raise InputRefused(f"unknown model {excerpt(name)}", next_step=_nearest(name, fitting) + ". See list_models")
    tool = _TOOL.get(known[found], "groq_chat")
    raise InputRefused(
        f"the model {found!r} is for {known[found].value.replace('_', ' ')}",
        next_step=f"use the tool {tool}, or one of {', '.join(fitting[:4])}",
    )


def named_provider(name: str, *, catalog: Catalog, providers: Sequence[ProviderModels]) -> str | None:
    """The provider of a name such as gemini/gemini-3.5-flash-lite; None where the name is a model's own, as openai/gpt-oss-20b."""
    if name in catalog.models or any(name in provider.models for provider in providers):
        return None
    return None if _of_provider(name, providers) is None else name.partition("/")[0]


def _of_provider(name: str, providers: Sequence[ProviderModels]) -> str | None:
    """The id of a model that is named as PROVIDER/MODEL."""
    prefix, _, model = name.partition("/")
    provider = next((one for one in providers if one.name == prefix), None)
    if provider is None or not model:
        return None
    if model in provider.models:
        return model
    served = next((id_ for id_, offered in provider.models.items() if offered.wire_model == model), None)
    short = [id_ for id_ in provider.models if id_.rpartition("/")[2] == model.lower()]
    return served or (short[0] if len(short) == 1 else None)


def is_retired(model: str, *, catalog: Catalog, provider: ProviderModels, today: date) -> bool:
    """Whether a model has ended at a provider: by its live list where that was read, else by the catalog's date.

    Enterprise accounts keep models longer; other providers have calendars of their own.
    """
    if not provider.cataloged:
        return False
    if provider.live is not None:
        return model not in provider.live
    return catalog.stage(model, today) is Stage.RETIRED


def default_use_case(request: ChatRequest) -> str:
    """The use case a chat request without one belongs to: `fast` for short plain prompts, else by what it needs."""
    if has_images(request):
        return "vision"
    if request.tools or request.search is not None or request.code:
        return "agentic"
    long = estimate_prompt_tokens(request) > SHORT_PROMPT_TOKENS
    return "reasoning" if long or request.schema is not None or request.reasoning_effort in {"medium", "high"} else "fast"


def _kinds(request: AnyRequest) -> tuple[Kind, ...]:
    if isinstance(request, AudioRequest):
        return (Kind.SPEECH_TO_TEXT,)
    if isinstance(request, SpeechRequest):
        return (Kind.TEXT_TO_SPEECH,)
    return (Kind.GUARD,) if request.use_case == INJECTION else ChatKinds


def _use_case(request: AnyRequest, catalog: Catalog) -> str:
    if isinstance(request, AudioRequest):
        return "translation" if request.translate else "audio"
    if isinstance(request, SpeechRequest):
        return "speech_arabic" if request.language == "ar" else "speech"
    if request.use_case is None:
        return default_use_case(request)
    practice = catalog.practices.get(request.use_case)
    if practice is None:
        fitting = [known.use_case for known in catalog.practices.values() if known.tool == request.asked_by]
        raise InputRefused(f"unknown use_case {excerpt(request.use_case)}", next_step=_nearest(request.use_case, fitting))
    if practice.tool != request.asked_by:
        raise InputRefused(
            f"the use case {excerpt(request.use_case)} is not for chat", next_step=f"use the tool {practice.tool}"
        )
    return request.use_case


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name[:LONGEST_NAME], known, n=3, cutoff=0.4)
    return (
        f"did you mean {' or '.join(close)}? Otherwise use one of {', '.join(known[:12])}"
        if close
        else f"use one of {', '.join(known[:12])}"
    )
