"""A key that an upstream echoes, in whatever form, and terminal controls: in no result, file, cache, log, nor on the terminal."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import pytest
from effort import times
from fakes import GROQ_CHAT_MODELS, GROQ_SPEECH_MODELS, World, answer, provider_models
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_types import CallToolResult
from servers import connected, text_of
from simulated import simulated_groq
from tone_speech import script, wav

from groq_fallback_mcp import redaction
from groq_fallback_mcp.call import AudioSegment, AudioWord, Failure, FailureKind, Source, Success, Transcript
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.redaction import (
    is_clean_json,
    register_keys,
    register_secrets,
    sanitize,
    sanitize_json,
    sanitize_message,
)
from groq_fallback_mcp.response_cache import ResponseCache
from groq_fallback_mcp.settings import Settings
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.tools import ALL_TOOLS
from groq_fallback_mcp.tools import transcribe as tool
from groq_fallback_mcp.transcription.job_folder import JobFolder

pytestmark = pytest.mark.anyio
PACKAGE = Path(redaction.__file__).parent
# Its encodings hold every character that the two alphabets of base64 write differently, and those that are escaped.
KEY = "gsk_Canary/0123+56789~>?>?abcDEF"
FORMS = {
    "as it is": KEY,
    "in capitals": KEY.upper(),
    "percent-encoded": quote(KEY, safe=""),
    "as a form field": quote_plus(KEY),
    "percent-encoded twice": quote(quote(KEY, safe=""), safe=""),
    "every byte percent-encoded": "".join(f"%{byte:02x}" for byte in KEY.encode()),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 of the header": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64url of the header": base64.urlsafe_b64encode(f"Bearer {KEY}".encode()).decode(),
    "base64 of basic authentication": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "base64 in an address": quote(base64.b64encode(f"Bearer {KEY}".encode()).decode(), safe=""),
    "hexadecimal": KEY.encode().hex(),
    "JSON escapes": "".join(f"\\u{ord(one):04x}" for one in KEY),
    "JSON with escaped slashes": KEY.replace("/", "\\/"),
    "HTML references": "".join(f"&#{ord(one)};" for one in KEY),
    "Python escapes": "".join(f"\\x{ord(one):02x}" for one in KEY),
    "colored in the middle": f"{KEY[:9]}\x1b[31m{KEY[9:]}",
    "split by a zero-width space": f"{KEY[:9]}\u200b{KEY[9:]}",
    "split by a joiner": f"{KEY[:9]}\u200d{KEY[9:]}",
    "split by a soft hyphen": f"{KEY[:9]}\xad{KEY[9:]}",
    "split by NUL-like controls": f"{KEY[:9]}\x01\x7f\x9f{KEY[9:]}",
}
SEQUENCES = {
    "a color": "\x1b[31mred\x1b[0m",
    "a title": "\x1b]0;owned\x07title",
    "the clipboard": "\x1b]52;c;cm0gLXJmIC8=\x1b\\clip",
    "a link": "\x1b]8;;https://evil.example\x1b\\text\x1b]8;;\x1b\\",
    "a device control string": "\x1bP$q\x1b\\dcs",
    "a sequence without an end": "\x1b]0;never ended",
    "eight-bit controls": "\x9b31mred\x9d0;title\x9c",
    "a reset": "\x1bc",
    "backspaces": "no\x08\x08yes",
    "a carriage return": "safe\rrm -rf /",
    "an override": "user\u202etxt.exe",
    "isolates": "\u2066a\u2069",
    "tags": "hi\U000e0041\U000e0042",
    "delete": "a\x7fb",
}
UNWANTED = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)} - {9, 10}


def holds_key(text: str) -> str | None:
    """The form in which a text holds the key, or enough of it."""
    lowered = text.lower()
    plain = {name: form for name, form in FORMS.items() if "\x1b" not in form and "split" not in name}
    found = next((name for name, form in plain.items() if form.lower() in lowered), None)
    return found or ("without what is not shown" if KEY.lower() in redaction._INVISIBLE.sub("", lowered) else None)


def assert_clean(text: str) -> None:
    """Neither the key nor a control, also in what JSON escapes."""
    assert holds_key(text) is None, (holds_key(text), text[:2_000])
    controls = [one for one in text if ord(one) in UNWANTED]
    assert not controls, (controls, text[:2_000])
    # written by JSON for a control; with one more backslash it is an answer's words about one
    assert not re.search(r"(?<!\\)\\u00[0189][0-9a-f]", text)


def assert_all_clean(result: CallToolResult, *folders: Path) -> None:
    """The result, and every file below the folders, names included."""
    assert_clean(text_of(result))
    assert_clean(json.dumps(result.structured_content, ensure_ascii=False))
    for folder in folders:
        for path in folder.rglob("*"):
            assert_clean(str(path.relative_to(folder)))
            if path.suffix == ".sqlite3":
                assert holds_key(path.read_bytes().decode("utf-8", "replace")) is None
                with closing(sqlite3.connect(path)) as connection:
                    for (kept,) in connection.execute("SELECT answer FROM answers").fetchall():
                        assert_clean(kept)
            elif path.is_file() and path.suffix not in {".wav", ".flac"}:
                assert_clean(path.read_bytes().decode())


@pytest.fixture(autouse=True)
def _key() -> None:
    """As the settings of this process have it."""
    Settings(GROQ_API_KEY=KEY)  # type: ignore[call-arg]


def upstream(world: World, reply: Any) -> None:
    """Put an upstream of raw HTTP in the place of Groq."""
    provider: Any = OpenAICompatible(
        "groq", base_url="http://upstream.test/v1", key=KEY, clock=world.clock, transport=httpx2.MockTransport(reply)
    )
    world.providers["groq"] = provider


@pytest.mark.fault("B5")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_a_key_echoed_in_any_part_of_an_answer_is_in_no_result_and_no_file(form: str, tmp_path: Path) -> None:
    """Text, reasoning, the arguments of tool calls, sources and model; in the result, the kept files and the cache."""
    tools = [{"type": "function", "function": {"name": "write", "parameters": {"type": "object"}}}]
    # an escape in a text within the arguments is an agent's code, and no control
    inner = json.dumps({"again": form}, ensure_ascii=False) if form.isprintable() else form
    arguments = json.dumps({"text": form, form: {"inner": inner}})
    world = World()
    long = Success(
        model=form,
        text=f"You sent {form}. " * 3_000,
        reasoning=f"The header is Bearer {form}",
        tool_calls=({"id": form, "name": "write", "arguments": arguments},),
        sources=(Source(title=form, url=f"https://x.example/?key={form}", excerpt=form),),
        request_id=form,
    )
    world.groq.default = long
    cache = ResponseCache(tmp_path / "answers.sqlite3", ttl_s=60.0, clock=world.clock)
    async with connected(world, state=tmp_path, cache=cache) as client:
        assert_all_clean(await client.call_tool("groq_chat", {"prompt": "hi", "tools": tools}), tmp_path)
        world.groq.default = answer(f"You sent {form}.")
        for _ in range(2):
            assert_all_clean(await client.call_tool("groq_chat", {"prompt": "hi", "temperature": 0}), tmp_path)
    assert (tmp_path / "answers.sqlite3").exists()
    assert list((tmp_path / "results").iterdir())


@pytest.mark.fault("B5")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("status", [400, 401, 429, 500, 200])
async def test_a_key_echoed_in_an_error_or_a_header_is_in_no_result(form: str, status: int, tmp_path: Path) -> None:
    """Whatever its status."""
    headers = {"x-request-id": form, "retry-after": form} if form.isascii() and form.isprintable() else {}
    body = {"error": {"message": f"Incorrect API key {form}", "type": form, "code": form, "failed_generation": form}}

    def reply(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, json=body)

    world = World()
    upstream(world, reply)
    async with connected(world, state=tmp_path) as client:
        assert_all_clean(await client.call_tool("groq_chat", {"prompt": "hi"}), tmp_path)
        for name in ("list_models", "check_limits"):
            assert_all_clean(await client.call_tool(name, {}), tmp_path)


@pytest.mark.fault("B5")
@pytest.mark.parametrize("size", [1, 2, 5, 1_000])
async def test_a_key_streamed_in_pieces_is_in_no_result(size: int, tmp_path: Path) -> None:
    """However it is cut: text, reasoning and the arguments of a tool call."""
    said = "".join(f"{form} " for form in FORMS.values())
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    events = [{"choices": [{"delta": {"content": piece, "reasoning": piece}}]} for piece in pieces]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"

    def reply(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw.encode())

    world = World()
    upstream(world, reply)
    async with connected(world, state=tmp_path) as client:
        result = await client.call_tool("groq_chat", {"prompt": "hi", "max_tokens": 4_096})
    assert not result.is_error, text_of(result)
    assert_all_clean(result, tmp_path)


def echoed(form: str) -> Success:
    """A transcript that holds it in every part."""
    return Success(
        model="m",
        transcript=Transcript(
            text=f"He said {form}. " * 1_200,
            language=form,
            segments=tuple(AudioSegment(start=n, end=n + 1, text=form) for n in range(300)),
            words=tuple(AudioWord(start=n, end=n + 1, word=form) for n in range(300)),
        ),
    )


@pytest.mark.fault("B5")
@pytest.mark.parametrize(
    ("format_", "saved", "form"),
    [
        *(("verbose_json", "b.json", form) for form in FORMS.values()),
        *(
            (format_, f"a.{extension}", FORMS[name])
            for format_, extension in (("text", "txt"), ("srt", "srt"), ("vtt", "vtt"), ("json", "json"))
            for name in ("as it is", "percent-encoded twice", "base64 of the header", "colored in the middle")
        ),
    ],
)
async def test_a_key_in_a_transcript_is_in_no_result_and_no_file(form: str, format_: str, saved: str, tmp_path: Path) -> None:
    """Saved by name, or kept because it is long."""
    project, state = tmp_path / "project", tmp_path / "state"
    project.mkdir()
    world = World()
    world.groq.default = echoed(form)
    given = {"url": "https://example.com/a.wav", "format": format_, "timestamps": "word"}
    async with connected(world, folders=(project,), state=state) as client:
        assert_all_clean(await client.call_tool("transcribe", given), tmp_path)
        result = await client.call_tool("transcribe", {**given, "save_to": saved})
    assert_all_clean(result, tmp_path)
    assert (project / saved).exists(), text_of(result)
    assert any((state / "results").iterdir())


@pytest.mark.fault("B5")
@pytest.mark.parametrize("form", [FORMS["as it is"], FORMS["base64 of the header"], FORMS["colored in the middle"]])
async def test_a_key_in_a_part_of_a_long_recording_is_in_no_file_of_its_job(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it runs, and in what is kept of it after a failure."""
    project, state = tmp_path / "project", tmp_path / "state"
    project.mkdir()
    (project / "long.wav").write_bytes(wav(script(100.0), 100.0))
    monkeypatch.setattr(tool, "LONGEST_AT_ONCE_S", 20.0)
    monkeypatch.setattr(tool, "PART_S", 20.0)
    seen: list[str] = []
    real = JobFolder.save_answer

    def save_answer(folder: JobFolder, *given: Any) -> None:
        real(folder, *given)
        seen.extend(path.read_text() for path in folder.path.glob("*.json"))

    monkeypatch.setattr(JobFolder, "save_answer", save_answer)
    world = World([provider_models("groq", GROQ_SPEECH_MODELS)])
    world.groq.default = echoed(form)
    async with connected(world, folders=(project,), state=state) as client:
        assert_all_clean(await client.call_tool("transcribe", {"file": "long.wav"}), tmp_path)
    assert len(seen) > 5
    for content in seen:
        assert_clean(content)


