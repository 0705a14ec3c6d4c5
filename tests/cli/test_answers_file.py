"""The answers file of many prompts: nothing that it holds is lost, whatever ended the run before."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from groq_fallback_mcp.cli.answers_file import opened_answers
from groq_fallback_mcp.cli.conversation import Conversation
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.redaction import register_secrets

PROMPTS = {1: "alpha", 2: "ünï", 3: "gamma"}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def line(number: int, prompt: str | None = None, **fields: object) -> bytes:
    """A line of the file."""
    row = {"line": number, "prompt": PROMPTS[number] if prompt is None else prompt, "text": "x", **fields}
    return json.dumps(row, ensure_ascii=False).encode()


def resumed(path: Path, prompts: dict[int, str] = PROMPTS) -> frozenset[int]:
    """What is answered."""
    with opened_answers(path, prompts, overwrite=False) as answers:
        return answers.answered


@pytest.mark.parametrize(
    ("content", "answered"),
    [
        (line(1) + b"\n" + line(2) + b"\n", {1, 2}),
        (line(1) + b"\n" + line(2), {1, 2}),
        (line(1) + b"\n" + line(2)[:-9], {1}),
        (line(2)[:24], set()),
        (line(2, error={"code": "deadline"}) + b"\n" + line(1) + b"\n", {1}),
        (line(1) + b"\n\n" + line(1) + b"\n", {1}),
        (b"", set()),
    ],
)
def test_a_run_resumes_from_whatever_the_last_one_left(tmp_path: Path, content: bytes, answered: set[int]) -> None:
    """What is added after it stands on lines of its own."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with opened_answers(path, PROMPTS, overwrite=False) as answers:
        assert answers.answered == answered
        answers.write({"line": 3, "prompt": "gamma", "text": "new"})
    rows = [json.loads(row) for row in path.read_bytes().splitlines()]
    assert {row["line"] for row in rows} == answered | {3}
    assert len(rows) == len(answered) + 1


def test_a_cut_in_the_middle_of_a_letter_is_a_line_cut_short(tmp_path: Path) -> None:
    """Not a file that isn't text."""
    path = tmp_path / "a.jsonl"
    whole = line(2)
    path.write_bytes(line(1) + b"\n" + whole[: whole.index("ü".encode()) + 1])
    assert resumed(path) == {1}


def test_answers_of_any_size_resume(tmp_path: Path) -> None:
    """There is no bound on the file."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(1, more="y" * 5_000_000) + b"\n")
    assert resumed(path) == {1}


def test_a_prompt_that_was_sanitized_when_it_was_written_is_recognized(tmp_path: Path) -> None:
    """Carriage returns, control sequences and secrets are not in the file."""
    register_secrets("sesame-0123456789abcdef")
    prompts = {1: "a\r\nb", 2: "\x1b[31mred", 3: "my key is sesame-0123456789abcdef"}
    path = tmp_path / "a.jsonl"
    with opened_answers(path, prompts, overwrite=False) as answers:
        for number, prompt in prompts.items():
            answers.write({"line": number, "prompt": prompt, "text": "x"})
    assert resumed(path, prompts) == {1, 2, 3}
    assert b"sesame" not in path.read_bytes()


def test_a_link_and_the_mode_of_a_file_stay(tmp_path: Path) -> None:
    """Of answers and of conversations."""
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    real.write_bytes(line(1) + b"\n" + line(2)[:9])
    real.chmod(0o640)
    link.symlink_to(real)
    assert resumed(link) == {1}
    assert (link.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o640)
    talk = tmp_path / "talk.json"
    talk.symlink_to(tmp_path / "there.json")
    Conversation.opened(talk, None).add("hi", "hello")
    assert (talk.is_symlink(), (tmp_path / "there.json").is_file()) == (True, True)


def test_a_conversation_is_in_use_by_one_run_at_a_time(tmp_path: Path) -> None:
    """Each writes what it read and its own turns: those of another would be lost."""
    talk = tmp_path / "talk.json"
    first = Conversation.opened(talk, None)
    with pytest.raises(InputRefused, match="Another run is writing to"):
        Conversation.opened(talk, None)
    first.add("hi", "hello")
    with pytest.raises(InputRefused, match="Another run is writing to"):
        Conversation.opened(None, talk)
    first.close()
    assert len(Conversation.opened(None, talk).messages) == 2
    with pytest.raises(InputRefused, match="already exists"):
        Conversation.opened(talk, None)


def test_a_conversation_is_kept_where_nothing_can_be_locked(tmp_path: Path) -> None:
    """The state folder may be read-only, as in a container."""
    (tmp_path / "state").write_text("no folder")
    Conversation.opened(tmp_path / "talk.json", None).add("hi", "hello")
    assert len(Conversation.opened(None, tmp_path / "talk.json").messages) == 2


def test_answers_of_a_simulator_are_told_where_a_run_resumes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(1) + b"\n" + line(2, simulated=True) + b"\n")
    with opened_answers(path, PROMPTS, overwrite=False) as answers:
        assert (answers.answered, answers.simulated) == ({1, 2}, 1)


def test_answers_keep_all_letters_on_an_output_that_lacks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a file to which Windows redirects."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252", errors="replace", write_through=True))
    with opened_answers(None, PROMPTS, overwrite=False) as answers:
        answers.write({"line": 1, "text": "é → 東"})
    assert json.loads(written.getvalue())["text"] == "é → 東"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """Before anything is sent."""
    tmp_path.chmod(0o500)
    with pytest.raises(InputRefused, match="permission denied"), opened_answers(tmp_path / "a", PROMPTS, overwrite=False):
        pass


@pytest.mark.parametrize("name", ["folder", "no/such", "x" * 300])
def test_a_name_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """With what is wrong with it."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputRefused), opened_answers(tmp_path / name, PROMPTS, overwrite=True):
        pass
    with pytest.raises(InputRefused):
        Conversation.opened(tmp_path / name, None)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"messages": [{"role": ["user"], "content": "a"}]}', "{}", "\0"])
def test_a_file_that_is_no_conversation_is_refused(tmp_path: Path, content: str) -> None:
    """However it is broken."""
    (tmp_path / "talk.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputRefused):
        Conversation.opened(None, tmp_path / "talk.json")
