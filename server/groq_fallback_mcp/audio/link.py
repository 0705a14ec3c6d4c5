"""Whether an address may be handed to a provider to fetch. This process never fetches one itself."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from groq_fallback_mcp.call import AudioLink
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.render import excerpt

__all__ = ["check_link"]

LONGEST_URL = 4_096
_HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NOT_PUBLIC = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "arpa",
    "test",
    "invalid",
    "onion",
)
_NEXT_STEP = "Pass an https URL with a public host name, or a file in an allowed folder"


def check_link(url: str) -> AudioLink:
    """The address as an AudioLink. Raises InputRefused unless it is https with a public host name.

    Refused are other schemes, user information, IP addresses in any notation, and names that only resolve inside a
    network. What the name resolves to is not looked up: the provider, not this machine, fetches it. Messages repeat
    the host at most, as paths and queries of signed addresses are secrets.
    """
    if len(url) > LONGEST_URL:
        raise InputRefused(f"The URL has {len(url):,} characters, the limit is {LONGEST_URL:,}", next_step=_NEXT_STEP)
    # Parsers disagree about these, and where they disagree the host checked is not the host fetched.
    if not url.isascii() or not url.isprintable() or any(character in url for character in ' \\"<>^`{|}'):
        raise InputRefused(
            "The URL contains a space, a backslash or another character that must be encoded", next_step=_NEXT_STEP
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InputRefused("The URL cannot be parsed", next_step=_NEXT_STEP) from error
    if parts.scheme != "https":
        raise InputRefused(f"The URL begins with {parts.scheme[:20]!r}, not https", next_step=_NEXT_STEP)
    if "@" in parts.netloc:
        raise InputRefused("The URL contains a user name or password", next_step=_NEXT_STEP)
    if port == 0:
        raise InputRefused(f"The URL of host {excerpt(host)} has port 0", next_step=_NEXT_STEP)
    _require_public(host)
    return AudioLink(url=url)


def _require_public(host: str) -> None:
    name = host.removesuffix(".")
    # A last label that begins with a letter excludes every notation of an IPv4 address: dotted, decimal, octal, hex.
    if not _HOST.fullmatch(name):
        raise InputRefused(f"{excerpt(host)} is not a public host name; IP addresses are not accepted", next_step=_NEXT_STEP)
    if name.rsplit(".", 1)[-1] in _NOT_PUBLIC:
        raise InputRefused(f"{excerpt(host)} is a name of a private network", next_step=_NEXT_STEP)
