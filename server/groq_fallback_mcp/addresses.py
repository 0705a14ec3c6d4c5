"""What may stand in a setting that names a place on a network, or goes there: base URLs, proxies, keys."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["check_base_url", "host_and_port", "is_clean_key", "is_http_url", "is_loopback", "is_loopback_url", "is_proxy"]


def is_clean_key(value: str) -> bool:
    """Whether a key can stand in a header: printable ASCII without white space."""
    return value.isascii() and value.isprintable() and " " not in value


def check_base_url(value: str) -> str:
    """`value` without a trailing slash, its scheme in small letters. ValueError unless it is https, or http on loopback, without
    userinfo or query.
    """
    value = value.strip()
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        # the reason given quotes a part of the address, which may be of a password
        message = "the base URL is not a valid address; use https://HOST or https://HOST:PORT/PATH"
        raise ValueError(message) from None
    if parts.scheme not in {"http", "https"} or not host:
        message = f"the base URL{_quoted(value)} is not an http(s) address; use https://HOST"
        raise ValueError(message)
    if parts.username or parts.password or parts.query or parts.fragment:
        message = "the base URL contains user info, a query or a fragment; give only scheme, host, port and path"
        raise ValueError(message)
    if parts.scheme == "http" and not is_loopback(host):
        message = f"the base URL{_quoted(value)} uses http beyond loopback, which would send the key in clear text; use https"
        raise ValueError(message)
    return parts.scheme + value[len(parts.scheme) :].rstrip("/")


def host_and_port(host: str, port: int) -> str:
    """Both as a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_url(url: str) -> bool:
    """Whether an address leads to this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def is_proxy(value: str) -> bool:
    """Whether a value is the address of an http or https proxy, with or without user info."""
    if not is_http_url(value):
        return False
    parts = urlsplit(value)
    return is_clean_key(value) and parts.path in {"", "/"} and not (parts.query or parts.fragment)


def is_http_url(value: str) -> bool:
    """Whether a value is an http or https address."""
    try:
        parts = urlsplit(value)
        # reading the port is what checks it
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _quoted(url: str) -> str:
    """An address as a part of a sentence; nothing where it has what may be a secret: user info, a query or a fragment."""
    return "" if {"@", "?", "#"} & set(url) else f" {url!r}"
