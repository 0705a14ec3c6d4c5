"""What tools may write and replace, that they say so, and that many may write at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes import GROQ_CHAT_MODELS, GROQ_SPEECH_MODELS, World, provider_models
from servers import connected, text_of
from simulated import simulated_groq

from groq_fallback_mcp import files
from groq_fallback_mcp.call import Success, Transcript
from groq_fallback_mcp.credentials import keep_in_file
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import check_target, open_allowed, write_allowed
from groq_fallback_mcp.mcp_server import build
from groq_fallback_mcp.own_files import MOST_RECORDS, remember
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.tools import ALL_TOOLS
from groq_fallback_mcp.tools.result_bound import KEPT_S, keep

pytestmark = pytest.mark.anyio
VOICE = "canopylabs/orpheus-v1-english"
GUARD = "meta-llama/llama-prompt-guard-2-86m"


def everything(*, batch_s: float) -> World:
    """A simulated Groq with models of each kind."""
    world = World([provider_models("groq", (*GROQ_CHAT_MODELS, *GROQ_SPEECH_MODELS, VOICE, GUARD), plan="developer")])
    simulated_groq(world, SimulatorOptions(plan="developer", latency_scale=0.0, batch_s=batch_s))
    return world


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def most_writing(name: str, client: Any) -> list[dict[str, Any]]:
    """Two calls of a tool with the arguments by which it changes most; the second repeats the first, over what it left."""
    if name in {"batch_status", "batch_results"}:
        submitted = await client.call_tool("batch_submit", {"prompts": ["a"]})
        given = {"id": dict(submitted.structured_content)["batch"]["id"]}
        given |= {"cancel": True} if name == "batch_status" else {"save_to": "a.jsonl", "overwrite": True}
        return [given, given]
    once: dict[str, dict[str, Any]] = {
        "groq_chat": {"prompt": "hi"},
        "list_models": {"include_retired": True},
        "check_limits": {"model": GROQ_CHAT_MODELS[0], "probe": True},
        "transcribe": {"url": "https://example.com/a.wav", "save_to": "a.txt", "overwrite": True},
        "speak": {"text": "hello", "save_to": "a.wav", "overwrite": True},
        "screen": {"text": "hello"},
        "batch_submit": {"prompts": ["a"]},
    }
    return [once[name], once[name]]


@pytest.mark.fault("A7")
@pytest.mark.parametrize("tool", ALL_TOOLS, ids=[tool.name for tool in ALL_TOOLS])
async def test_the_annotations_of_a_tool_say_what_it_does(tool: Any, tmp_path: Path) -> None:
    """Held against the folder before and after its most writing call, and against what was sent."""
    project = tmp_path / "project"
    project.mkdir()
    annotations = next(one for one in build.tool_definitions(ALL_TOOLS) if one.name == tool.name).annotations
    assert annotations is not None
    world = everything(batch_s=100.0 if tool.name == "batch_status" else 0.0)
    sent: list[str] = []
    async with connected(world, folders=(project,), tools=ALL_TOOLS, state=tmp_path / "state") as client:
        calls = await most_writing(tool.name, client)
        provider: Any = world.providers["groq"]
        real = provider._wire._attempt

        async def attempt(method: str, path: str, *given: Any, **options: Any) -> Any:
            sent.append(path)
            return await real(method, path, *given, **options)

        provider._wire._attempt = attempt
        before = contents(project)
        first = await client.call_tool(tool.name, calls[0])
        between = contents(project)
        second = await client.call_tool(tool.name, calls[1])
    after = contents(project)
    assert not first.is_error, text_of(first)
    creates = tool.name == "batch_submit"
    ends = tool.name == "batch_status"
    assert annotations.read_only_hint is not (before != between or creates or ends)
    replaces = before != between and not second.is_error
    assert annotations.destructive_hint is (replaces or ends)
    assert after.keys() == between.keys()
    if annotations.idempotent_hint:
        assert after == between
    assert annotations.open_world_hint is bool(sent)


CONFIGURATION = [
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "jsconfig.json",
    "kilo.json",
    "opencode.json",
    "mcp.json",
    ".mcp.json",
    ".kilo/mcp.json",
    ".vscode/mcp.json",
    ".vscode/settings.json",
    ".vscode/tasks.json",
    ".claude/settings.json",
    ".cursor/mcp.json",
    ".github/a.json",
    ".git/config.json",
    ".git/hooks/a.txt",
    "sub/.hidden/a.json",
    "composer.json",
    "deno.json",
    "manifest.json",
    "settings.json",
    "settings.local.json",
    "app.config.json",
    "config.json",
    "babel.config.json",
    ".eslintrc.json",
    "angular.json",
    "turbo.json",
    "nx.json",
    "lerna.json",
    "vercel.json",
    "firebase.json",
    "renovate.json",
    "devcontainer.json",
    "launch.json",
    "tasks.json",
    "extensions.json",
    "keybindings.json",
    "claude_desktop_config.json",
    "mcp_settings.json",
    "cline_mcp_settings.json",
    "gemini-extension.json",
    "plugin.json",
    "hooks.json",
    "appsettings.json",
    "appsettings.Development.json",
    "global.json",
    "pyrightconfig.json",
    "biome.json",
    "components.json",
    "cdk.json",
    "main.tf.json",
    "terraform.tfvars.json",
    "Package.JSON",
    "PACKAGE.json",
    "TsConfig.json",
    "pac\u200ckage.json",
    "\uff50ackage.json",
    "node_modules/a.json",
    "site-packages/a.json",
    "credentials.json",
    "client_secret.json",
    "token.json",
    "service-account.json",
    "policy.json",
    "rules.json",
]
TEXTS = [
    "requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
    "constraints.txt",
    "robots.txt",
    "CMakeLists.txt",
    "compile_flags.txt",
    "llms.txt",
    "llms-full.txt",
    "AGENTS.txt",
    "CLAUDE.txt",
    "GEMINI.txt",
    "copilot-instructions.txt",
    "instructions.txt",
    "prompt.txt",
    "system-prompt.txt",
    "rules.txt",
    "README.txt",
    "LICENSE.txt",
    "security.txt",
    "ads.txt",
    "conanfile.txt",
    ".env.txt",
    ".cursor/rules.txt",
    ".git/info/exclude.txt",
    ".ssh/authorized_keys.txt",
    "Requirements.TXT",
    "cookies.txt",
    "password.txt",
    "entry_points.txt",
    "cmakelists.TXT",
]


@pytest.mark.fault("A7")
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("there", [True, False])
async def test_configuration_and_instructions_are_never_written(tmp_path: Path, overwrite: bool, there: bool) -> None:
    """Whether the file is there or not; before anything is sent."""
    world = World()
    names = dict.fromkeys(CONFIGURATION, "json") | dict.fromkeys(TEXTS, "text")
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if there:
            path.write_text("its owner's")
    before = contents(tmp_path)
    written: list[str] = []
    async with connected(world, folders=(tmp_path,), state=tmp_path.parent / "state") as client:
        for name, form in names.items():
            given = {"url": "https://example.com/a.wav", "format": form, "save_to": name, "overwrite": overwrite}
            result = await client.call_tool("transcribe", given)
            written += [] if result.is_error else [name]
            assert "Next step: " in text_of(result)
    assert written == []
    assert contents(tmp_path) == before
    assert world.groq.calls == []


@pytest.mark.fault("A7")
@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("text", "a.json"),
        ("text", "a.srt"),
        ("srt", "a.txt"),
        ("srt", "a.vtt"),
        ("vtt", "a.srt"),
        ("json", "a.txt"),
        ("verbose_json", "a.vtt"),
    ],
)
async def test_a_file_has_the_extension_of_what_is_written(form: str, name: str, tmp_path: Path) -> None:
    """JSON only where the format is JSON."""
    async with connected(World(), folders=(tmp_path,)) as client:
        result = await client.call_tool("transcribe", {"url": "https://example.com/a.wav", "format": form, "save_to": name})
    assert "its extension does not match the format" in text_of(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "interview.json",
        "2026-11-28 stand-up.txt",
        "Ü-Bahn.srt",
        "日本語\u3000会議.txt",
        "talk.en.vtt",
        "agent-smith.txt",
        "bootcamp.txt",
        "package tour.txt",
        "schedule.json",
    ],
)
def test_ordinary_names_are_taken(name: str, tmp_path: Path) -> None:
    """In any script."""
    write_allowed(name, "text", allowed=(tmp_path,), extensions=(Path(name).suffix,), records=tmp_path.parent / "records")
    assert (tmp_path / name).read_text() == "text"


@pytest.mark.fault("A7")
@pytest.mark.parametrize("name", ["notes.txt", "data.json", "talk.srt"])
async def test_only_what_this_server_wrote_is_replaced(name: str, tmp_path: Path) -> None:
    """Not another's file, and not its own once somebody has changed it."""
    form = {".txt": "text", ".json": "json", ".srt": "srt"}[Path(name).suffix]
    world = World()
    world.groq.default = Success(model="m", transcript=Transcript(text="first", duration_s=1.0))
    given = {"url": "https://example.com/a.wav", "format": form, "save_to": name, "overwrite": True}
    path = tmp_path / name
    async with connected(world, folders=(tmp_path,), state=tmp_path.parent / "state") as client:
        path.write_text("somebody else's")
        assert "was not written by this server" in text_of(await client.call_tool("transcribe", given))
        assert path.read_text() == "somebody else's"
        path.unlink()
        assert not (await client.call_tool("transcribe", given)).is_error
        world.groq.default = Success(model="m", transcript=Transcript(text="second", duration_s=1.0))
        assert not (await client.call_tool("transcribe", given)).is_error
        assert "second" in path.read_text()
        path.write_text(path.read_text() + "edited")
        assert "or was changed since" in text_of(await client.call_tool("transcribe", given))
        assert path.read_text().endswith("edited")


