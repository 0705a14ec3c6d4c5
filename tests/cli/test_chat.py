"""chat as a person and a script use it: files, output, many prompts, conversations."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from command_line import command, simulated
from terminal import Terminal

from groq_fallback_mcp.simulator import Fault, run_simulator

pytestmark = pytest.mark.anyio


async def test_words_files_and_piped_input_make_one_prompt(tmp_path: Path) -> None:
    """In this order: the words, each file under its name, what is piped in."""
    (tmp_path / "a.txt").write_text("alpha\n", encoding="utf-8")
    (tmp_path / "b.md").write_text("beta\n", encoding="utf-8")
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        done = await command(
            *("chat", "compare", "these", "-f", "a.txt", "-f", "b.md"), base_url=running.base_url, cwd=tmp_path, stdin="gamma\n"
        )
        alone = await command("chat", "-q", "-f", "a.txt", base_url=running.base_url, cwd=tmp_path)
    assert " ".join(done.stdout.split()) == (
        "This is a simulated answer to: compare these File a.txt: alpha File b.md: beta gamma"
    )
    assert "File a.txt: alpha" in " ".join(alone.stdout.split())


async def test_a_file_that_is_not_text_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """With the option that takes it."""
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    done = await command("chat", "what is it", "-f", "p.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "p.png is not" in done.stderr
    assert "Images go with -i" in done.stderr or "images go with -i" in done.stderr


async def test_quiet_leaves_only_the_answer_and_that_it_is_simulated(tmp_path: Path) -> None:
    """A simulated answer is always labeled."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        done = await command("chat", "-q", "hello", base_url=running.base_url, cwd=tmp_path)
    assert done.stdout == "This is a simulated answer to: hello\n"
    assert len(done.stderr.splitlines()) == 1
    assert "SIMULATED" in done.stderr


