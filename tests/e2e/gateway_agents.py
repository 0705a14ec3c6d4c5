"""Agents whose own model calls go through the gateway: set up by `setup --gateway` in an empty home, offline, on one small task."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any

import anyio
from anyio.abc import SocketStream
from e2e.agents import OPENCODE_OFFLINE
from e2e.kilo import OFFLINE as KILO_OFFLINE
from e2e.kilo import find_kilo
from e2e.npm_clients import COMMAND, REPOSITORY, Npm
from e2e.processes import Watch
from e2e.scripted_groq import Asked, Fault, ScriptedGroq
from e2e.scripted_model import LAST_WORDS, ToolCall

__all__ = ["GATEWAY_AGENTS", "GatewayAgent", "Outcome", "free_port", "running_gateway", "work_through"]

PROMPT = "Follow the script."
FILE, CONTENT, TOUCHED = "notes.txt", "Written through the gateway.\n", "command-ran"
START_S = 30.0
MARK = "E2E_AGENT_OF"
STATUS = re.compile(rb"\AHTTP/1\.1 (\d{3}) ")
REFUSAL = "With room for an answer that is more than a model takes"
"""Of the words in which the gateway refuses what fits no model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAgent:
    """An agent. `calls` makes the task's calls in its tools; `asked_for` chooses the gateway's model where set-up does not."""

    program: Callable[[Npm], Path]
    arguments: Sequence[str]
    environment: Mapping[str, str]
    calls: Callable[[Path], Sequence[ToolCall]]
    asked_for: Sequence[str] = ()


def _paths_in(write: str, read: str, run: str, *, path: str) -> Callable[[Path], Sequence[ToolCall]]:
    def calls(project: Path) -> Sequence[ToolCall]:
        file = str(project / FILE)
        return (
            ToolCall(name=write, arguments={path: file, "content": CONTENT}),
            ToolCall(name=read, arguments={path: file}),
            ToolCall(name=run, arguments={"command": f"touch {TOUCHED}"}),
        )

    return calls


def _clines(project: Path) -> Sequence[ToolCall]:
    file = str(project / FILE)
    return (
        ToolCall(name="editor", arguments={"path": file, "new_text": CONTENT}),
        ToolCall(name="read_files", arguments={"files": [{"path": file}]}),
        ToolCall(name="run_commands", arguments={"commands": [f"touch {TOUCHED}"]}),
    )


def _codexs(project: Path) -> Sequence[ToolCall]:
    """In its shell alone; it carries out a patch there itself."""
    patch = f"apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {FILE}\n+{CONTENT}*** End Patch\nEOF"
    return tuple(
        ToolCall(name="exec_command", arguments={"cmd": command})
        for command in (patch, f"cat {project / FILE}", f"touch {TOUCHED}")
    )


