"""What an upstream can do to one model, streamed and not, and what the client gets: the whole answer of the next model, or an error.

Never a short answer that looks whole, a text twice, half a tool call, or silence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import pytest
from apis import APIS, Api, Heard
from fakes import GROQ_CHAT_MODELS, World, provider_models
from upstream import HANG, LOST, Asked, Upstream, ask, calls, error, events, gateway, text, whole

from groq_fallback_mcp.cli.gateway import guarded
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio

Verdict = Literal["pass", "safe"]
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}
FIRST = "openai/gpt-oss-20b"
GOOD = ("The", " answer", " is 42", ".")
GOOD_TEXT = "".join(GOOD)
TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}]
GOOD_CALL = '{"path": "a.txt"}'
TOKEN = "a-token-of-the-owner-0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `streamed` and `whole`: what the first model sends; None where the fault cannot be there.

    `wants_call`: the request has tools, and the good answer is a call. `elsewhere`: there is another provider behind Groq.
    """

    name: str
    streamed: Asked | Exception | None = None
    whole: Asked | Exception | None = None
    wants_call: bool = False
    elsewhere: bool = False


def _both(name: str, answer: Asked | Exception) -> Fault:
    return Fault(name=name, streamed=answer, whole=answer)


def _status(name: str, status: int, body: bytes, **headers: str) -> Fault:
    stated = {name.replace("_", "-"): value for name, value in headers.items()}
    return _both(name, Asked(status=status, pieces=[body], headers={**JSON, **stated}))


def _stream(name: str, *pieces: Any, wants_call: bool = False) -> Fault:
    flat = [one for piece in pieces for one in (piece if isinstance(piece, list) else [piece])]
    return Fault(name=name, streamed=Asked(pieces=flat, headers=SSE), wants_call=wants_call)


def _answer(name: str, body: bytes, *, wants_call: bool = False) -> Fault:
    return Fault(name=name, whole=Asked(pieces=[body], headers=JSON), wants_call=wants_call)


