"""doctor: what is set up, what is missing, and which models a call would use now. Spends no quota."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from groq_fallback_mcp import __version__
from groq_fallback_mcp.addresses import is_clean_key, is_loopback_url
from groq_fallback_mcp.application import open_context, restrictions_of
from groq_fallback_mcp.call import AudioFile, AudioRequest, ChatRequest, Failure, FailureKind
from groq_fallback_mcp.call.refusals import refusal
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.catalog.drift import drift
from groq_fallback_mcp.cli.console import echo_message, print_json, terminal
from groq_fallback_mcp.cli.gateway_reply import is_gateway, reply_of
from groq_fallback_mcp.cli.local_servers import MOST_SERVED, with_context
from groq_fallback_mcp.clients.change import find_clients
from groq_fallback_mcp.clients.client import KEY, SERVER, Client
from groq_fallback_mcp.clients.entry import Entry, origin
from groq_fallback_mcp.clients.gateway import configured_address, configured_token
from groq_fallback_mcp.clients.gateway_clients import GATEWAY_CLIENTS, GatewayClient
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.command import SCRIPT, install_command, server_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.harness.server_check import Fault, answers
from groq_fallback_mcp.policy.fit import training_objection
from groq_fallback_mcp.providers.endpoints import endpoint_of, exported_variable, key_variables
from groq_fallback_mcp.providers.local.provider import available_models
from groq_fallback_mcp.providers.local.weights import missing_parts
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.registry import FoundServer, LiveList
from groq_fallback_mcp.providers.reply import Reply
from groq_fallback_mcp.quota.breaker import NOT_MENDED_BY_TIME
from groq_fallback_mcp.quota.budget import REOPENING, UNKNOWN_SPENDING
from groq_fallback_mcp.redaction import register_secrets, sanitize_message
from groq_fallback_mcp.render import counted, excerpt
from groq_fallback_mcp.run_all import run_all
from groq_fallback_mcp.settings import EndpointSettings, Settings, config_path, key_sources, load_settings, unknown_variables
from groq_fallback_mcp.tools import Context
from groq_fallback_mcp.tools.result import label

__all__ = ["Finding", "doctor"]

State = Literal["ok", "warn", "fail"]
KeyState = Literal["set", "missing", "refused", "unused"]
SET_KEY = f"Run {SCRIPT} key set, or export GROQ_API_KEY"
REPLACE_KEY = f"Copy a valid key from console.groq.com/keys, then run {SCRIPT} key set"
EXPORT_KEY = "Copy a valid key from console.groq.com/keys, then export it as GROQ_API_KEY"
CHECK_NETWORK = "Check the network and GROQ_BASE_URL"
SAMPLE_S = 10.0
PROVIDER_S = 3.0
PROVIDERS_AT_ONCE = 8
READY = "Ready."
_MARKS: Mapping[State, tuple[str, str]] = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
_FIX: Mapping[FailureKind | None, str] = {
    FailureKind.AUTHENTICATION: REPLACE_KEY,
    FailureKind.ORGANIZATION_REFUSED: "Ask Groq's support about your organization",
    FailureKind.NO_CREDIT: "Check the credit and billing at console.groq.com",
}
# Of an agent's prompt, its files and its answer.
LEAST_AGENT_CONTEXT = 32_768
_MORE_CONTEXT = {
    "llamacpp": "Restart it with -c 32768",
    "ollama": "Restart it with OLLAMA_CONTEXT_LENGTH=32768",
    "lmstudio": "Load the model with lms load --context-length 32768",
    "vllm": "Restart it with --max-model-len 32768",
}
UNAUTHORIZED = 401
_SECRET_NAME = re.compile("key|token|secret|password", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, how it is, and `fix`, what to do about a failure."""

    what: str
    state: State
    detail: str
    fix: str | None = None