GATEWAY_AGENTS: Mapping[str, GatewayAgent] = {
    "kilo": GatewayAgent(
        program=lambda npm: find_kilo(repository=REPOSITORY),
        arguments=("run", "--auto", "--format", "json", PROMPT),
        environment=KILO_OFFLINE,
        calls=_paths_in("write", "read", "bash", path="filePath"),
        asked_for=("-m", "groq-fallback/auto"),
    ),
    "opencode": GatewayAgent(
        program=lambda npm: npm.find("opencode"),
        arguments=("run", "--format", "json", PROMPT),
        environment=OPENCODE_OFFLINE,
        calls=_paths_in("write", "read", "bash", path="filePath"),
        asked_for=("-m", "groq-fallback/auto"),
    ),
    "cline": GatewayAgent(
        program=lambda npm: npm.find("cline"),
        arguments=("--json", PROMPT),
        # `local` keeps the session in the command's own process: else a daemon is started, and stays
        environment={"CLINE_SESSION_BACKEND_MODE": "local", "CLINE_NO_AUTO_UPDATE": "1"},
        calls=_clines,
    ),
    "continue": GatewayAgent(
        program=lambda npm: npm.find("cn"),
        arguments=("-p", "--auto", PROMPT),
        environment={"CONTINUE_TELEMETRY_ENABLED": "0"},
        calls=_paths_in("Write", "Read", "Bash", path="filepath"),
    ),
    "codex": GatewayAgent(
        program=lambda npm: npm.find("codex"),
        # its own sandbox needs rights of the kernel that a container has not
        arguments=("exec", "--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox", PROMPT),
        environment={},
        calls=_codexs,
        asked_for=("-c", "model_provider=groq-fallback", "-m", "auto"),
    ),
    "claude-code": GatewayAgent(
        program=lambda npm: npm.find("claude"),
        arguments=("-p", PROMPT, "--output-format", "json", "--allowedTools", "Write,Read,Bash"),
        environment={"DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1"},
        calls=_paths_in("Write", "Read", "Bash", path="file_path"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run went: of the agent, of its requests to the gateway, and of the gateway's to Groq."""

    status: int | None
    """None where the agent did not end in time."""
    shown: str
    content: str | None
    """Of the file; None where there is none."""
    command_ran: bool
    requests: Sequence[bytes]
    statuses: Sequence[int]
    asked: Sequence[Asked]
    seconds: float
    set_up: str
    log: str

    @property
    def repeated(self) -> int:
        """Requests of the agent that it had made before, byte for byte, but for those that a 429 told it to repeat."""
        again = sum(count - 1 for count in Counter(self.requests).values())
        return max(again - self.statuses.count(429), 0)

    @property
    def refused_by_groq(self) -> int:
        """Requests that the gateway should have known not to fit."""
        return sum(asked.refused for asked in self.asked)

    @property
    def done(self) -> bool:
        """The file is right, the command ran, and the answer is shown."""
        return (self.status, self.content, self.command_ran) == (0, CONTENT, True) and LAST_WORDS in self.shown

    @property
    def refused_once(self) -> bool:
        """One request was refused, was not sent again, and the gateway's words are shown."""
        return self.statuses.count(400) == 1 and REFUSAL in self.shown and LAST_WORDS not in self.shown

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.repeated == self.refused_by_groq == 0 and (self.done or self.refused_once):
            return "done" if self.done else "refused once"
        return "FAIL"


async def work_through(name: str, *, fault: Fault, tpm: int, home: Path, within_s: float, behind: str | None = None) -> Outcome:
    """Set an agent up, start the gateway before a scripted Groq, and let the agent do the task.

    `behind` is a preset: one more provider, scripted likewise, that takes prompts of any length.
    """
    agent, npm = GATEWAY_AGENTS[name], Npm(home)
    program = agent.program(npm)
    plan = "developer" if tpm > 8_000 else "free"
    groq = ScriptedGroq(calls=agent.calls(npm.project), fault=fault, tpm=tpm)
    clean = {"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(home)}
    other = ScriptedGroq(calls=agent.calls(npm.project), tpm=0)
    port = free_port()
    async with groq.serve() as upstream, other.serve() as second, _Tap().before(port) as tap:
        if behind is not None:
            settings = home / ".config" / "groq-fallback-mcp" / "config.toml"
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text(f'[[providers]]\npreset = "{behind}"\nbase_url = "{second}/openai/v1"\n')
        ours = {
            **clean,
            "GROQ_BASE_URL": upstream,
            "GROQ_API_KEY": "gsk_scripted",
            "GROQ_FALLBACK_PLAN": plan,
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
            "GEMINI_API_KEY": "AIza-scripted",
        }
        set_up = await anyio.run_process(
            [*COMMAND, "setup", name, "--gateway", "--port", str(tap.port)], cwd=npm.project, env=ours, check=False
        )
        assert set_up.returncode == 0, set_up
        # where the plan does not take its prompt, set-up leaves the main model as it is
        chosen = agent.asked_for if b"left as it is" in set_up.stdout else ()
        log = home / "gateway.log"
        async with running_gateway(port, ours, home=home, log=log):
            began = time.monotonic()
            # what an agent leaves running is ended; the gateway has the same home, so that is no mark
            with closing(Watch(f"{MARK}={home}\0")) as left:
                environment = {**clean, **agent.environment, MARK: str(home)}
                run = await _run([str(program), *agent.arguments, *chosen], npm.project, environment, within_s)
                left.take_hold()
            seconds = time.monotonic() - began
    file = npm.project / FILE
    return Outcome(
        status=None if run is None else run.returncode,
        shown="" if run is None else (run.stdout + run.stderr).decode("utf-8", "replace"),
        content=file.read_text() if file.exists() else None,
        command_ran=(npm.project / TOUCHED).exists(),
        requests=tap.bodies,
        statuses=tap.statuses,
        asked=[*groq.asked, *other.asked],
        seconds=seconds,
        set_up=set_up.stdout.decode(),
        log=log.read_text(errors="replace"),
    )


async def _run(
    command: Sequence[str], project: Path, environment: Mapping[str, str], within_s: float
) -> subprocess.CompletedProcess[bytes] | None:
    with anyio.move_on_after(within_s):
        return await anyio.run_process(command, cwd=project, env=environment, stdin=subprocess.DEVNULL, check=False)
    return None


@asynccontextmanager
async def running_gateway(port: int, environment: Mapping[str, str], *, home: Path, log: Path) -> AsyncIterator[None]:
    """The real command, once it listens."""
    with log.open("wb") as target:
        process = await anyio.open_process(
            [*COMMAND, "gateway", "--port", str(port)], env=environment, cwd=home, stdout=target, stderr=target
        )
    try:
        with anyio.fail_after(START_S):
            while b"/v1" not in log.read_bytes():
                assert process.returncode is None, log.read_text()
                await anyio.sleep(0.05)
        yield
    finally:
        process.terminate()
        with anyio.CancelScope(shield=True):
            await process.wait()


@dataclass(slots=True)
class _Tap:
    """Passes the bytes between agents and the gateway on as they are, and keeps the requests."""

    port: int = 0
    sent: list[bytearray] = field(default_factory=list[bytearray])
    statuses: list[int] = field(default_factory=list[int])

    @asynccontextmanager
    async def before(self, gateway_port: int) -> AsyncIterator[_Tap]:
        """Listens at `port` while the block lasts."""

        async def handle(client: SocketStream) -> None:
            sent = bytearray()
            self.sent.append(sent)
            gateway = await anyio.connect_tcp("127.0.0.1", gateway_port)
            async with client, gateway, anyio.create_task_group() as both:
                both.start_soon(_pass_on, client, gateway, sent.extend)
                both.start_soon(_pass_on, gateway, client, self._note_status)

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as serving:
            serving.start_soon(listener.serve, handle)
            yield self
            serving.cancel_scope.cancel()

    @property
    def bodies(self) -> list[bytes]:
        """The bodies of all requests."""
        return [body for sent in self.sent for body in _bodies(bytes(sent))]

    def _note_status(self, received: bytes) -> None:
        if (found := STATUS.match(received)) is not None:
            self.statuses.append(int(found[1]))


async def _pass_on(source: SocketStream, target: SocketStream, note: Callable[[bytes], Any]) -> None:
    try:
        async for received in source:
            note(received)
            await target.send(received)
        await target.send_eof()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        # a connection that was reset on one side is reset on the other
        await anyio.aclose_forcefully(target)
        await anyio.aclose_forcefully(source)


def _bodies(sent: bytes) -> list[bytes]:
    """The bodies of the requests of one connection, each with a stated length."""
    found: list[bytes] = []
    while b"\r\n\r\n" in sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        assert length is not None or head.startswith((b"GET", b"HEAD")), head
        size = 0 if length is None else int(length[1])
        if size:
            found.append(rest[:size])
        sent = rest[size:]
    return found


def free_port() -> int:
    """One that nobody listens at, for now."""
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