def _call(arguments: str, name: str = "read_file") -> dict[str, Any]:
    return {"tool_calls": [{"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}]}


def _elsewhere(fault: Fault) -> Fault:
    return replace(fault, name=f"{fault.name}, another provider", elsewhere=True)


CUT = {"finish": None, "done": False}
LIMITED = "Rate limit reached for model `x` on tokens per minute (TPM): Limit 8000, Used 7000, Requested 2000."
FAULTS = (
    # before anything: an HTTP status
    _status("429 with retry-after", 429, error(LIMITED, code="rate_limit_exceeded"), retry_after="30"),
    _status("429 with the wait in its text", 429, error(LIMITED + " Please try again in 7.5s.", code="rate_limit_exceeded")),
    _status("429 without a wait", 429, error("Too many requests")),
    _status(
        "429 of a day",
        429,
        error("Rate limit reached on tokens per day (TPD). Please try again in 3h10m."),
        retry_after="11400",
    ),
    _status("429 in HTML", 429, b"<html>Too Many Requests</html>"),
    _status("498 flex tier full", 498, error("Flex tier capacity exceeded", code="capacity_exceeded")),
    _status("500", 500, error("Internal Server Error", type_="internal_server_error")),
    _status("502 in HTML", 502, b"<html>Bad Gateway</html>"),
    _status("503", 503, error("Service Unavailable")),
    _status("503 over capacity", 503, error("x is currently over capacity. Please try again later."), retry_after="12"),
    _status("504 empty", 504, b""),
    _status("520", 520, b""),
    _status("529 overloaded", 529, error("overloaded")),
    _status("404 model not found", 404, error("The model `x` does not exist", code="model_not_found")),
    _status("400 model decommissioned", 400, error("The model `x` has been decommissioned", code="model_decommissioned")),
    _status(
        "403 model blocked",
        403,
        error("The model `x` is blocked at the project level", code="model_permission_blocked_project"),
    ),
    _status(
        "413 larger than a minute",
        413,
        error(
            "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000", code="rate_limit_exceeded"
        ),
    ),
    _status(
        "400 context too long",
        400,
        error("Please reduce the length of the messages or completion.", code="context_length_exceeded"),
    ),
    _status("400 tool_use_failed", 400, error("Failed to call a function.", code="tool_use_failed")),
    _status("307 redirect", 307, b"", location="http://elsewhere.test/"),
    _status("401", 401, error("Invalid API Key", code="invalid_api_key")),
    _status("403 restricted organization", 403, error("Organization has been restricted", code="organization_restricted")),
    _status("400 bad request", 400, error("'messages.0.content' is invalid")),
    _elsewhere(_status("401", 401, error("Invalid API Key", code="invalid_api_key"))),
    _elsewhere(
        _status("403 restricted organization", 403, error("Organization has been restricted", code="organization_restricted"))
    ),
    # the connection; all models of Groq are behind one address
    _both("connection refused", httpx2.ConnectError("refused")),
    _both("connect time-out", httpx2.ConnectTimeout("timed out")),
    _elsewhere(_both("connection refused", httpx2.ConnectError("refused"))),
    _elsewhere(_both("connect time-out", httpx2.ConnectTimeout("timed out"))),
    _both("reset while sending", httpx2.WriteError("reset")),
    _both("lost before the headers", httpx2.ReadError("lost")),
    _both("no HTTP", httpx2.RemoteProtocolError("illegal status line")),
    _both("hangs before the headers", Asked(pieces=[HANG])),
    Fault(name="hangs after the headers", streamed=Asked(pieces=[HANG], headers=SSE), whole=Asked(pieces=[HANG], headers=JSON)),
    # a 200 that is none
    _both("empty body", Asked(pieces=[b""], headers=JSON)),
    _both("HTML in a 200", Asked(pieces=[b"<html>Welcome</html>"], headers=HTML)),
    _both("null", Asked(pieces=[b"null"], headers=JSON)),
    _both("an error in a 200", Asked(pieces=[error("the model is over capacity")], headers=JSON)),
    _both("no choices", Asked(pieces=[b'{"choices": []}'], headers=JSON)),
    _answer("truncated JSON", whole("half an answer")[:-30]),
    _answer("lost in the body", whole("half")[:20]),
    _answer("null content", whole(None)),
    _answer("blank content", whole("  \n")),
    _answer("finish_reason error", whole("half an", finish="error")),
    _answer("finish_reason null", whole("half an", finish=None)),
    _answer("a call and finish_reason null", whole(None, finish=None, **_call("{}")), wants_call=True),
    _answer("a call with half its arguments", whole(None, finish="tool_calls", **_call('{"path": "a')), wants_call=True),
    _answer("a call whose arguments are a list", whole(None, finish="tool_calls", **_call("[1]")), wants_call=True),
    _answer("a call of an unknown tool", whole(None, finish="tool_calls", **_call("{}", "rm_rf")), wants_call=True),
    _answer("a call that is missing", whole(None, finish="tool_calls"), wants_call=True),
    # a stream that fails before text
    _stream("ends at once"),
    _stream("only comments", b": ping\n\n", b": ping\n\n"),
    _stream("comments and silence", b": ping\n\n", HANG),
    _stream("only [DONE]", b"data: [DONE]\n\n"),
    _stream("a role and nothing", events({"role": "assistant"}, **CUT)),
    _stream("an empty answer", events({"role": "assistant", "content": ""})),
    _stream("an error first", b'data: {"error": {"message": "over capacity", "code": 503}}\n\n'),
    _stream("an error event first", b'event: error\ndata: {"message": "over capacity"}\n\n'),
    _stream("an error in x_groq", b'data: {"choices": [], "x_groq": {"error": "over capacity"}}\n\n'),
    _stream("junk first", b"data: {nonsense\n\n"),
    _stream("cut while it thinks", events({"reasoning": "Let me"}, {"reasoning": " think"}, **CUT), LOST),
    _stream("ends while it thinks", events({"reasoning": "Let me"}, **CUT)),
    _stream("silent while it thinks", events({"reasoning": "Let me"}, **CUT), HANG),
    _stream(
        "an error while it thinks", events({"reasoning": "Let me"}, **CUT), b'data: {"error": {"message": "over capacity"}}\n\n'
    ),
    _stream("thinks and says nothing", events({"reasoning": "Let me"})),
    _stream("thinks in its text and is cut", events(*text("<think>", "Let me"), **CUT), LOST),
    # tool calls
    _stream("cut in a call", events(*calls('{"path', '": "a'), **CUT), LOST, wants_call=True),
    _stream("ends in a call", events(*calls('{"path', '": "a'), **CUT), wants_call=True),
    _stream("half a call that claims to be whole", events(*calls('{"path', '": "a'), finish="tool_calls"), wants_call=True),
    _stream("silent in a call", events(*calls('{"path'), **CUT), HANG, wants_call=True),
    _stream(
        "an error in a call",
        events(*calls('{"path'), **CUT),
        b'data: {"error": {"message": "over capacity"}}\n\n',
        wants_call=True,
    ),
    _stream("cut between two calls", events(*calls("{}"), *calls('{"pa', index=1, id_="call_2"), **CUT), LOST, wants_call=True),
    _stream("a call of an unknown tool, streamed", events(*calls("{}", name="rm_rf"), finish="tool_calls"), wants_call=True),
    _stream("arguments that are not JSON", events(*calls("path=a"), finish="tool_calls"), wants_call=True),
    _stream("no call though it says so", events(finish="tool_calls"), wants_call=True),
    # after visible text: what the next model says differs, so an error is all that is left, unless the text was held
    _stream("cut in the text", events(*text("The answer", " is a"), **CUT), LOST),
    _stream("ends in the text", events(*text("The answer", " is a"), **CUT)),
    _stream("ends in the text with [DONE]", events(*text("The answer", " is a"), finish=None)),
    _stream("silent in the text", events(*text("The answer", " is a"), **CUT), HANG),
    _stream(
        "an error in the text",
        events(*text("The answer", " is a"), **CUT),
        b'data: {"error": {"message": "over capacity"}}\n\n',
    ),
    _stream("junk in the text", events(*text("The answer", " is a"), **CUT), b"data: {nonsense\n\n"),
    _stream("finish_reason error after text", events(*text("The answer", " is a"), finish="error")),
    _stream("text, then half a call", events(*text("I will", " read"), *calls('{"pa'), **CUT), LOST, wants_call=True),
    # after text that the next model repeats
    _stream("cut in a text that the next repeats", events(*text("The", " answ"), **CUT), LOST),
    _stream("silent in a text that the next repeats", events(*text("The", " answ"), **CUT), HANG),
    _stream("ends in a text that the next repeats", events(*text("The", " answer is 42."), **CUT)),
    # no fault at all, however odd
    _stream("no [DONE]", events(*text(*GOOD), done=False)),
    _stream("lost after the end", events(*text(*GOOD), done=False), LOST),
    _stream("silent after the end", events(*text(*GOOD), done=False), HANG),
    _stream("comments between", b": ping\n\n", events(*text(*GOOD))),
)


def _good(body: Mapping[str, Any]) -> Asked:
    wants_call = "tools" in body
    if body.get("stream"):
        pieces = events(*calls('{"path": ', '"a.txt"}'), finish="tool_calls") if wants_call else events(*text(*GOOD))
        return Asked(pieces=pieces, headers=SSE)
    answer = whole(None, finish="tool_calls", **_call(GOOD_CALL)) if wants_call else whole(GOOD_TEXT)
    return Asked(pieces=[answer], headers=JSON)


def _scripted(fault: Asked | Exception) -> Upstream:
    return Upstream(lambda body: fault if body["model"] == FIRST else _good(body))


def _world(fault: Fault) -> World:
    if not fault.elsewhere:
        return World()
    world = World([provider_models("groq", GROQ_CHAT_MODELS), provider_models("mine", ["my-model"])])
    mine: Any = OpenAICompatible("mine", base_url="http://mine.test/v1", key=None, clock=world.clock, transport=Upstream(_good))
    world.providers["mine"] = mine
    return world


def _request(fault: Fault, *, stream: bool) -> dict[str, Any]:
    tools = {"tools": TOOLS} if fault.wants_call else {}
    return {"model": FIRST, "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": "go"}], **tools}


def judged(heard: Heard, *, wants_call: bool) -> Verdict | Literal["FAIL"]:
    """Whether a client got the whole good answer, an error that it can tell, or something worse."""
    if heard.error is not None:
        refused = heard.status >= 400 and heard.clean
        return "safe" if refused or (heard.finish is None and not heard.clean) else "FAIL"
    if wants_call:
        called = [("read_file", GOOD_CALL)]
        return "pass" if heard.clean and heard.finish == "tool_calls" and list(heard.calls) == called else "FAIL"
    return "pass" if heard.clean and heard.finish == "stop" and heard.text == GOOD_TEXT else "FAIL"


STREAMED = [fault for fault in FAULTS if fault.streamed is not None]
WHOLE = [fault for fault in FAULTS if fault.whole is not None]
VERDICTS = {row["name"]: row for row in tomllib.loads(Path(__file__).with_name("failover.toml").read_text())["fault"]}


@pytest.mark.parametrize("fault", STREAMED, ids=lambda fault: fault.name)
@pytest.mark.parametrize("hold_s", [0.0, 30.0], ids=["as it comes", "held"])
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_a_stream_is_answered_by_the_next_model_or_ends_in_an_error(api: Api, fault: Fault, hold_s: float) -> None:
    """With text held until the answer is whole, also after text; in every API the same."""
    assert fault.streamed is not None
    app = gateway(_world(fault), _scripted(fault.streamed), hold_s=hold_s)
    got = await ask(app, api.request(_request(fault, stream=True)), path=api.path)
    verdict = judged(api.heard(got), wants_call=fault.wants_call)
    assert verdict == VERDICTS[fault.name]["held" if hold_s else "streamed"], got.body.decode()


@pytest.mark.parametrize("fault", WHOLE, ids=lambda fault: fault.name)
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_a_whole_answer_comes_from_the_next_model_or_is_an_error(api: Api, fault: Fault) -> None:
    """The same faults where nothing is streamed."""
    assert fault.whole is not None
    app = gateway(_world(fault), _scripted(fault.whole))
    got = await ask(app, api.request(_request(fault, stream=False)), path=api.path)
    assert judged(api.heard(got), wants_call=fault.wants_call) == VERDICTS[fault.name]["whole"], got.body.decode()


def test_every_fault_has_its_verdicts() -> None:
    """And there are at least fifty; the table in the documents is made of them."""
    forms = [("whole", fault.name) for fault in WHOLE] + [
        (form, fault.name) for fault in STREAMED for form in ("streamed", "held")
    ]
    assert sorted(forms) == sorted((form, row["name"]) for row in VERDICTS.values() for form in row.keys() - {"name", "group"})
    assert len(VERDICTS) == len(FAULTS) >= 50


@pytest.mark.parametrize("arguments", ['{"path": ', ""], ids=["in its arguments", "before them"])
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_a_call_cut_at_max_tokens_after_words_ends_the_answer_there(api: Api, arguments: str) -> None:
    """Its words have been sent, and another model would write others: the client is told that the tokens were used up."""
    cut = Asked(pieces=events(*text("I write", " it."), *calls(arguments), finish="length"), headers=SSE)
    upstream = Upstream(lambda _: cut)
    chat = {"model": FIRST, "messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS, "stream": True}
    heard = api.heard(await ask(gateway(World(), upstream), api.request(chat), path=api.path))
    assert (heard.text, heard.calls, heard.error, heard.finish) == ("I write it.", [], None, "length")
    assert upstream.asked == [FIRST]


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_a_call_cut_at_max_tokens_is_asked_of_the_next_model_while_its_words_are_held(api: Api) -> None:
    """Nobody has seen them yet."""
    cut = Asked(pieces=events(*text("I write", " it."), *calls('{"path": '), finish="length"), headers=SSE)
    good = Asked(pieces=events(*calls(GOOD_CALL), finish="tool_calls"), headers=SSE)
    upstream = Upstream(lambda body: cut if body["model"] == FIRST else good)
    chat = {"model": FIRST, "messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS, "stream": True}
    heard = api.heard(await ask(gateway(World(), upstream, hold_s=30.0), api.request(chat), path=api.path))
    assert (heard.text, heard.calls, heard.error) == ("", [("read_file", GOOD_CALL)], None)
    assert len(upstream.requests) == 2


async def test_a_hanging_model_is_left_after_the_attempt_timeout_that_is_set() -> None:
    """The gateway's own default is 15 s."""
    world = World()
    gateway(world, _scripted(Asked(pieces=[HANG])))
    guard = guarded(Context(engine=world.engine, folders=()), load_settings(attempt_timeout_s=0.3), TOKEN)
    body = _request(FAULTS[0], stream=True)
    with anyio.fail_after(5):
        got = await ask(guard, body, headers={"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1:8788"})
    assert got.text == GOOD_TEXT
