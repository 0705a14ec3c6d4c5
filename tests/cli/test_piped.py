"""What is piped into a command is part of what it is given; nothing hangs, nothing is lost without a word."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from groq_fallback_mcp.cli import piped
from groq_fallback_mcp.cli.piped import MOST_BYTES, read_piped, with_piped
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.errors import InputRefused

pytestmark = pytest.mark.fault("B27")


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A place for descriptors that a test puts in the place of standard input; they are closed at the end."""
    opened: list[int] = []
    yield opened
    for descriptor in opened:
        try:
            os.close(descriptor)
        except OSError:
            continue


def pipe(opened: list[int], monkeypatch: pytest.MonkeyPatch, content: bytes | None, *, close: bool = True) -> int:
    """A pipe that holds `content`; its other end stays open where not `close`."""
    reader, writer = os.pipe()
    opened.append(reader)
    if content:
        os.write(writer, content)
    if close:
        os.close(writer)
    else:
        opened.append(writer)
    monkeypatch.setattr(piped, "STDIN", reader)
    return writer


@pytest.mark.parametrize(
    ("prompt", "content", "expected"),
    [
        ("summarize", b"text\n", "summarize\n\ntext"),
        ("summarize", b"text", "summarize\n\ntext"),
        ("summarize", b"text\r\n", "summarize\n\ntext"),
        ("summarize", b"  indented\n\nand more\n", "summarize\n\n  indented\n\nand more"),
        ("summarize", b"", "summarize"),
        ("summarize", b"\n \n", "summarize"),
        ("-", b"text\n", "text"),
        (None, b"text\n", "text"),
        ("summarize", "gr\u00fcn \U0001f600".encode(), "summarize\n\ngr\u00fcn \U0001f600"),
        ("summarize", "\ufeffmarked".encode(), "summarize\n\nmarked"),
        ("summarize", "from PowerShell".encode("utf-16"), "summarize\n\nfrom PowerShell"),
        ("", b"text\n", "\n\ntext"),
    ],
)
def test_a_pipe_is_appended_to_the_prompt_or_is_the_prompt(
    stdin: list[int], monkeypatch: pytest.MonkeyPatch, prompt: str | None, content: bytes, expected: str
) -> None:
    """Without the line break at its end."""
    pipe(stdin, monkeypatch, content)
    assert with_piped(prompt) == expected


