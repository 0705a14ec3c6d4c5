"""doctor: what is set up, what is missing, and what a call would choose now. Spends no quota."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from groq_fallback_mcp import __version__
from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import AudioLink, AudioRequest, ChatRequest
from groq_fallback_mcp.cli.console import print_json
from groq_fallback_mcp.clients.setup import find_clients
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.credentials import find_key
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.harness.answers import answers
from groq_fallback_mcp.policy.drift import drift
from groq_fallback_mcp.providers.local.provider import available_models
from groq_fallback_mcp.providers.local.weights import missing_parts
from groq_fallback_mcp.redaction import redact
from groq_fallback_mcp.settings import Settings, config_path, key_path, load_settings
from groq_fallback_mcp.tools import Context
from groq_fallback_mcp.tools.account import label

__all__ = ["Finding", "doctor"]

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, how it is, and what to do where it is not well."""

    what: str
    state: State
    detail: str


async def doctor(*, as_json: bool) -> int:
    """Print the findings; 1 when something that a call needs is missing."""
    findings = await _findings()
    if as_json:
        print_json({"ok": all(f.state != "fail" for f in findings), "findings": [asdict(f) for f in findings]})
    else:
        for finding in findings:
            typer.echo(redact(f"{finding.state:<4} {finding.what}: {finding.detail}"))
    return 1 if any(finding.state == "fail" for finding in findings) else 0


async def _findings() -> Sequence[Finding]:
    python = f"groq-fallback-mcp {__version__}, Python {sys.version.split()[0]} at {sys.executable}"
    findings = [Finding(what="version", state="ok", detail=python)]
    path = config_path()
    try:
        settings = load_settings()
        named = "GROQ_FALLBACK_CONFIG" in os.environ
        shown = f"{path}" if path.exists() else f"no file at {path}" + ("" if named else ", which is fine")
        state: State = "warn" if named and not path.exists() else "ok"
        findings.append(Finding(what="configuration", state=state, detail=shown))
        async with open_context(settings) as context:
            findings += [_key(settings), Finding(what="base URL", state="ok", detail=settings.base_url)]
            findings += [await _live(settings, context), await _store(context), *_local(settings), _folders(context)]
            findings += await _choices(context)
    except ConfigurationError as error:
        findings.append(Finding(what="configuration", state="fail", detail=redact(str(error))))
    return [*findings, *await _clients()]


async def _clients() -> list[Finding]:
    """Each client of this machine: whether our server is in its configuration, and whether what stands there answers."""
    findings: list[Finding] = []
    for found in find_clients(project=Path.cwd(), home=Path.home()):
        what = f"client {found.client.name}"
        if found.fault is not None:
            findings.append(Finding(what=what, state="warn", detail=redact(found.fault)))
        elif not found.configured:
            detail = f"not set up: groq-fallback-mcp setup {found.client.name}"
            findings.append(Finding(what=what, state="ok", detail=detail))
        for scope, path, command in found.configured:
            answer = await answers(command)
            state: State = "ok" if answer is None else "warn"
            detail = f"{scope}, {path}: " + ("the server answers" if answer is None else answer)
            findings.append(Finding(what=what, state=state, detail=redact(detail)))
    return findings


def _key(settings: Settings) -> Finding:
    if settings.api_key is None:
        usable = settings.local != "off" and bool(available_models(settings.local_text_model))
        state: State = "warn" if usable or settings.providers else "fail"
        detail = "there is none: export GROQ_API_KEY where the MCP client is started, or run `groq-fallback-mcp key set`"
        return Finding(what="key", state=state, detail=detail)
    return Finding(
        what="key", state="ok", detail=f"{len(settings.api_key.get_secret_value())} characters, from {_key_source(settings)}"
    )


def _key_source(settings: Settings) -> str:
    if os.environ.get("GROQ_API_KEY"):
        return "the environment variable GROQ_API_KEY"
    kept = find_key(key_path())
    return kept.source if kept is not None and kept.key == settings.api_key else f"{config_path()}"


async def _live(settings: Settings, context: Context) -> Finding:
    if settings.api_key is None or settings.local == "only":
        return Finding(what="live list", state="warn", detail="not read: there is no key, or Groq is switched off")
    roster, catalog = context.gateway.roster, context.gateway.catalog
    live = await roster.live_list()
    if live.failure is not None or live.ids is None:
        reason = live.failure.message if live.failure is not None else "no answer"
        return Finding(
            what="live list", state="fail", detail=f"could not be read: {reason}; check the key, GROQ_BASE_URL and the network"
        )
    found = drift(catalog, live.ids, today(context.gateway.clock))
    detail = f"{len(live.ids)} models" + (f"; {found}" if found.differences() else ", as in the catalogue")
    if found.unknown or found.not_live:
        detail += "; `groq-fallback-mcp catalog update` writes that down for review"
    if ended := found.replacements():
        detail += f"; shut down and replaced: {ended}"
    return Finding(what="live list", state="warn" if found.differences() else "ok", detail=detail)


async def _store(context: Context) -> Finding:
    ledger = context.gateway.ledger
    await ledger.spending([today(context.gateway.clock).isoformat()])
    status = ledger.status
    if status.degraded is not None:
        detail = f"{status.store} cannot be used, limits are kept in each process at a cautious share: {status.degraded}"
        return Finding(what="quota store", state="warn", detail=detail)
    return Finding(what="quota store", state="ok", detail=f"{status.store}, {status.place}")


def _local(settings: Settings) -> Sequence[Finding]:
    if settings.local == "off":
        return [Finding(what="local models", state="ok", detail="switched off by GROQ_FALLBACK_LOCAL")]
    found = available_models(settings.local_text_model)
    missing = missing_parts(settings.local_text_model)
    findings = [Finding(what="local models", state="ok" if found else "warn", detail=", ".join(found) or "none installed")]
    return findings + [
        Finding(what="local models", state="warn", detail=f"{part.what} is missing, needed for {part.serves}: {part.command}")
        for part in missing
    ]


def _folders(context: Context) -> Finding:
    if not context.folders:
        detail = "none: started in the root or home folder; set GROQ_FALLBACK_FILES to let transcribe read files"
        return Finding(what="folders", state="warn", detail=detail)
    missing = [str(folder) for folder in context.folders if not folder.is_dir()]
    if missing:
        return Finding(what="folders", state="warn", detail=f"not there: {', '.join(missing)}")
    return Finding(what="folders", state="ok", detail=", ".join(str(folder) for folder in context.folders))


async def _choices(context: Context) -> Sequence[Finding]:
    chat = ChatRequest(messages=({"role": "user", "content": "hello"},))
    requests: dict[str, ChatRequest | AudioRequest] = {
        "a short question": chat,
        "a transcription": AudioRequest(audio=AudioLink(url="https://example.com/a.wav")),
    }
    findings: list[Finding] = []
    for words, request in requests.items():
        candidates = (await context.gateway.plan(request)).candidates
        providers = context.gateway.roster.providers
        names = [label(c.provider, c.model) for c in candidates if providers[c.provider].unready is None]
        unready = {c.provider: providers[c.provider].unready for c in candidates if providers[c.provider].unready is not None}
        state: State = "fail" if not names else "warn" if unready else "ok"
        detail = ", then ".join(names) or "nobody"
        detail += "".join(f"; {provider} cannot be asked, {reason}" for provider, reason in unready.items())
        findings.append(Finding(what=f"{words} would ask", state=state, detail=detail))
    return findings