@pytest.mark.fault("B5")
async def test_a_key_in_the_lines_of_a_batch_is_in_no_result_and_no_file(tmp_path: Path) -> None:
    """The simulated Groq answers with the prompt."""
    project = tmp_path / "project"
    project.mkdir()
    world = World([provider_models("groq", GROQ_CHAT_MODELS, plan="developer")])
    simulated_groq(world, SimulatorOptions(plan="developer", latency_scale=0.0))
    async with connected(world, folders=(project,), state=tmp_path / "state", tools=ALL_TOOLS) as client:
        submitted = await client.call_tool("batch_submit", {"prompts": [f"say {form}" for form in FORMS.values()]})
        id_ = dict(submitted.structured_content or {})["batch"]["id"]
        result = await client.call_tool("batch_results", {"id": id_, "save_to": "answers.jsonl"})
        assert_all_clean(result, tmp_path)
    lines = (project / "answers.jsonl").read_text().splitlines()
    assert len(lines) == len(FORMS)
    assert "[redacted]" in (project / "answers.jsonl").read_text()


@pytest.mark.fault("B5")
@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
async def test_no_terminal_control_of_an_answer_is_in_a_result_or_a_file(sequence: str, tmp_path: Path) -> None:
    """The words around it stay."""
    world = World()
    world.groq.default = answer(f"before {sequence} after " * 3_000)
    async with connected(world, state=tmp_path) as client:
        result = await client.call_tool("groq_chat", {"prompt": "hi"})
    assert_all_clean(result, tmp_path)
    kept = next((tmp_path / "results").glob("*.txt")).read_text()
    assert kept.count("before ") == kept.count(" after ") == 3_000


