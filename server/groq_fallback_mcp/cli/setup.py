"""`setup`: puts the server into a client's configuration, shows what would change, and checks that the client can reach it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
import typer

from groq_fallback_mcp.cli.console import echo
from groq_fallback_mcp.cli.local_servers import found_servers, found_statement
from groq_fallback_mcp.clients.change import Wanted, apply, find_clients, plan
from groq_fallback_mcp.clients.client import CLIENTS, SERVER, Client, Scope
from groq_fallback_mcp.clients.config_file import write_text
from groq_fallback_mcp.clients.entry import find_command, with_server
from groq_fallback_mcp.clients.gateway_clients import GATEWAY_CLIENTS
from groq_fallback_mcp.command import SCRIPT, shared_command
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.settings import load_settings

__all__ = ["setup"]

HEALTH_S = 60.0
SHOWN_LINES = 12


def setup(
    name: str | None,
    *,
    scope: Scope | None,
    dry_run: bool,
    remove: bool,
    with_key: bool,
    toolsets: str | None,
    skill: bool,
    check: bool,
) -> int:
    """Set one client up, or list those of this machine and ask. 1 where the client cannot reach the server."""
    if name is None:
        return _choose(dry_run=dry_run, remove=remove, with_key=with_key, toolsets=toolsets, skill=skill, check=check)
    client = CLIENTS.get(name)
    if client is None and name in GATEWAY_CLIENTS:
        raise InputRefused(
            f"{GATEWAY_CLIENTS[name].title} can only be set up for the gateway",
            next_step=f"Run {SCRIPT} setup {name} --gateway",
        )
    if client is None:
        raise InputRefused(f"Unknown client {name[:80]!r}", next_step=f"Give one of {', '.join(CLIENTS)}")
    wanted = Wanted(
        client=client,
        scope=scope or client.scopes[0],
        remove=remove,
        skill=skill,
        key=_key() if with_key else None,
        environment={} if toolsets is None else {"GROQ_FALLBACK_TOOLSETS": toolsets},
    )
    change = plan(wanted, project=Path.cwd(), home=Path.home())
    if not change.changes_config and not change.changes_skill:
        echo(f"{client.title}: {'not set up in' if remove else 'already set up in'} {change.path}")
    if dry_run:
        echo(_discreet(change.diff(), wanted.key), nl=False)
    if not dry_run:
        # also where nothing changes: a folder that set-up made may be left
        for line in apply(change):
            echo(line)
    _say(change.notes, found=None if remove else found_statement(anyio.run(found_servers)))
    if dry_run or remove or not check:
        return 0
    return _checked(wanted)


def _say(notes: Sequence[str], *, found: str | None) -> None:
    for note in notes:
        echo(f"Note: {note}")
    if found is not None:
        echo(found)


def _choose(*, dry_run: bool, remove: bool, with_key: bool, toolsets: str | None, skill: bool, check: bool) -> int:
    found = find_clients(project=Path.cwd(), home=Path.home())
    if not found:
        echo(f"No supported client found. Specify one of: {', '.join(CLIENTS)}")
        return 0
    for entry in found:
        where = ", ".join(str(one.path) for one in entry.configured)
        state = entry.fault or (f"set up in {where}" if where else "not set up")
        echo(f"{entry.client.name}: {state}")
    if not sys.stdin.isatty():
        echo("Next step: groq-fallback-mcp setup CLIENT [--scope project|global]")
        return 0
    worst = 0
    for entry in found:
        if bool(entry.configured) is remove and entry.fault is None:
            verb = "Remove it from" if remove else "Set up"
            if typer.confirm(f"{verb} {entry.client.title}?", default=not remove):
                # where it is, or in the client's usual place
                for scope in dict.fromkeys(one.scope for one in entry.configured) if remove else (None,):
                    status = setup(
                        entry.client.name,
                        scope=scope,
                        dry_run=dry_run,
                        remove=remove,
                        with_key=with_key,
                        toolsets=toolsets,
                        skill=skill,
                        check=check,
                    )
                    worst = max(worst, status)
    return worst


def _key() -> str:
    settings = load_settings()
    if settings.api_key is None:
        raise InputRefused(
            "No API key is set, so none was written", next_step="Run groq-fallback-mcp key set first, or omit --key"
        )
    return settings.api_key.get_secret_value()


def _discreet(text: str, key: str | None) -> str:
    return text if key is None else text.replace(key, "(the key)")


def _checked(wanted: Wanted) -> int:
    """Whether the client itself can reach the server; nothing where it has no command for that.

    It is run in an empty folder: in the project it would also start whatever the project's own files name.
    """
    client = wanted.client
    command = next((found for name in client.commands if (found := find_command(name, project=Path.cwd()))), None)
    if command is None or not client.health:
        echo(f"Next step: restart {client.title} and check that the groq server is listed.")
        return 0
    with tempfile.TemporaryDirectory(prefix="groq-fallback-mcp-") as empty:
        if wanted.scope == "project":
            _write_alone(client, wanted, Path(empty))
        try:
            done = subprocess.run(  # noqa: S603 - the client's own command, found on the PATH outside the project
                [command, *client.health],
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=HEALTH_S,
                stdin=subprocess.DEVNULL,
                check=False,
                env={**os.environ, **client.health_environment},
                cwd=empty,
            )
        except subprocess.TimeoutExpired:
            echo(f"{client.title} did not answer within {HEALTH_S:g} s. Check it yourself: {client.commands[0]} mcp list")
            return 1
        except OSError as error:
            echo(f"{client.title} could not be started ({error.strerror}). Check it yourself.")
            return 1
    output = f"{done.stdout}\n{done.stderr}".strip()
    echo("\n".join(output.splitlines()[:SHOWN_LINES]))
    lines = [line for line in output.splitlines() if "groq" in line]
    if any(client.healthy in line for line in lines):
        # some only list what is configured
        echo(f"{client.title} {'lists' if client.healthy == SERVER else 'can reach'} the server.")
        return 0
    if any("pending" in line.lower() for line in lines):
        echo(f"{client.title} will ask you to approve the server when it next starts here.")
        return 0
    echo(f"{client.title} cannot reach the server (see above).")
    return 1


def _write_alone(client: Client, wanted: Wanted, folder: Path) -> None:
    """A project's file with nothing but our entry."""
    path = folder / client.project[0]
    entry = client.entry(shared_command(), wanted.environment)
    write_text(path, with_server("", client, entry, path=str(path)))