@pytest.mark.fault("A7")
def test_records_of_what_was_written_are_bounded(tmp_path: Path) -> None:
    """The oldest go first."""
    for number in range(MOST_RECORDS + 10):
        remember(tmp_path, b"%d" % number)
    assert MOST_RECORDS // 2 <= len(list(tmp_path.iterdir())) <= MOST_RECORDS


@pytest.mark.fault("A7")
def test_each_protected_name_is_written_as_it_is_compared() -> None:
    """A pattern in capitals would match nothing."""
    for pattern, what in files._protected():
        assert pattern == pattern.casefold().strip()
        assert what


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    "name",
    [
        "a" * 300 + ".txt",
        "ü" * 126 + ".txt",
        "a" * 5_000 + ".txt",
        "sub/" * 2_000 + "a.txt",
        "a" * 300 + "/b.txt",
        "a\nb.txt",
    ],
)
async def test_a_name_that_no_file_can_have_is_refused_before_anything_is_sent(name: str, tmp_path: Path) -> None:
    """With one clear error, for writing and for reading."""
    world = World()
    async with connected(world, folders=(tmp_path,)) as client:
        for given in ({"url": "https://example.com/a.wav", "save_to": name}, {"file": name}):
            text = text_of(await client.call_tool("transcribe", given))
            assert text.startswith("invalid_arguments: ")
            assert "Next step: " in text
            assert len(text) < 500
    assert world.groq.calls == []