async def doctor(*, start_project_servers: bool = False, as_json: bool) -> int:
    """Print the findings and whether all is ready, or what to do first; 1 when something that a call needs is missing.

    `start_project_servers`: start whatever the client files of the current folder name, which a repository may have brought.
    """
    console = None if as_json else terminal(sys.stdout)
    with nullcontext() if console is None else console.status("checking ..."):
        findings = await _findings(start_project_servers=start_project_servers)
    first = next((finding for finding in findings if finding.state == "fail"), None)
    verdict = READY if first is None else f"Not ready. {first.fix or f'{first.what}: {first.detail}'}."
    if as_json:
        print_json({"ok": first is None, "verdict": verdict, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings, verdict)
    return 0 if first is None else 1


def _show(findings: Sequence[Finding], verdict: str) -> None:
    """A line for each finding; on a terminal a table with marks and colors, wrapped to its width."""
    if not sys.stdout.isatty():
        for finding in findings:
            echo_message(f"{finding.state:<4} {finding.what}: {finding.detail}")
        echo_message(verdict)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table.grid(padding=(0, 1))
    for column in ("mark", "state", "what"):
        table.add_column(column, no_wrap=True)
    table.add_column("detail", overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.state]
        shown = mark if console.encoding.startswith("utf") else ""
        words = (Text(sanitize_message(text)) for text in (finding.what, finding.detail))
        table.add_row(Text(shown, style=style), Text(finding.state, style=style), *words)
    console.print(table)
    console.print(Text(sanitize_message(verdict), style="bold green" if verdict == READY else "bold red"))


async def _findings(*, start_project_servers: bool) -> Sequence[Finding]:
    python = f"{SCRIPT} {__version__}, Python {sys.version.split()[0]} at {sys.executable}"
    findings = [Finding(what="version", state="ok", detail=python)]
    path = config_path()
    try:
        settings = load_settings()
        named = "GROQ_FALLBACK_CONFIG" in os.environ
        shown = f"{path}" if path.exists() else f"{path} does not exist" if named else f"no {path} (optional)"
        state: State = "warn" if named and not path.exists() else "ok"
        findings.append(Finding(what="configuration", state=state, detail=shown))
        findings += [
            Finding(what="environment", state="warn", detail=sanitize_message(text))
            for text in unknown_variables(os.environ, providers=settings.providers)
        ]
        async with open_context(settings, checks_environment=False) as context:
            live = await context.engine.registry.live_list()
            await context.engine.registry.refresh(lists=True, patient=True)
            key = _key_state(settings, live)
            chat, transcribe = await _choices(settings, context, key, live)
            findings.append(_key(settings, key, chat_works=chat.state != "fail"))
            findings.append(Finding(what="base URL", state="ok", detail=settings.base_url))
            findings += [_live(live, key, context), *await _providers(settings, context)]
            findings += [await _store(context), *_servers(settings, context), *_local(settings), _folders(context)]
            findings += [chat, transcribe]
    except ConfigurationError as error:
        fix = error.next_step[:1].upper() + error.next_step[1:]
        findings.append(
            Finding(what="configuration", state="fail", detail=sanitize_message(str(error)), fix=sanitize_message(fix))
        )
    return [*findings, *await _clients(start_project_servers=start_project_servers), *await _gateways()]


async def _clients(*, start_project_servers: bool) -> list[Finding]:
    """Each client of this machine: whether our server is in its configuration, and whether it answers."""
    findings: list[Finding] = []
    project, home = Path.cwd(), Path.home()
    # in the home folder a project's file is the user's own
    trusted = start_project_servers or project.resolve() == home.resolve()
    checks = _Checks(project=project, trusted=trusted)
    answered = False
    for found in find_clients(project=project, home=home):
        what = f"client {found.client.name}"
        if found.fault is not None:
            findings.append(Finding(what=what, state="warn", detail=sanitize_message(found.fault)))
        elif not found.configured:
            findings.append(
                Finding(
                    what=what, state="ok", detail=f"MCP server not set up (optional); run {SCRIPT} setup {found.client.name}"
                )
            )
        for entry in found.configured:
            finding, works = await _entry(found.client, entry, checks)
            answered = answered or works
            findings.append(finding)
    if answered:
        return findings
    # another's server is not ours to mend, unless it is all that an agent has
    return [finding if finding.fix is None else replace(finding, state="fail") for finding in findings]


async def _gateways() -> list[Finding]:
    """Each agent whose own model calls go to the gateway: whether it answers there."""
    findings: list[Finding] = []
    for client in GATEWAY_CLIENTS.values():
        what = f"gateway of {client.name}"
        try:
            address = configured_address(client, home=Path.home())
        except ConfigurationError as error:
            findings.append(Finding(what=what, state="warn", detail=sanitize_message(str(error))))
            continue
        if address is None:
            continue
        if await is_gateway(address):
            findings.append(await _answering(client, address, configured_token(client, home=Path.home())))
            continue
        fix = f"Run {SCRIPT} gateway, or {SCRIPT} gateway --install to start it with every login"
        if _is_elsewhere(address):
            fix = f"Check that it is running, or run {SCRIPT} setup {client.name} --gateway with another --url"
        detail = f"nothing answers at {address}, so {client.title} cannot call its models. {fix}"
        findings.append(Finding(what=what, state="fail", detail=detail, fix=fix))
    return findings


async def _answering(client: GatewayClient, address: str, token: str | None) -> Finding:
    """A gateway that answers: whether it takes the agent's token, too."""
    what = f"gateway of {client.name}"
    reply = None if token is None or not is_clean_key(token) else await reply_of(address, "/v1/models", token=token)
    if not isinstance(reply, Reply) or reply.status != UNAUTHORIZED:
        return Finding(what=what, state="ok", detail=f"answers at {address}")
    fix = f"Run {SCRIPT} setup {client.name} --gateway{f' --url {address}' if _is_elsewhere(address) else ''} again"
    detail = f"the gateway at {address} refuses the token of {client.title}, so it cannot call its models. {fix}"
    return Finding(what=what, state="fail", detail=detail, fix=fix)


def _is_elsewhere(address: str) -> bool:
    return not is_loopback_url(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checks:
    """Starts what client files name, each command once in each environment.

    `trusted`: also what the files of `project`, the current folder, name.
    """

    project: Path
    trusted: bool
    _done: dict[tuple[object, ...], Fault | None] = field(
        default_factory=dict[tuple[object, ...], Fault | None], init=False, repr=False
    )

    def admits(self, entry: Entry) -> bool:
        """Whether an entry may be started as its file has it."""
        return self.trusted or entry.scope != "project"

    async def fault(self, client: Client, entry: Entry) -> Fault | None:
        """Start the entry as the client would. Of a file that is not trusted nothing is used: this installation is started."""
        if not self.admits(entry):
            return await self._run(server_command(), folder=None, environment={})
        register_secrets(*(value for name, value in entry.environment.items() if _SECRET_NAME.search(name)))
        folder = self.project if entry.scope == "project" else None
        return await self._run(entry.command, folder=folder, environment=client.server_environment(entry.environment))

    async def _run(self, command: tuple[str, ...], *, folder: Path | None, environment: Mapping[str, str]) -> Fault | None:
        start = (command, folder, *sorted(environment.items()))
        if start not in self._done:
            self._done[start] = await answers(command, folder=folder, environment=environment)
        return self._done[start]


async def _entry(client: Client, entry: Entry, checks: _Checks) -> tuple[Finding, bool]:
    """An entry, and whether a server answers. Of a project's file nothing is started but this installation, by our own command and not by the file's."""
    kind, local = origin(entry.command), entry.scope == "project"
    again = f"run {SCRIPT} setup {client.name}{' --scope project' if local else ''} again"
    foreign = kind == "other" and not checks.admits(entry)
    search = entry.environment.get("PATH")
    gone = bool(entry.command) and not foreign and shutil.which(entry.command[0], path=search) is None
    broken = False
    if foreign:
        # nothing of it is looked up either
        answer: str | None = (
            f"starts another command, which was not run: {entry.shown()} (doctor --start-project-servers runs it)"
        )
    elif gone:
        answer, broken = f"{excerpt(entry.command[0])} does not exist; {again}", True
    elif kind == "older":
        answer = f"written by an older version, imports from the working folder; {again}"
    elif not entry.command:
        answer, broken = "it has no command", True
    else:
        fault = await checks.fault(client, entry)
        answer, broken = (None, False) if fault is None else (fault.text, not fault.responds)
    detail = f"{entry.scope}, {entry.path}: {'the server answers' if answer is None else answer}"
    if answer is None and (unused := _unused(entry, checks)):
        detail += f", started without {', '.join(unused)[:80]} of this file"
    if local and entry.unexpected:
        detail += f"; it also sets {', '.join(entry.unexpected)[:80]}, which setup does not write: check who did"
    unknown = unknown_variables(entry.environment)
    detail = "; ".join([detail, *unknown])
    state: State = "ok" if answer is None and not unknown and not (local and entry.unexpected) else "warn"
    fix = None
    if broken and not local:
        state, fix = _mend(client, entry, again)
        if not gone:
            detail = f"{detail.rstrip('.')}. {fix}"
    return Finding(what=f"client {client.name}", state=state, detail=sanitize_message(detail), fix=fix), answer is None


def _unused(entry: Entry, checks: _Checks) -> Sequence[str]:
    """What of an entry its check did not use. A reference to the key is no loss: doctor looks at the key itself."""
    if checks.admits(entry):
        return entry.diverting
    return sorted({*entry.environment, *entry.diverting} - {KEY})


def _mend(client: Client, entry: Entry, again: str) -> tuple[State, str]:
    """A client that cannot start our server makes all the rest useless; a server that is not ours may be meant to be there."""
    if entry.nearly_names_us:
        return "fail", f"{again[:1].upper()}{again[1:]}, or correct its entry {SERVER} in {entry.path}"
    return "warn", f"Correct the entry {SERVER} in {entry.path}, or run {SCRIPT} setup {client.name} to replace it"


def _key_state(settings: Settings, live: LiveList) -> KeyState:
    if settings.local == "only":
        return "unused"
    if settings.api_key is None:
        return "missing"
    return "refused" if live.refused is FailureKind.AUTHENTICATION else "set"


def _key(settings: Settings, key: KeyState, *, chat_works: bool) -> Finding:
    match key:
        case "unused":
            return Finding(what="key", state="ok", detail="not needed (GROQ_FALLBACK_LOCAL=only)")
        case "missing":
            state: State = "warn" if chat_works else "fail"
            return Finding(what="key", state=state, detail=f"not set. {SET_KEY}", fix=SET_KEY)
        case "refused":
            detail = f"refused by Groq (401), from {_key_source(settings)}"
            # storing one does not help where the environment has another
            fix = EXPORT_KEY if os.environ.get("GROQ_API_KEY") else REPLACE_KEY
            return Finding(what="key", state="fail", detail=detail, fix=fix)
        case "set":
            others = f"; other keys are set too, see {SCRIPT} key status" if len(key_sources()) > 1 else ""
            length = len(settings.api_key.get_secret_value()) if settings.api_key is not None else 0
            return Finding(what="key", state="ok", detail=f"{length} characters, from {_key_source(settings)}{others}")


def _key_source(settings: Settings) -> str:
    return next((one.source for one in key_sources() if one.key == settings.api_key), "the environment")


def _live(live: LiveList, key: KeyState, context: Context) -> Finding:
    what, catalog = "live list", context.engine.catalog
    if key != "set":
        reason = {"missing": "no API key", "refused": "the key was refused"}.get(key, "Groq is not used")
        return Finding(what=what, state="ok" if key == "unused" else "warn", detail=f"not read ({reason})")
    if live.failure is not None or live.ids is None:
        reason = live.failure.message if live.failure is not None else "no answer"
        return Finding(
            what=what, state="fail", detail=f"could not be read: {reason}", fix=_FIX.get(live.refused, CHECK_NETWORK)
        )
    found = drift(catalog, live.ids, today(context.engine.clock))
    detail = counted(len(live.ids), "model") + (f"; {found}" if found.differences() else ", as in the catalog")
    if found.needs_rows:
        detail += f"; `{SCRIPT} catalog update` writes an overlay for review"
    if replaced := sum(successor is not None for successor in found.shut_down.values()):
        detail += f"; {replaced} retired models have successors (models --retired)"
    return Finding(what=what, state="warn" if found.differences() else "ok", detail=detail)


async def _providers(settings: Settings, context: Context) -> Sequence[Finding]:
    """Each provider of config.toml: whether it has its key, and whether it lists its models."""
    registry = context.engine.registry
    found = {server.name for server in registry.servers if not server.configured}
    policy = restrictions_of(settings)
    offers = {offer.name: offer for offer in registry.models()}
    given = {one.name: one for one in settings.providers}
    # a server that was found and has stopped is still among the providers, and offers nothing
    others = [
        one
        for one in registry.providers.values()
        if isinstance(one, OpenAICompatible) and one.name in offers and one.name not in found
    ]

    async def look(provider: OpenAICompatible) -> Finding:
        what = f"provider {provider.name}"
        if provider.unready is not None:
            return Finding(what=what, state="warn", detail=sanitize_message(f"not used: {provider.unready}"))
        trains = training_objection(policy, offers[provider.name])
        if trains is not None:
            return Finding(what=what, state="warn", detail=f"not used: {trains}")
        found = await provider.live_models(timeout_s=PROVIDER_S)
        if not isinstance(found, Failure):
            return Finding(what=what, state="ok", detail=f"lists {counted(len(found), 'model')}")
        status = "" if found.status is None else f"HTTP {found.status}, "
        refused = found.kind is FailureKind.AUTHENTICATION
        fix = _other_key(given[provider.name], context.engine.catalog) if refused else "Check its base_url, and that it runs"
        detail = f"does not list its models ({status}{found.message}). {fix}"
        return Finding(what=what, state="warn", detail=sanitize_message(detail))

    findings, _ = await run_all([one for one in others if one.name != "groq"], look, at_once=PROVIDERS_AT_ONCE)
    return findings


def _other_key(given: EndpointSettings, catalog: Catalog) -> str:
    """How to give a provider another key. `providers add` finds it by its preset, or by its name and address."""
    variables = key_variables(given, catalog.providers.get(given.preset or ""))
    exported = exported_variable(variables)
    if exported is not None:
        return f"Export another key as {exported}"
    if given.preset not in {None, given.name}:
        return f"Export a key as {variables[0]}" if variables else "Name the variable with its key as key_env in config.toml"
    address = f" --url {given.base_url}" if given.preset is None else ""
    # a server of this machine mostly wants no key, so none is asked for unless a variable is named
    named = " --key-env NAME" if not variables and endpoint_of(given, catalog).on_this_machine else ""
    return f"Run {SCRIPT} providers add {given.name}{address}{named} to store another key"


async def _store(context: Context) -> Finding:
    ledger, budget = context.engine.ledger, context.engine.budget
    day = today(context.engine.clock).isoformat()
    totals = (await ledger.spending([day]))[day]
    status = ledger.status
    if status.degraded is not None:
        detail = f"{status.store} cannot be used, each process falls back to a quarter of the limits: {status.degraded}"
        return Finding(what="quota store", state="warn", detail=detail)
    if totals.unknown and budget.bounded:
        return Finding(what="quota store", state="fail", detail=UNKNOWN_SPENDING, fix=REOPENING)
    return Finding(what="quota store", state="ok", detail=f"{status.store}, {status.place}")


def _servers(settings: Settings, context: Context) -> Sequence[Finding]:
    """Each server that runs on this machine: what it has loaded, and how to give it a context that agents can use."""
    servers = context.engine.registry.servers
    if settings.local == "only":
        return []
    if not servers:
        off = "not looked for (GROQ_FALLBACK_FIND_LOCAL_SERVERS)"
        none = "none running (llama.cpp, Ollama, LM Studio and vLLM are found by themselves)"
        detail = none if settings.find_local_servers else off
        return [Finding(what="local servers", state="ok", detail=detail)]
    return [_server(server) for server in servers]


def _server(server: FoundServer) -> Finding:
    what, where = f"server {server.name}", f"{server.title} at {server.base_url}"
    shown = [model for model in server.models if not model.speech][:MOST_SERVED]
    if not shown:
        return Finding(what=what, state="warn", detail=f"{where} has no model loaded. Load one to fall back to it")
    more = f"; and {len(server.models) - len(shown)} more" if len(server.models) > len(shown) else ""
    detail = f"{where}: {'; '.join(map(with_context, shown))}{more}"
    narrow = [model for model in shown if model.context_window is not None and model.context_window < LEAST_AGENT_CONTEXT]
    if not narrow:
        return Finding(what=what, state="ok", detail=detail)
    step = _MORE_CONTEXT.get(server.row.server.kind if server.row is not None and server.row.server is not None else "")
    advice = f". {step}" if step is not None else ""
    return Finding(
        what=what,
        state="warn",
        detail=sanitize_message(f"{detail}; agents need {LEAST_AGENT_CONTEXT:,} or more{advice}"),
    )


def _local(settings: Settings) -> Sequence[Finding]:
    what = "local models"
    if settings.local == "off":
        return [Finding(what=what, state="ok", detail="off (GROQ_FALLBACK_LOCAL)")]
    found = available_models(settings.local_text_model)
    use = {
        "auto": "speech as a last resort, text only on request (--local)",
        "on": "as a last resort",
        "only": "nothing else is used",
    }[settings.local]
    if not found:
        # an extra that nobody asked for is not missing
        state: State = "ok" if settings.local == "auto" else "warn"
        return [Finding(what=what, state=state, detail=f"none installed (optional: {install_command('local')})")]
    missing = missing_parts(settings.local_text_model)
    return [
        Finding(what=what, state="ok", detail=f"{', '.join(found)}; {use}"),
        *(
            Finding(what=what, state="warn", detail=f"{part.what} is missing, needed for {part.serves}: {part.command}")
            for part in missing
        ),
    ]


def _folders(context: Context) -> Finding:
    if not context.folders:
        detail = "none: started in the root or home folder; set GROQ_FALLBACK_FILES to let transcribe read files"
        return Finding(what="folders", state="warn", detail=detail)
    missing = [str(folder) for folder in context.folders if not folder.is_dir()]
    if missing:
        return Finding(what="folders", state="warn", detail=f"{', '.join(missing)} does not exist")
    return Finding(what="folders", state="ok", detail=", ".join(str(folder) for folder in context.folders))


async def _choices(settings: Settings, context: Context, key: KeyState, live: LiveList) -> tuple[Finding, Finding]:
    """Which models chat and transcription would use now, best first."""
    recording = AudioFile(name="a.wav", content=b"", media_type="audio/wav", duration_s=SAMPLE_S)
    chat = await _order(context, ChatRequest(messages=({"role": "user", "content": "hello"},)), live)
    heard = await _order(context, AudioRequest(audio=recording), live)
    # transcription is not what everybody came for
    return (
        _choice("chat", chat, key, _why(settings, key, chat.refused, "text"), missing="fail"),
        _choice("transcribe", heard, key, _why(settings, key, heard.refused, "speech"), missing="warn"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """The models that a request would use, best first. `refused`: why none of Groq's is among them, where that is known."""

    names: Sequence[str]
    refused: FailureKind | None


async def _order(context: Context, request: ChatRequest | AudioRequest, live: LiveList) -> _Order:
    candidates = (await context.engine.plan(request)).candidates
    providers = context.engine.registry.providers
    names: list[str] = []
    refused = live.refused
    for one, wait in zip(candidates, await context.engine.waits(candidates), strict=True):
        away = wait.kind if wait is not None and wait.kind in NOT_MENDED_BY_TIME else None
        if one.cataloged:
            away = live.refused or away
            refused = refused or away
        if away is None and providers[one.provider].unready is None:
            names.append(one.model if one.cataloged else label(one.provider, one.model))
    return _Order(names=names, refused=refused)


def _choice(what: str, order: _Order, key: KeyState, reason: tuple[str, str], *, missing: State) -> Finding:
    why, fix = reason
    if not order.names:
        return Finding(what=what, state=missing, detail=f"unavailable ({why})", fix=fix)
    without = key == "missing" or order.refused is not None
    if without and all(name.startswith("local/") for name in order.names):
        return Finding(what=what, state="warn", detail=f"local model only ({why})")
    return Finding(what=what, state="ok", detail=" → ".join(order.names))


def _why(settings: Settings, key: KeyState, refused: FailureKind | None, serves: str) -> tuple[str, str]:
    """Why no model is used for `serves`, text or speech, or none of Groq's, and what to do."""
    match key, refused:
        case "unused", _:
            # no provider is used then, so none is advised
            parts = [part.command for part in missing_parts(settings.local_text_model) if part.serves == serves]
            command = parts[0] if parts else install_command("local")
            return f"no local model for {serves}", f"Set GROQ_FALLBACK_LOCAL to auto, or add local {serves}: {command}"
        case "missing", _:
            return "no API key", SET_KEY
        case _, None:
            return "no provider is configured", f"Run {SCRIPT} providers to see which can be added"
        case _, FailureKind.AUTHENTICATION:
            return "API key refused", REPLACE_KEY
        case _, kind:
            return refusal(kind, "groq") or kind.value.replace("_", " "), _FIX.get(kind, CHECK_NETWORK)
