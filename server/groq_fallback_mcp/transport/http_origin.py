"""Whether a request names this server as its host, and comes from a page of it: parsed and compared exactly. Pure.

A prefix is not enough: http://localhost:80.evil.example begins with http://localhost:80.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["is_own_host", "is_own_origin"]

LARGEST_PORT = 65_535
_PLACE = re.compile(r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?)(?::(?P<port>[0-9]{1,5}|\*))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<place>[^/]*)")
_USUAL_PORTS = {"http": 80, "https": 443}


def is_own_host(value: str, allowed: Sequence[str]) -> bool:
    """Whether a Host header is one of `allowed`: HOST, HOST:PORT, or HOST:* for any port. Case does not matter."""
    place = _parsed(value)
    # behind a proxy the scheme is not known here: without a port it may be the usual one of either
    return place is not None and any(_matches(place, one, {*_USUAL_PORTS.values()}) for one in allowed)


def is_own_origin(value: str, allowed: Sequence[str]) -> bool:
    """Whether an Origin header is http or https at one of `allowed`."""
    found = _ORIGIN.fullmatch(value.lower())
    place = None if found is None else _parsed(found["place"])
    return (
        place is not None
        and found is not None
        and any(_matches(place, one, {_USUAL_PORTS[found["scheme"]]}) for one in allowed)
    )


def _matches(place: tuple[str, int | None], allowed: str, usual: set[int]) -> bool:
    host, port = place
    found = _PLACE.fullmatch(allowed.lower())
    if found is None or found["host"] != host:
        return False
    if found["port"] == "*":
        return True
    wanted = None if found["port"] is None else int(found["port"])
    return wanted == port or (port is None and wanted in usual) or (wanted is None and port in usual)


def _parsed(value: str) -> tuple[str, int | None] | None:
    found = _PLACE.fullmatch(value.lower())
    if found is None or found["port"] == "*":
        return None
    port = None if found["port"] is None else int(found["port"])
    return (found["host"], port) if port is None or 0 < port <= LARGEST_PORT else None
