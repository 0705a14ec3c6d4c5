"""`setup`: puts the server into a client's configuration, shows what would change, and asks the client how it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from groq_fallback_mcp.clients.client import CLIENTS, Client, Scope
from groq_fallback_mcp.clients.setup import Wanted, apply, find_clients, plan
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
    """Set one client up, or list those of this machine and ask. 1 where the client does not find the server well."""
    if name is None:
        return _choose(dry_run=dry_run, remove=remove, with_key=with_key, toolsets=toolsets, skill=skill, check=check)
    client = CLIENTS.get(name)
    if client is None:
        raise InputRefused(f"there is no client {name!r}", next_step=f"give one of {', '.join(CLIENTS)}")
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
        typer.echo(f"{client.title}: {'not set up in' if remove else 'already set up in'} {change.path}")
    elif dry_run:
        typer.echo(_discreet(change.diff(), wanted.key), nl=False)
    else:
        for line in apply(change):
            typer.echo(line)
    for note in change.notes:
        typer.echo(f"Note: {note}")
    if dry_run or remove or not check:
        return 0
    return _checked(client)


def _choose(*, dry_run: bool, remove: bool, with_key: bool, toolsets: str | None, skill: bool, check: bool) -> int:
    found = find_clients(project=Path.cwd(), home=Path.home())
    if not found:
        typer.echo(f"no client was found on this machine; name one: {', '.join(CLIENTS)}")
        return 0
    for entry in found:
        where = ", ".join(str(path) for _, path, _ in entry.configured)
        state = entry.fault or (f"set up in {where}" if where else "not set up")
        typer.echo(f"{entry.client.name}: {state}")
    if not sys.stdin.isatty():
        typer.echo("Next step: groq-fallback-mcp setup CLIENT [--scope project|global]")
        return 0
    worst = 0
    for entry in found:
        if bool(entry.configured) is remove and entry.fault is None:
            verb = "Remove it from" if remove else "Set up"
            if typer.confirm(f"{verb} {entry.client.title}?", default=False):
                status = setup(
                    entry.client.name,
                    scope=None,
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
        raise InputRefused("there is no key to write", next_step="export GROQ_API_KEY first, or leave --key out")
    return settings.api_key.get_secret_value()


def _discreet(text: str, key: str | None) -> str:
    return text if key is None else text.replace(key, "(the key)")


def _checked(client: Client) -> int:
    """What the client itself says of the server; nothing where it cannot be asked."""
    command = next((found for name in client.commands if (found := shutil.which(name))), None)
    if command is None or not client.health:
        typer.echo(f"Next step: start {client.title} and see that the server groq is there.")
        return 0
    try:
        done = subprocess.run(  # noqa: S603 - the client's own command, found on the PATH
            [command, *client.health],
            capture_output=True,
            text=True,
            timeout=HEALTH_S,
            stdin=subprocess.DEVNULL,
            check=False,
            env=os.environ,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        typer.echo(f"{client.title} could not be asked: {error}")
        return 1
    output = f"{done.stdout}\n{done.stderr}".strip()
    typer.echo("\n".join(output.splitlines()[:SHOWN_LINES]))
    well = any("groq" in line and client.healthy in line for line in output.splitlines())
    typer.echo(f"{client.title} {'finds the server well' if well else 'does not find the server well: see above'}")
    return 0 if well else 1