@pytest.mark.fault("C2")
@pytest.mark.parametrize("name", ["a\0b.txt", "\ud800.txt", "a\x1b[31m.txt", "a\u2028b.txt", "a/b\0/c.txt"])
def test_a_name_that_no_client_can_send_is_refused_too(name: str, tmp_path: Path) -> None:
    """From the command line it can come."""
    with pytest.raises(InputRefused):
        write_allowed(name, "text", allowed=(tmp_path,), extensions=(".txt",))
    with pytest.raises(InputRefused):
        open_allowed(name, allowed=(tmp_path,))


@pytest.mark.fault("C2")
def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    """The temporary file beside it has a short name of its own."""
    name = "a" * 251 + ".txt"
    write_allowed(name, "text", allowed=(tmp_path,), extensions=(".txt",))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.fault("C2")
def test_what_a_dead_process_left_stands_in_nobody_s_way_and_is_swept(tmp_path: Path) -> None:
    """Whatever it is called, also in the name of this process's own number."""
    mine, fresh, old = (
        f"a.txt.{os.getpid()}.part",
        ".groq-fallback-mcp-0123456789abcdef.part",
        ".groq-fallback-mcp-fedcba9876543210.part",
    )
    for name in (mine, fresh, old, f"key.{os.getpid()}"):
        (tmp_path / name).write_text("left over")
    hours_ago = time.time() - 7_200
    os.utime(tmp_path / old, (hours_ago, hours_ago))
    write_allowed("a.txt", "text", allowed=(tmp_path,), extensions=(".txt",))
    from pydantic import SecretStr

    keep_in_file(SecretStr("gsk_kept"), tmp_path / "key")
    assert (tmp_path / "a.txt").read_text() == "text"
    assert (tmp_path / "key").read_text() == "gsk_kept\n"
    # a user's own file is left alone, and one that is being written too
    assert {path.name for path in tmp_path.iterdir()} == {mine, fresh, "a.txt", "key", f"key.{os.getpid()}"}


