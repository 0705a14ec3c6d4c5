"""What an upstream's words say about a failure more exactly than its status.

The wordings are from the documentation and the public error reports of Groq, OpenAI, Azure, Anthropic, Gemini, Mistral,
DeepSeek, Moonshot, Z.ai, OpenRouter, Together, Fireworks, Cloudflare, Cerebras, Hugging Face, LiteLLM, vLLM, TGI, llama.cpp,
Ollama and LM Studio. tests/providers/test_error_words.py holds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from groq_fallback_mcp.call import FailureKind

__all__ = ["context_window_limit", "is_per_day", "kind_of_words", "max_tokens_limit"]

# Fewer tokens than this are no answer.
LEAST_AFFORDABLE = 64
_REFUSED = frozenset({400, 403, 412, 413, 422, 429, 451})
_BAD = frozenset({400, 404, 422})


@dataclass(frozen=True, slots=True)
class _Words:
    """Words that stand for a kind where the status is one of these; `broken`: where it is 500 or more, too."""

    kind: FailureKind
    statuses: frozenset[int]
    pattern: re.Pattern[str]
    broken: bool = False


def _words(kind: FailureKind, statuses: frozenset[int], *patterns: str, broken: bool = False) -> _Words:
    return _Words(kind, statuses, re.compile("|".join(patterns), re.IGNORECASE), broken)


# A limit that refills by itself. Its words may speak of payment too, as a way to raise it.
_RATE = re.compile(
    r"\brate[ _-]?limit|\btoo many (?:tokens|requests)\b.{0,40}(?:\bper\b|please wait|try again|slow down)"
    r"|throttl(?:ed|ing)|\brate exceeded|(?:tokens|requests) (?:per|rate)|free-models-per-|per ?(?:second|minute|hour|day)(?:per|\b)"
    r"|free[ _]tier|daily free",
    re.IGNORECASE,
)
# The same where a status says nothing of a limit: only what is said of one that was met.
_RATE_MET = re.compile(
    r"\brate[ _-]?limit(?:ed\b|s?\b.{0,40}\b(?:exceed|reach|hit))|\btoo many (?:tokens|requests)\b.{0,40}(?:\bper\b|please wait|try again|slow down)"
    r"|\bthrottl(?:ed|ing)|\brate exceeded|(?:tokens|requests) per .{0,40}exceeded|exceeded .{0,60}(?:tokens|requests) per",
    re.IGNORECASE,
)
# What a server quotes of the request.
_QUOTED = re.compile(r"(?<!\w)'[^']{20,}'(?!\w)|\"[^\"]{20,}\"|\binput(?:_value)?[=:].*", re.IGNORECASE)
_PER_DAY = re.compile(r"per[ _-]?day|\bdaily\b|\b[RT]PD\b", re.IGNORECASE)
# Nothing but money or the next month mends these.
_NO_CREDIT = _words(
    FailureKind.NO_CREDIT,
    frozenset({400, 402, 403, 412, 429}),
    r"insufficient[ _](?:account )?(?:credit|balance|funds)|credit balance is (?:too )?low|(?:out|run out) of credits?",
    r"monthly (?:included )?(?:credits|usage|spend\w*|limit|quota)|budget has been exceeded|over budget|exceededbudget",
    r"spend(?:ing)? limit|past invoices|arrear|good standing|key limit exceeded|negative balance|requires (?:more|at least) .{0,20}credits?",
    r"usage limits?.{0,40}regain access|limit for this month|\u4f59\u989d\u4e0d\u8db3|\u6b20\u8d39",
)
_SPEAKS_OF_MONEY = re.compile(
    r"exceeded your current quota|insufficient quota|billing|payment|more credits|top up|recharge", re.IGNORECASE
)
_WORDED = (
    _words(
        FailureKind.CONTENT_FILTERED,
        _REFUSED,
        r"content management policy|content exists risk|inappropriate content|\bflagged (?:for|by|as)\b|requires moderation",
        r"content[ _]policy|our usage (?:policy|policies|guidelines)|safety system",
        broken=True,
    ),
    _NO_CREDIT,
    _words(
        FailureKind.ORGANIZATION_REFUSED,
        frozenset({400, 403, 404}),
        r"(?:user )?location is not supported|(?:country|region|territory)\b.{0,30}not supported|not available in your (?:country|region)",
    ),
    _words(
        FailureKind.AUTHENTICATION,
        frozenset({400, 403}),
        r"(?:api|access|auth\w*)[ _-]?(?:key|token)s? (?:is |was |provided is )?(?:not valid|invalid|expired|revoked|missing)",
        r"(?:invalid|incorrect|wrong|missing|expired|revoked)(?: or \w+)? (?:api|access|auth\w*)[ _-]?(?:key|token|header)",
        r"\bno (?:api[ _-]?key|auth\w*) (?:was |is )?(?:passed|provided|found|given|supplied)",
        r"security token|authentication (?:error|fail)",
    ),
    _words(
        FailureKind.CONTEXT_TOO_LONG,
        _BAD | {413},
        r"`?inputs`? tokens \+|must have less than \d+ tokens",
    ),
)
# Such words also stand in the errors of a transport (context deadline exceeded), so the context must be that of a model.
_CONTEXT = _words(
    FailureKind.CONTEXT_TOO_LONG,
    _BAD | {413},
    r"reduce (?:the length of )?(?:the|your) (?:messages|prompt|input)|max(?:imum)? (?:model )?context (?:length|window|size)|context_length",
    r"(?:exceed|overflow|longer than|larger than|greater than|too (?:long|large) for)\w*.{0,80}\bcontext[ _](?:length|window|size|limit)",
    r"(?<!ssl )\bcontext[ _](?:length|window|size|limit).{0,60}(?:exceed|overflow|too (?:long|small)|reached)|context window is \d|context overflows",
    r"(?:prompt|input|request)(?: tokens?| length)? (?:is |are )?too (?:long|large)(?! for model `)|too many (?:input |prompt )?tokens",
    r"tokens? (?:count.{0,40})?exceeds? the (?:max|configured|limit)|max(?:imum)?[ _](?:model|seq(?:uence)?)[ _]?len",
    r"string too long|too many total text bytes|no user query",
    broken=True,
)
_NAMES_JSON_MODE = (
    r"response[ _]format|response_schema|json_(?:schema|object)|json mode|structured[ _]outputs?\b|guided[ _](?:json|decoding)"
    r"|output_(?:format|config)|text\.format"
)
_SCHEMA = _words(
    FailureKind.SCHEMA_REFUSED,
    _BAD,
    _NAMES_JSON_MODE,
    r"\bgrammar|(?:invalid|unsupported|bad|unrecognized|compile) (?:json )?schema|'required' is required|outlines|parser for this template",
    r"schema\b.{0,100}(?:not supported|not permitted|not allowed|invalid|too (?:complex|large|many)|exceeds|fail)|additionalProperties",
    r"permitted: 'text'",
)
_GRAMMAR_BROKE = re.compile(r"grammar|compile json schema", re.IGNORECASE)
_JSON_MODE = re.compile(_NAMES_JSON_MODE, re.IGNORECASE)
# The schema of something else: what the caller wrote is wrong there.
_OTHER_SCHEMA = re.compile(r"\btools?\b|\bfunctions?\b|\bmessages\b|request body", re.IGNORECASE)
_MODEL = (
    _words(
        FailureKind.MODEL_BLOCKED,
        frozenset({400, 403, 404}),
        r"no endpoints found matching|no allowed providers|have access to the model|on-demand throughput|unable to access .{0,20}model",
    ),
    _words(
        FailureKind.MODEL_GONE,
        frozenset({400, 404, 410}),
        r"models?\b.{1,200}? (?:does not exist|has been (?:decommissioned|deprecated)|(?:is )?not found|no longer (?:available|supported))",
        r"model not (?:found|exist)|no such model|invalid model\b(?! output)|not a valid model|model identifier is invalid|no endpoints found for",
        r"deployment .{0,40}does not exist|no models? (?:is |are )?loaded",
    ),
    _words(
        FailureKind.UNSUPPORTED,
        _BAD,
        r"does not support|not supported|\bunsupported|is not enabled|not a multimodal|at most 0 \w+|requires? --[a-z]|requires --",
        r"only supported by|only supports|extra inputs are not permitted|unknown (?:parameter|variant)|unrecognized request argument",
        r"roles must alternate|not a chat model|chat template|should be a valid string|content must be a string|not available for this model",
        r"no endpoints found that support|reasoning_effort`? must be one of|must be one of .*reasoning_effort",
    ),
)
_BROKEN_UNSUPPORTED = re.compile(r"(?:image|audio|video) input is not supported|requires --[a-z]", re.IGNORECASE)
_MAX_TOKENS = re.compile(
    r"(?<!\+ )(?<!\+ `)max(?:_completion|_new|_output)?_tokens`?(?: must be| should be)? (?:less than or equal to|at most|<=) `?(?P<at_most>\d{1,9})"
    r"|supports at most (?P<supported>\d{1,9}) completion tokens|can only afford (?P<affordable>\d{1,9})"
    r"|max_tokens.{0,40}\[\d{1,9}, ?(?P<range>\d{1,9})\]|max_tokens: \d{1,9} > (?P<above>\d{1,9})"
    r"|maximum tokens you requested exceeds the model limit of (?P<limit>\d{1,9})"
    r"|maxOutputTokens.{0,80} to (?P<below>\d{1,9}) \(exclusive\)"
    r"|max_(?:completion_)?tokens'? .{0,20}too large: .{0,160}\(\d{1,9} > (?P<window>\d{1,9}) - (?P<prompt>\d{1,9})\)"
    r"|max_tokens \(\d{1,9}\) is too large",
    re.IGNORECASE,
)

_CONTEXT_WINDOW = re.compile(
    r"\bn_ctx: ?(?P<lm_studio>\d{3,9})|context size \((?P<llamacpp>\d{3,9}) tokens"
    r"|(?:maximum context length|context (?:length|window|size))(?: is| of) (?:only )?(?P<stated>\d{3,9})",
    re.IGNORECASE,
)


def kind_of_words(  # noqa: PLR0911 - a decision table
    status: int, message: str, *, waits: bool = False, limited: bool = False
) -> FailureKind | None:
    """What a message says more exactly than its status, None where it adds nothing.

    `waits`: the response says when to come back. `limited`: its code names a limit that refills.
    """
    stated = _QUOTED.sub(" ", message)
    rate = limited or _RATE.search(message) is not None
    if status in {400, 402, 422} and _MAX_TOKENS.search(message):
        return _of_max_tokens(message)
    for words in _WORDED:
        refills = words is _NO_CREDIT and limited
        if not refills and _says(words, status, stated if words.kind is FailureKind.AUTHENTICATION else message):
            return words.kind
    if status in {403, 429} and not waits and not rate and _SPEAKS_OF_MONEY.search(message):
        return FailureKind.NO_CREDIT
    if (status in {400, 403, 413} or status >= 500) and (limited or _RATE_MET.search(stated)):
        return FailureKind.RATE_LIMITED
    if _says(_CONTEXT, status, message):
        return FailureKind.CONTEXT_TOO_LONG
    if _is_schema_refused(status, message):
        return FailureKind.SCHEMA_REFUSED
    if status >= 500 and _BROKEN_UNSUPPORTED.search(message):
        return FailureKind.UNSUPPORTED
    return next((words.kind for words in _MODEL if _says(words, status, message)), None)


def max_tokens_limit(message: str) -> int | None:
    """The most tokens of an answer that a message allows, None where it says none."""
    found = _MAX_TOKENS.search(message)
    if found is None:
        return None
    stated = {name: int(figure) for name, figure in found.groupdict().items() if figure is not None}
    if "window" in stated:
        return max(stated["window"] - stated["prompt"], 0)
    return stated["below"] - 1 if "below" in stated else next(iter(stated.values()), None)


def context_window_limit(message: str) -> int | None:
    """The context window that a message states, in tokens, None where it states none."""
    found = _CONTEXT_WINDOW.search(message)
    return None if found is None else next(int(figure) for figure in found.groups() if figure is not None)


def is_per_day(message: str) -> bool:
    """Whether a message speaks of a limit per day."""
    return _PER_DAY.search(message) is not None


def _says(words: _Words, status: int, message: str) -> bool:
    return (status in words.statuses or (words.broken and status >= 500)) and words.pattern.search(message) is not None


def _of_max_tokens(message: str) -> FailureKind:
    limit = max_tokens_limit(message)
    affords_nothing = "afford" in message and limit is not None and limit < LEAST_AFFORDABLE
    return FailureKind.NO_CREDIT if affords_nothing else FailureKind.MAX_TOKENS_TOO_LARGE


def _is_schema_refused(status: int, message: str) -> bool:
    if status >= 500:
        return _GRAMMAR_BROKE.search(message) is not None
    other = _OTHER_SCHEMA.search(message) is not None and _JSON_MODE.search(message) is None
    return not other and _says(_SCHEMA, status, message)
