"""Every command in README and docs is run, each block in an empty home against the simulator; the rest says why not."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
import typer.main
from command_line import simulated
from forked_commands import forked_commands
from typer.core import TyperGroup

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.cli.commands import app
from groq_fallback_mcp.simulator import run_simulator

ROOT = Path(__file__).parents[2]
PROGRAM = "groq-fallback-mcp"
# Why a block may not be run, as a pattern, and how many are not.
REASONS = {
    r"needs the network; (CI|tests/e2e/test_install_methods\.py) runs it": 8,
    r"needs the client(; tests/e2e/test_new_user\.py runs it)?": 6,
    r"(tests/cli/test_(demo|providers|gateway_tokens|dashboard)\.py|make e2e) runs it": 8,
    r"needs the simulator on its port": 1,
    r"runs until Ctrl-C": 11,
    r"needs the gateway on its port": 1,
    r"needs (Docker|root|a gateway on another machine)": 3,
    r"edits the shell's start file": 1,
    r"removes the command; tests/e2e/test_install_methods\.py runs it": 1,
}
# Nobody types here, and there is no keyring.
PRELUDE = """set -e
exec < /dev/null
groq-fallback-mcp() {
  if [ "$*" = "key set" ]; then command groq-fallback-mcp key set --file < key.txt
  else command groq-fallback-mcp "$@"; fi
}
"""
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
_BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+?) -->\n)?```(?:bash|console|sh)\n(?P<text>.*?)\n```", re.DOTALL)
_INLINE = re.compile(rf"`(?P<command>{PROGRAM} [^`\n]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of commands."""

    page: str
    line: int
    text: str
    reason: str | None


def pages() -> list[Path]:
    """README and all of docs/, but for what was built."""
    found = [path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", *sorted(found)]


def blocks() -> Iterator[Block]:
    """All blocks of the pages, in order."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(text):
            yield Block(
                page=path.relative_to(ROOT).as_posix(),
                line=text.count("\n", 0, found.start("text")) + 1,
                text=found["text"],
                reason=found["reason"],
            )


BLOCKS = list(blocks())
RUN = [block for block in BLOCKS if block.reason is None]
RUN_PAGES = list(dict.fromkeys(block.page for block in RUN))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the program is in."""
    with forked_commands(tmp_path_factory.mktemp("bin")) as folder:
        yield folder


@pytest.mark.parametrize("page", RUN_PAGES)
@pytest.mark.anyio
async def test_the_commands_of_a_page_run(page: str, tmp_path: Path, program: Path) -> None:
    """In their order, as a reader would type them."""
    home = tmp_path / "home"
    work = tmp_path / "project"
    prepare(home, work)
    script = PRELUDE + "\n".join(block.text for block in RUN if block.page == page)
    async with run_simulator(simulated()) as simulator:
        done = await anyio.run_process(
            ["bash", "-c", script],
            cwd=work,
            env={
                "PATH": os.pathsep.join((str(program), os.environ["PATH"])),
                "HOME": str(home),
                "GROQ_API_KEY": "gsk_simulated",
                "GROQ_BASE_URL": simulator.base_url,
                "GROQ_FALLBACK_LOCAL": "off",
                "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
                "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            },
            check=False,
            stderr=subprocess.STDOUT,
        )

    assert done.returncode == 0, done.stdout.decode()


def prepare(home: Path, work: Path) -> None:
    """The files that examples name."""
    # a client that `setup` finds
    (home / ".config" / "kilo").mkdir(parents=True)
    work.mkdir()
    for name in ("speech.flac", "talk.mp3"):
        shutil.copy(sample_path(), work / name)
    (work / "screenshot.png").write_bytes(PNG)
    texts = {"README.md": "# A project", "questions.txt": "One?\nTwo?\n", "page.txt": "A page.", "key.txt": "gsk_simulated"}
    for name, text in texts.items():
        (work / name).write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=work, check=True, timeout=60)


def test_a_block_that_is_not_run_has_one_of_few_reasons() -> None:
    """Counted, so that their number is raised on purpose only."""
    given = [block.reason for block in BLOCKS if block.reason is not None]
    counts = {pattern: sum(re.fullmatch(pattern, reason) is not None for reason in given) for pattern in REASONS}

    assert [reason for reason in given if not any(re.fullmatch(pattern, reason) for pattern in REASONS)] == []
    assert counts == REASONS


def named_commands() -> Iterator[tuple[str, str]]:
    """The program's commands that stand in a line of text or in a block that is not run, with their page."""
    for block in BLOCKS:
        if block.reason is not None:
            yield from ((block.page, line) for line in block.text.splitlines() if line.startswith(PROGRAM))
    for path in pages():
        for found in _INLINE.finditer(path.read_text(encoding="utf-8")):
            yield path.relative_to(ROOT).as_posix(), found["command"]


@pytest.mark.parametrize(("page", "command"), sorted(set(named_commands())))
def test_a_command_that_is_not_run_is_one_that_the_program_takes(page: str, command: str) -> None:
    """Its name, its options and their values."""
    _, *words = shlex.split(command, comments=True)
    if words[:1] in (["COMMAND"], ["--install-completion"]):
        return
    parsed = typer.main.get_command(app)
    while isinstance(parsed, TyperGroup):
        if parsed.invoke_without_command and (not words or words[0].startswith("-")):
            break
        assert words, command
        assert words[0] in parsed.commands, f"{page}: {command}"
        parsed = parsed.commands[words.pop(0)]
    parsed.make_context(command, words)