@pytest.mark.fault("B5")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x07", "link"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x1b\x1b[31m[31mx", "[31mx"),
        ("half \ud83d and \x00", "half \ufffd and \ufffd"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("👩\u200d👧 \u200erisk-free\u200c", "👩\u200d👧 \u200erisk-free\u200c"),
        ("Bearer sk-example-of-a-key-123", "Bearer sk-example-of-a-key-123"),
        (
            "export OPENAI_API_KEY=sk-proj-abcdefgh; \\u0041 %41 &#65;",
            "export OPENAI_API_KEY=sk-proj-abcdefgh; \\u0041 %41 &#65;",
        ),
    ],
)
def test_of_an_answer_only_secrets_and_controls_are_taken(text: str, shown: str) -> None:
    """An answer may be about keys, headers and escapes, and be in any script."""
    assert sanitize(text) == shown


@pytest.mark.fault("B5")
def test_an_error_also_loses_what_merely_looks_like_a_key() -> None:
    """Nobody asked for it there."""
    assert (
        sanitize_message("Bearer abcdefghijkl, gsk_abcdefghijkl of org_01abc")
        == "Bearer [redacted], gsk_[redacted] of org_[redacted]"
    )


@pytest.mark.fault("B5")
def test_every_secret_of_the_settings_is_known_without_being_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of providers, the token of the HTTP server, passwords and tokens in addresses, as written and decoded."""
    monkeypatch.setenv("OTHER_KEY", "other-provider-key")
    Settings.model_validate(
        {
            "GROQ_API_KEY": KEY,
            "http_token": "token-of-the-http-server",
            "state": "redis://default:pass%40word-1@127.0.0.1:6379/0?token=query-token-1",
            "proxy": "http://proxy-user-token@127.0.0.1:3128",
            "providers": [{"name": "other", "base_url": "https://o.example/v1", "key_env": "OTHER_KEY", "models": ["m"]}],
        }
    )
    for secret in (
        "other-provider-key",
        "token-of-the-http-server",
        "pass%40word-1",
        "pass@word-1",
        "query-token-1",
        "proxy-user-token",
    ):
        assert sanitize(f"it is {secret}!") == "it is [redacted]!"
    assert sanitize("127.0.0.1 default /0 short") == "127.0.0.1 default /0 short"


PIECES = st.one_of(
    st.text(max_size=30),
    st.sampled_from([*FORMS.values(), *SEQUENCES.values(), KEY[:9], KEY[9:], "%", "\\", "&#", "\x1b]", "\x1b["]),
)


@pytest.mark.fault("B5")
@settings(max_examples=times(300), deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_text_leaves_with_a_secret_or_a_control(text: str) -> None:
    """For any text; and what has left once stays as it is."""
    redaction._secrets = redaction._Secrets()
    register_secrets(KEY)
    left = sanitize(text)
    assert holds_key(left) is None
    assert not any(ord(one) in UNWANTED for one in left)
    assert sanitize(left) == left
    value = {"a": [text, {text: text}]}
    assert json.loads(json.dumps(sanitize_json(value))) == {"a": [left, {left: left}]}


@pytest.mark.fault("B5")
@settings(max_examples=times(300), deadline=None)
@given(st.lists(PIECES, max_size=6).map("".join))
def test_what_is_let_through_at_a_glance_is_what_the_exit_would_not_change(text: str) -> None:
    """The fast way looks at the JSON of a whole result."""
    import pydantic_core

    redaction._secrets = redaction._Secrets()
    register_secrets(KEY)
    try:
        written = pydantic_core.to_json([text, {text: text}])
    except ValueError:
        return
    if is_clean_json(written):
        assert sanitize(text) == text


@pytest.mark.fault("B5")
def test_escapes_without_an_end_after_a_form_in_another_case_are_read_a_bounded_number_of_times() -> None:
    """An upstream knows the key, and may nest escapes deeper than Python's stack."""
    register_secrets(KEY)
    encoded = base64.b64encode(KEY.encode()).decode().swapcase()
    shown = sanitize(f"{encoded}\u0130 %{'25' * 50_000}")
    assert encoded not in shown
    assert shown.startswith("[redacted]")