def test_a_file_and_a_socket_are_read_too(stdin: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As by `< notes.txt`, and as some programs connect their children."""
    (tmp_path / "notes.txt").write_text("notes\n")
    stdin.append(os.open(tmp_path / "notes.txt", os.O_RDONLY))
    monkeypatch.setattr(piped, "STDIN", stdin[-1])
    assert with_piped("summarize") == "summarize\n\nnotes"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"sent")
        theirs.shutdown(socket.SHUT_WR)
        monkeypatch.setattr(piped, "STDIN", ours.fileno())
        assert with_piped("summarize") == "summarize\n\nsent"


def test_a_large_text_is_read_whole_and_a_larger_one_refused(
    stdin: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is sent."""
    for size, fits in ((MOST_BYTES, True), (MOST_BYTES + 1, False)):
        (tmp_path / "big").write_bytes(b"x" * size)
        stdin.append(os.open(tmp_path / "big", os.O_RDONLY))
        monkeypatch.setattr(piped, "STDIN", stdin[-1])
        if fits:
            assert len(with_piped("p")) == MOST_BYTES + 3
        else:
            with pytest.raises(InputRefused, match="More than 4 MB"):
                with_piped("p")


def test_an_endless_stream_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its bound, and not read on."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        monkeypatch.setattr(piped, "MOST_BYTES", 1_000)
        theirs.send(b"x" * 2_000)
        monkeypatch.setattr(piped, "STDIN", ours.fileno())
        with pytest.raises(InputRefused, match="were piped in"):
            with_piped("p")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80abc", b"PNG\x00\x00", b"abc\xc3"])
@pytest.mark.parametrize("prompt", ["p", "-", None])
def test_what_is_not_text_is_refused_with_what_to_do(
    stdin: list[int], monkeypatch: pytest.MonkeyPatch, content: bytes, prompt: str | None
) -> None:
    """Not replaced by question marks and sent."""
    pipe(stdin, monkeypatch, content)
    with pytest.raises(InputRefused, match=r"not UTF-8 text|not text"):
        with_piped(prompt)


def test_a_silent_pipe_that_never_closes_is_given_up_and_that_is_said(
    stdin: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI, agents' shells and ssh -T leave such behind."""
    pipe(stdin, monkeypatch, None, close=False)
    assert with_piped("summarize", silent_s=0.05) == "summarize"
    assert "continuing without it" in capsys.readouterr().err


def test_a_slow_pipe_is_waited_for_once_it_has_begun(stdin: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A curl, or another call of this command."""
    writer = pipe(stdin, monkeypatch, b"first ", close=False)
    chunks = iter([b"second ", b"third", b""])

    def read(descriptor: int, size: int, *, real: Any = os.read) -> bytes:
        if chunk := next(chunks, b""):
            os.write(writer, chunk)
            return real(descriptor, size)
        return b""

    monkeypatch.setattr(piped.os, "read", read)
    assert with_piped("p", silent_s=10) == "p\n\nfirst second third"


@pytest.mark.parametrize("prompt", ["summarize", None])
def test_dev_null_and_a_closed_descriptor_hold_nothing(
    stdin: list[int], monkeypatch: pytest.MonkeyPatch, prompt: str | None
) -> None:
    """With a prompt it is the prompt; without one that is said."""
    stdin.append(os.open(os.devnull, os.O_RDONLY))
    closed = os.dup(stdin[-1])
    os.close(closed)
    for descriptor in (stdin[-1], closed):
        monkeypatch.setattr(piped, "STDIN", descriptor)
        if prompt is not None:
            assert with_piped(prompt) == prompt
        else:
            with pytest.raises(InputRefused, match="No prompt was given"):
                with_piped(prompt)
        assert read_piped() == ""


def test_a_terminal_is_never_waited_for(stdin: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no prompt either, that is said."""
    main, terminal = pty.openpty()
    stdin += [main, terminal]
    monkeypatch.setattr(piped, "STDIN", terminal)
    assert with_piped("summarize") == "summarize"
    with pytest.raises(InputRefused, match="No text was given"):
        with_piped(None, what="text")


def run(arguments: Sequence[str], home: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The command as a shell starts it, with nobody to answer."""
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        "GROQ_FALLBACK_STATE": "memory",
    }
    return subprocess.run(
        [*server_command(), *arguments], env=environment, capture_output=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize(
    "arguments", [["chat", "p"], ["chat"], ["speak", "p", "out.wav"], ["screen", "p"], ["screen"], ["call", "groq_chat", "-"]]
)
def test_every_command_that_takes_text_refuses_a_binary_pipe_with_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    """One line, no traceback."""
    done = run(arguments, tmp_path, input=b"\xff\xd8\xff\xe0")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"not UTF-8 text" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_call_with_a_silent_stdin_ends(tmp_path: Path) -> None:
    """Within the pause for it, and without an answer here, as there is no key."""
    reader, writer = os.pipe()
    try:
        began = time.monotonic()
        done = run(["chat", "p"], tmp_path, stdin=reader)
        assert done.returncode == 1
        assert b"Nothing was piped in" in done.stderr
        assert time.monotonic() - began < 30
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_without_stdin_at_all_a_prompt_is_enough(tmp_path: Path) -> None:
    """As some service managers start programs."""
    command = " ".join([*server_command(), "chat", "p", "<&-"])
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
    }
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"No Groq API key is set" in done.stderr
    assert b"Traceback" not in done.stderr