async def test_an_answer_goes_into_a_new_file_and_replaces_one_only_on_request(tmp_path: Path) -> None:
    """Nothing is sent where it could not be written."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]

        async def ask(*more: str) -> subprocess.CompletedProcess[str]:
            return await command("chat", "hello", "-o", "a.md", *more, base_url=running.base_url, cwd=tmp_path)

        first, second, third = await ask(), await ask(), await ask("--overwrite")
        nowhere = await command("chat", "hello", "-o", "no/a.md", base_url=running.base_url, cwd=tmp_path)
    assert (first.returncode, first.stdout) == (0, "")
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "This is a simulated answer to: hello\n"
    assert (second.returncode, "already exists. Add --overwrite" in second.stderr) == (2, True)
    assert third.returncode == 0
    assert (nowhere.returncode, "does not exist" in nowhere.stderr) == (2, True)


async def test_a_conversation_is_saved_and_continued(tmp_path: Path) -> None:
    """With what was said before; a file is never replaced by accident."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        first = await command("chat", "one", "--save", "talk.json", base_url=running.base_url, cwd=tmp_path)
        again = await command("chat", "one", "--save", "talk.json", base_url=running.base_url, cwd=tmp_path)
        second = await command("chat", "two", "--continue", "talk.json", base_url=running.base_url, cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (again.returncode, "--continue talk.json" in again.stderr) == (2, True)
    kept = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))
    assert [message["role"] for message in kept["messages"]] == ["user", "assistant"] * 2
    assert [message["content"] for message in kept["messages"][::2]] == ["one", "two"]
    assert (tmp_path / "talk.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    wrong = await command("chat", "x", "--continue", "other.json", cwd=tmp_path)
    assert (wrong.returncode, "is not a saved conversation" in wrong.stderr) == (2, True)


async def test_nothing_is_kept_of_a_chat_that_was_not_saved(tmp_path: Path) -> None:
    """Neither prompt nor answer is in any file of the user's."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        await command("chat", "marzipan", base_url=running.base_url, cwd=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"marzipan" in path.read_bytes()]


async def test_many_prompts_are_answered_as_json_lines_and_resumed(tmp_path: Path) -> None:
    """Those with an answer are not sent again; a write that was cut short is made good."""
    (tmp_path / "q.txt").write_text("alpha\n\nbeta\ngamma\n", encoding="utf-8")
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]

        async def answer() -> subprocess.CompletedProcess[str]:
            return await command("chat", "--prompts", "q.txt", "-o", "a.jsonl", base_url=running.base_url, cwd=tmp_path)

        first = await answer()
        lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
        rows = sorted((json.loads(line) for line in lines), key=lambda row: row["line"])
        kept = next(line for line in lines if json.loads(line)["line"] == 3)
        failed = json.dumps({"line": 1, "prompt": "alpha", "error": {"code": "rate_limited"}})
        (tmp_path / "a.jsonl").write_text(f"{kept}\n{failed}\n" + '{"line": 4, "pro', encoding="utf-8")
        second = await answer()
        again = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert first.returncode == 0
    assert "Answered 3 of 3" in first.stderr
    assert [(row["line"], row["prompt"]) for row in rows] == [(1, "alpha"), (3, "beta"), (4, "gamma")]
    assert all(row["text"].endswith(row["prompt"]) for row in rows)
    assert "a.jsonl has 1 of 3 answers; continuing with 2." in second.stderr
    assert sorted(row["line"] for row in again) == [1, 3, 4]
    assert not any("error" in row for row in again)


async def test_prompts_of_json_lines_have_ids_and_options_of_their_own(tmp_path: Path) -> None:
    """An option that is not known is refused with its line, before anything is sent."""
    given = [{"id": "a", "prompt": "one", "model": "gpt-oss-120b"}, {"id": 2, "prompt": "two", "max_tokens": 9}]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given) + '"three"\n', encoding="utf-8")
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        done = await command("chat", "--prompts", "q.jsonl", base_url=running.base_url, cwd=tmp_path)
    rows = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda row: row["line"])
    assert [row.get("id") for row in rows] == ["a", 2, None]
    assert rows[0]["model"] == "openai/gpt-oss-120b"
    (tmp_path / "q.jsonl").write_text('{"prompt": "x", "temprature": 1}\n', encoding="utf-8")
    refused = await command("chat", "--prompts", "q.jsonl", cwd=tmp_path)
    assert (refused.returncode, "Line 1 has the unknown field 'temprature'" in refused.stderr) == (2, True)


async def test_prompts_without_an_answer_are_told_in_their_lines_and_by_the_exit_code(tmp_path: Path) -> None:
    """And a refusal of one option does not end the others."""
    (tmp_path / "q.jsonl").write_text('{"prompt": "x", "model": "nope"}\n{"prompt": "y"}\n', encoding="utf-8")
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        done = await command("chat", "--prompts", "q.jsonl", "-o", "a.jsonl", base_url=running.base_url, cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert done.returncode == 1
    assert "Answered 1 of 2. Run the same command again" in done.stderr
    assert {row["line"]: "error" in row for row in rows} == {1: True, 2: False}


async def test_an_answers_file_of_other_prompts_is_never_written_to(tmp_path: Path) -> None:
    """It stays as it is."""
    (tmp_path / "q.txt").write_text("alpha\n", encoding="utf-8")
    (tmp_path / "notes.jsonl").write_text('{"line": 1, "prompt": "other", "text": "t"}\n', encoding="utf-8")
    done = await command("chat", "--prompts", "q.txt", "-o", "notes.jsonl", cwd=tmp_path)
    assert (done.returncode, "is not the answers to these prompts" in done.stderr) == (2, True)
    assert "other" in (tmp_path / "notes.jsonl").read_text(encoding="utf-8")


async def test_two_runs_never_write_to_one_answers_file(tmp_path: Path) -> None:
    """The second is refused at once; the lock is gone with the first."""
    (tmp_path / "q.txt").write_text("alpha\n", encoding="utf-8")
    given = ("chat", "--prompts", "q.txt", "-o", "a.jsonl")

    def start(base_url: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "groq_fallback_mcp", *given],
            env={**environment, "GROQ_API_KEY": "gsk_simulated", "GROQ_BASE_URL": base_url},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
        )
        locks = tmp_path / ".local" / "state" / "groq-fallback-mcp" / "locks"
        end = time.monotonic() + 30
        while not (locks.is_dir() and any(locks.iterdir())):
            assert time.monotonic() < end
            time.sleep(0.05)
        return process

    def stop(process: subprocess.Popen[bytes]) -> bytes:
        process.send_signal(signal.SIGINT)
        return process.communicate()[1]

    async with run_simulator(simulated(**{"*": (Fault(kind="hang"),)})) as running:  # type: ignore[arg-type]
        first = await anyio.to_thread.run_sync(start, running.base_url)
        second = await command(*given, base_url=running.base_url, cwd=tmp_path)
        told = await anyio.to_thread.run_sync(stop, first)
    assert (second.returncode, "Another run is writing to a.jsonl" in second.stderr) == (2, True)
    assert (first.returncode, b"Interrupted after 0 of 1 answers; the same command resumes." in told) == (130, True)


async def test_an_option_that_cannot_be_used_stops_all_and_replaces_nothing(tmp_path: Path) -> None:
    """The answers of an earlier run stay, though --overwrite was given."""
    (tmp_path / "q.txt").write_text("alpha\nbeta\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("earlier\n", encoding="utf-8")
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        done = await command(
            *("chat", "--prompts", "q.txt", "-o", "a.jsonl", "--overwrite", "--providers", "nope"),
            base_url=running.base_url,
            cwd=tmp_path,
        )
        same = await command(
            "chat", "--prompts", "q.txt", "-o", "q.txt", "--overwrite", base_url=running.base_url, cwd=tmp_path
        )
    assert (done.returncode, "Stopped. The provider 'nope' is not configured." in done.stderr) == (1, True)
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == "earlier\n"
    assert (same.returncode, "name the same file" in same.stderr) == (2, True)
    assert (tmp_path / "q.txt").read_text(encoding="utf-8") == "alpha\nbeta\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "x", "--prompts", "q.txt"], "cannot be combined with PROMPT"),
        (["chat", "x", "--temperature", "9"], "--temperature"),
        (["chat", "x", "-m", "nope"], "groq-fallback-mcp models"),
        (["limits", "--watch"], "needs a terminal"),
        (["limits", "--probe"], "needs --model"),
        (["models", "--kind", "nope"], "See groq-fallback-mcp --help"),
        (["chat", "x", "--save", "same", "-o", "same"], "--save or --continue and --output name the same file"),
    ],
)
async def test_errors_speak_of_options_and_commands(arguments: list[str], words: str, tmp_path: Path) -> None:
    """Never of the arguments of tools."""
    done = await command(*arguments, cwd=tmp_path, GROQ_API_KEY="gsk_simulated", GROQ_BASE_URL="http://127.0.0.1:9")
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "list_models" not in done.stderr


async def test_without_a_prompt_a_terminal_gets_a_conversation_with_history(tmp_path: Path) -> None:
    """The second question is sent with the first; Ctrl-D leaves, and nothing is kept."""

    def converse(base_url: str) -> int:
        terminal = Terminal("chat", base_url=base_url, home=tmp_path)
        terminal.wait_for("> ")
        terminal.type("first question\n")
        terminal.wait_for("answer to: first question")
        terminal.wait_for("> ")
        terminal.type("/model nope\n")
        terminal.wait_for("Unknown model")
        terminal.type("/model\n/save talk.json\nsecond question\n")
        terminal.wait_for("answer to: second question")
        terminal.wait_for("> ")
        terminal.type("/save ./talk.json\n")
        terminal.wait_for("Saving to talk.json")
        terminal.type("/clear\n/save talk.json\n")
        terminal.wait_for("already exists")
        terminal.wait_for("> ")
        terminal.type("\x04")
        return terminal.ended()

    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        assert await anyio.to_thread.run_sync(converse, running.base_url) == 0
    kept = json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))["messages"]
    assert [message["content"] for message in kept if message["role"] == "user"] == ["first question", "second question"]


async def test_ctrl_c_stops_an_answer_and_the_conversation_goes_on(tmp_path: Path) -> None:
    """The prompt of the stopped answer is no part of it."""

    def converse(base_url: str) -> int:
        terminal = Terminal("chat", base_url=base_url, home=tmp_path)
        terminal.wait_for("> ")
        terminal.type("hangs\n")
        terminal.wait_for("is thinking")
        os.kill(terminal.pid, signal.SIGINT)
        assert "> " not in terminal.wait_for("Stopped. The prompt and what was written are forgotten")
        terminal.wait_for("> ")
        terminal.type("/quit\n")
        return terminal.ended()

    async with run_simulator(simulated(**{"*": (Fault(kind="hang"),)})) as running:  # type: ignore[arg-type]
        assert await anyio.to_thread.run_sync(converse, running.base_url) == 0


async def test_a_terminal_sees_which_model_is_tried_and_why(tmp_path: Path) -> None:
    """Then the answer."""

    def ask(base_url: str) -> int:
        terminal = Terminal("chat", "hello", base_url=base_url, home=tmp_path)
        terminal.wait_for("gpt-oss-20b rate limited, trying gpt-oss-120b")
        terminal.wait_for("answer to: hello")
        return terminal.ended()

    slow = {
        "openai__gpt-oss-20b": (Fault(kind="429", seconds=30.0),),
        "openai__gpt-oss-120b": (Fault(kind="slow", seconds=1.0),),
    }
    async with run_simulator(simulated(**slow)) as running:  # type: ignore[arg-type]
        assert await anyio.to_thread.run_sync(ask, running.base_url) == 0


async def test_the_bare_command_on_a_terminal_says_what_it_is(tmp_path: Path) -> None:
    """A client, which has no terminal, never sees it."""

    def start() -> int:
        terminal = Terminal(base_url="http://127.0.0.1:9", home=tmp_path)
        terminal.wait_for("waiting for an MCP client")
        terminal.wait_for("--help")
        terminal.type("\x04")
        return terminal.ended()

    assert await anyio.to_thread.run_sync(start) == 0