class Echo(BaseHTTPRequestHandler):
    """An upstream that says the Authorization header again, colored, in every way at once."""

    failing = False

    def do_POST(self) -> None:
        """Answer, or fail with the same words."""
        self.rfile.read(int(self.headers["content-length"]))
        key = self.headers["authorization"].removeprefix("Bearer ")
        said = " ".join([*FORMS.values(), *SEQUENCES.values(), key])
        body: Mapping[str, Any] = {"choices": [{"message": {"content": said, "reasoning": said}, "finish_reason": "stop"}]}
        if type(self).failing:
            body = {"error": {"message": said}}
        content = json.dumps(body).encode()
        self.send_response(400 if type(self).failing else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        """A live list with odd ids."""
        key = self.headers["authorization"].removeprefix("Bearer ")
        content = json.dumps(
            {"data": [{"id": key}, *({"id": f"m{form}"} for form in SEQUENCES.values()), {"id": "x" * 10_000}]}
        )
        self.send_response(200)
        self.send_header("content-length", str(len(content.encode())))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@contextmanager
def echoing(*, failing: bool = False) -> Iterator[str]:
    """The upstream's address."""
    handler = type("Handler", (Echo,), {"failing": failing})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.fault("B5", "C2")
@pytest.mark.parametrize(
    ("arguments", "failing"),
    [
        (("chat", "hi"), False),
        (("chat", "hi", "--json"), False),
        (("chat", "hi"), True),
        (("chat", "hi", "--json"), True),
        (("models",), False),
        (("models", "--json"), False),
        (("limits",), False),
        (("doctor",), False),
        (("doctor", "--json"), False),
        (("catalog", "update", "--dry-run"), False),
        (("catalog", "update"), False),
    ],
)
def test_neither_keys_nor_controls_reach_the_terminal(arguments: tuple[str, ...], failing: bool, tmp_path: Path) -> None:
    """Of any command, on either stream, and in no file that it leaves."""
    with echoing(failing=failing) as address:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "GROQ_API_KEY": KEY,
            "GROQ_BASE_URL": address,
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
            "GROQ_FALLBACK_LOG_FILE": str(tmp_path / "log"),
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "groq_fallback_mcp", *arguments],
            capture_output=True,
            check=False,
            env=environment,
            cwd=tmp_path,
            timeout=60,
        )
    shown = (done.stdout + done.stderr).decode()
    assert shown.strip()
    assert_clean(shown)
    assert "Traceback" not in shown
    assert "xxxx" not in shown
    for path in (tmp_path / "catalog-update.toml", tmp_path / "log"):
        if path.exists():
            assert_clean(path.read_text())