LONG = "the same long answer " * 5_000
# Twenty threads keep the same text; its last line tells how many are there.
KEEPER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from groq_fallback_mcp.tools.result_bound import keep

def once(_):
    try:
        return keep(sys.argv[2] * 5_000, Path(sys.argv[1]), stem="groq_chat", suffix=".txt").is_file()
    except OSError:
        return False

with ThreadPoolExecutor(20) as pool:
    print(sum(pool.map(once, range(40))))
"""


@pytest.mark.fault("B7")
def test_identical_long_results_at_once_lose_none(tmp_path: Path) -> None:
    """120 of them, in three processes of many threads, while old results are swept."""
    folder = tmp_path / "results"
    folder.mkdir()
    long_ago = time.time() - 2 * KEPT_S
    for number in range(200):
        (folder / f"groq_chat-{number:016x}.txt").write_text("old")
        os.utime(folder / f"groq_chat-{number:016x}.txt", (long_ago, long_ago))
    command = [sys.executable, "-P", "-c", KEEPER, str(folder), "the same long answer "]
    keepers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [int(keeper.communicate(timeout=60)[0]) for keeper in keepers] == [40] * 3
    assert [path.read_text() for path in folder.iterdir()] == [LONG]


@pytest.mark.fault("B7")
def test_a_result_that_is_kept_again_while_it_is_swept_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its age and its removal another process writes it anew."""
    path = keep("text", tmp_path, stem="groq_chat", suffix=".txt")
    long_ago = time.time() - 2 * KEPT_S
    os.utime(path, (long_ago, long_ago))
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self == path:
            self.unlink()
            self.write_text("text")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    keep("another", tmp_path, stem="groq_chat", suffix=".txt")
    assert path.read_text() == "text"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.fault("B7")
def test_identical_files_saved_at_once_are_whole_and_one_is_told_that_it_is_taken(tmp_path: Path) -> None:
    """Not an error of temporary files."""

    def save(_: int) -> str:
        try:
            return write_allowed("a.txt", "x" * 100_000, allowed=(tmp_path,), extensions=(".txt",)).name
        except InputRefused as refused:
            return refused.cause

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(save, range(40)))
    assert found.count("a.txt") == 1
    assert set(found) == {"a.txt", "'a.txt' already exists"}
    assert [path.read_text() for path in tmp_path.iterdir()] == ["x" * 100_000]


def test_a_check_before_the_work_says_what_the_write_would(tmp_path: Path) -> None:
    """Nobody pays for a transcript that cannot be saved."""
    (tmp_path / "a.txt").write_text("there")
    for path in ("a.txt", "package.json", "../a.txt", ".a.txt", "no/a.txt"):
        causes = []
        for attempt in (check_target, lambda *given, **named: write_allowed(given[0], "text", **named)):
            with pytest.raises(InputRefused) as refused:
                attempt(path, allowed=(tmp_path,), extensions=(".txt", ".json"), overwrite=True, records=tmp_path / "records")
            causes.append(refused.value.cause)
        assert causes[0] == causes[1]
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["a.txt"]'


def test_a_file_system_without_links_gets_a_new_file_too_and_keeps_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory sticks have none."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    write_allowed("a.txt", "text", allowed=(tmp_path,), extensions=(".txt",))
    monkeypatch.setattr(files, "_target", lambda *_: (tmp_path, ("a.txt",), False))
    with pytest.raises(InputRefused, match="already exists"):
        write_allowed("a.txt", "other", allowed=(tmp_path,), extensions=(".txt",))
    monkeypatch.setattr(files, "_target", lambda *_: (tmp_path, ("b.txt",), False))
    monkeypatch.setattr(files, "replace_file", refused)
    with pytest.raises(InputRefused, match="cannot be written"):
        write_allowed("b.txt", "text", allowed=(tmp_path,), extensions=(".txt",))
    # no name is taken by an empty file
    assert contents(tmp_path) == {"a.txt": b"text"}


def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (Path(path), mode) != (tmp_path, os.W_OK))
    with pytest.raises(InputRefused, match="nothing may be written in its folder"):
        check_target("a.txt", allowed=(tmp_path,), extensions=(".txt",))
