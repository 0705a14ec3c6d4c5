"""`dashboard`: a one-time link to the dashboard of a running server, opened in the browser."""

from __future__ import annotations

import json
import os
import re
import webbrowser

import anyio.to_thread

from groq_fallback_mcp.addresses import check_base_url, is_loopback_url
from groq_fallback_mcp.call import Failure
from groq_fallback_mcp.cli.console import echo, note
from groq_fallback_mcp.cli.gateway_reply import OK, is_gateway, reply_of
from groq_fallback_mcp.cli.setup_gateway import DEFAULT_PORT, given_token
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.dashboard.app import LINK, OPEN
from groq_fallback_mcp.errors import ConfigurationError, GroqFallbackError
from groq_fallback_mcp.gateway_token import gateway_token
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.providers.reply import Reply
from groq_fallback_mcp.render import capitalized, excerpt
from groq_fallback_mcp.settings import Settings, load_settings, state_folder

__all__ = ["open_dashboard"]

_PATH = re.compile(re.escape(OPEN) + r"\?code=[A-Za-z0-9_-]{16,128}")
_WHY = {
    401: ("refused the token", "Use the token of that server: set GROQ_FALLBACK_HTTP_TOKEN"),
    403: ("shows its dashboard to the owner's token only", f"Run {SCRIPT} dashboard as the owner, without a named token"),
    404: ("has no dashboard", f"Update {SCRIPT} there, and start it again"),
    405: ("has no dashboard", f"Update {SCRIPT} there, and start it again"),
    421: ("does not accept this host name", "Add its host to GROQ_FALLBACK_HTTP_HOSTS on the server"),
}


async def open_dashboard(url: str | None, *, opens: bool) -> int:
    """Print the link and open it, unless there is no browser or `opens` is false. Raises ConfigurationError where no server gives one."""
    settings = load_settings()
    address = _address(url, settings)
    link = await _link(address, settings)
    echo(link)
    note("The link works once, within 60 seconds.")
    if opens and not await anyio.to_thread.run_sync(_opened, link):
        note("No browser could be started. Open the link in one.")
    return 0


def _address(url: str | None, settings: Settings) -> str:
    if url is None:
        return f"http://127.0.0.1:{settings.gateway_port or DEFAULT_PORT}"
    try:
        return check_base_url(url).rstrip("/").removesuffix("/v1")
    except ValueError as error:
        raise ConfigurationError(
            capitalized(str(error)), next_step="Use --url http://127.0.0.1:8788, or https://HOST"
        ) from None


async def _link(address: str, settings: Settings) -> str:
    # what answers is not shown the token before it says that it is one of ours
    if not await is_gateway(address):
        raise _nobody(address)
    reply = await reply_of(address, LINK, method="POST", token=_token(address, settings))
    if isinstance(reply, Failure):
        raise _nobody(address)
    if reply.status != OK:
        cause, step = _WHY.get(reply.status, (f"answered with status {reply.status}", "See its log"))
        raise ConfigurationError(f"The server at {address} {cause}", next_step=step)
    path = _path(reply)
    if path is None:
        raise ConfigurationError(
            f"The server at {address} gave no link ({excerpt(reply.body.decode(errors='replace'))})",
            next_step="Check the address",
        )
    return address + path


def _path(reply: Reply) -> str | None:
    try:
        found: object = json.loads(reply.body)
    except ValueError:
        return None
    path = found.get("path") if is_object(found) else None
    return path if isinstance(path, str) and _PATH.fullmatch(path) else None


def _nobody(address: str) -> GroqFallbackError:
    step = f"Start it: {SCRIPT} gateway" if _is_here(address) else "Check the address, and that the gateway is running there"
    return ConfigurationError(f"No gateway answers at {address}", next_step=step)


def _token(address: str, settings: Settings) -> str:
    """The setting, else the token made on this machine; of a server elsewhere what is typed without being shown, or piped."""
    if settings.http_token is None and _is_here(address):
        return gateway_token(state_folder())
    return given_token(settings)


def _is_here(address: str) -> bool:
    return is_loopback_url(address)


def _opened(link: str) -> bool:
    """Whether a browser was started. One that would take over this terminal is only started where BROWSER names it."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    in_terminal = type(browser) is webbrowser.GenericBrowser and "BROWSER" not in os.environ
    return not in_terminal and browser.open(link)