@pytest.mark.fault("B5")
def test_what_nobody_caught_and_what_is_logged_under_a_command_pass_the_exit() -> None:
    """A bug's traceback, and a warning where no logging was started."""
    program = (
        "import logging, sys; from groq_fallback_mcp.cli.console import run_blocking; from groq_fallback_mcp.settings import Settings\n"
        "Settings(GROQ_API_KEY=sys.argv[1])\n"
        "def work():\n"
        "    logging.getLogger('x').warning('with %s \\x1b[31m', sys.argv[1])\n"
        "    raise ZeroDivisionError(sys.argv[1] + '\\x1b]0;owned\\x07')\n"
        "try:\n    run_blocking(work)\nexcept BaseException as error:\n    sys.exit(error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, KEY], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "warning: with [redacted]" in done.stderr
    assert "ZeroDivisionError: [redacted]" in done.stderr
    assert_clean(done.stderr)


def parsed() -> Iterator[tuple[str, list[ast.AST]]]:
    """Each module of the package by its place, and what it consists of."""
    for path in PACKAGE.rglob("*.py"):
        yield path.relative_to(PACKAGE).as_posix(), list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.fault("B5")
def test_nothing_but_the_exit_writes_to_the_terminal() -> None:
    """Found in the source: whoever adds another way out is told here."""
    # what each of the last four writes is of its own, or sanitized beside it
    allowed = {"cli/console.py", "cli/serve.py", "logs.py", "cli/answers_file.py", "cli/app.py", "cli/demo.py", "cli/doctor.py"}
    found: dict[str, list[str]] = {}
    for place, nodes in parsed():
        for node in nodes:
            call = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if call in {"print", "typer.echo", "typer.secho", "click.echo"} or call.endswith(
                ("stdout.write", "stderr.write", "stdout.buffer.write", "stderr.buffer.write", "Console")
            ):
                found.setdefault(place, []).append(call)
    assert set(found) <= allowed, found
    assert set(found["cli/serve.py"]) == {"sys.stderr.write"}


@pytest.mark.fault("B5")
def test_nothing_but_the_exit_writes_files_with_the_words_of_others() -> None:
    """Each module that writes a file is here, with the reason why it may."""
    allowed = {
        "atomic_file.py": "the one way to write a file whole",
        "files.py": "sanitizes a text itself",
        "own_files.py": "empty files named by digests",
        "response_cache.py": "sanitizes what it keeps",
        "logs.py": "sanitizes each record",
        "quota/sqlite.py": "opens the ledger",
        "audio/decode_process.py": "opens /dev/null; sound leaves it on a pipe",
        "audio/parts.py": "sound",
        "cli/answers_file.py": "sanitizes each line",
        "cli/catalog_update.py": "sanitizes the overlay",
        "cli/chat.py": "sanitizes the answer",
        "cli/serve.py": "opens /dev/null",
        "clients/backups.py": "the user's own files, byte by byte",
        "clients/config_file.py": "the user's own files; --key puts a key there on purpose",
        "transport/descriptors.py": "opens /dev/null",
    }
    writes = ("os.open", ".write_text", ".write_bytes", ".writelines", "os.fdopen")
    found: set[str] = set()
    for place, nodes in parsed():
        for node in nodes:
            if not isinstance(node, ast.Call):
                continue
            call = ast.unparse(node.func)
            text = ast.unparse(node) if call.endswith("open") else ""
            opened = call.endswith("open") and any(mode in text for mode in ("'w'", "'x'", "'a'", "'wb'", "'xb'", "'ab'"))
            flagged = call == "os.open" and ("O_WRONLY" in text or "O_RDWR" in text or "_WRITE" in text)
            if opened or flagged or call.endswith(writes[1:4]):
                found.add(place)
    assert found - {
        place
        for place in found
        if place.startswith("simulator/") or place in {"tools/speak.py", "providers/local/voice.py", "audio/pcm.py"}
    } <= set(allowed)
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "write_atomically(" in path.read_text(encoding="utf-8")
    }
    assert users == {
        "atomic_file.py",
        # conversations and answers, sanitized where they are made
        "cli/output_file.py",
        # the user's own settings
        "cli/providers.py",
        "credentials.py",
        "gateway_tokens.py",
        "tools/batch.py",
        "tools/result_bound.py",
        "transcription/job_folder.py",
    }


@pytest.mark.fault("B5")
async def test_a_failure_kind_without_words_still_says_what_to_do() -> None:
    """Taking things out must not empty an error."""
    world = World()
    world.groq.default = Failure(kind=FailureKind.BAD_REQUEST, message=KEY, status=400)
    async with connected(world) as client:
        text = text_of(await client.call_tool("groq_chat", {"prompt": "hi"}))
    assert "[redacted]" in text
    assert "Next step: " in text


@pytest.mark.fault("B5")
def test_a_key_that_is_a_word_is_taken_out_of_messages_and_not_out_of_answers() -> None:
    """An answer may be about passwords."""
    register_secrets("password", "hunter2-hunter2")
    assert sanitize("Give no password.") == "Give no password."
    assert sanitize_message("wrong password") == "wrong [redacted]"
    assert "hunter2" not in sanitize("It is hunter2-hunter2.")


@pytest.mark.fault("B5")
@pytest.mark.parametrize("key", ["ollama", "Ollama", "lm-studio", "not-needed"])
def test_a_key_that_stands_for_none_is_taken_out_of_nothing(key: str) -> None:
    """Local servers take any key, and their documentation says which to give: it is the name of the provider, which errors state."""
    register_keys(key)
    assert sanitize_message(f"ollama: {key} cannot be reached") == f"ollama: {key} cannot be reached"
    register_keys(f"{key}-2f9a")
    assert "2f9a" not in sanitize(f"The key is {key}-2f9a.")


@pytest.mark.fault("B5")
def test_what_scripts_and_emoji_need_stays() -> None:
    """The flag of England is a black one with tags; Thai breaks its lines at spaces without width."""
    england = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert sanitize(f"{england} \u0e01\u200b\u0e02 \u200d") == f"{england} \u0e01\u200b\u0e02 \u200d"
    assert sanitize("a\U000e0067\U000e0062b\U0001f3f4\U000e0067") == "ab\U0001f3f4"
