"""Only public https addresses are handed to a provider (fault 41)."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.audio.link import check_link
from groq_fallback_mcp.errors import InputRefused


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/speech.mp3",
        "https://media.example.co.uk:8443/a%20b.wav?sig=abc&x=1#t=3",
        "https://xn--bcher-kva.example/ton.ogg",
        "https://example.com./a.wav",
        "HTTPS://EXAMPLE.COM/A.WAV",
    ],
)
def test_a_public_https_address_is_passed_on_unchanged(url: str) -> None:
    """Ports, encoded characters, signatures and punycode are all right."""
    assert check_link(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.wav",
        "ftp://example.com/a.wav",
        "file:///etc/hostname",
        "data:audio/wav;base64,AAAA",
        "//example.com/a.wav",
        "example.com/a.wav",
        "",
        "https://",
        "https:///a.wav",
        "https://user@example.com/a.wav",
        "https://user:secret@example.com/a.wav",
        "https://example.com@127.0.0.1/a.wav",
        "https://127.0.0.1/a.wav",
        "https://127.1/a.wav",
        "https://2130706433/a.wav",
        "https://0x7f000001/a.wav",
        "https://0x7f.0.0.0x1/a.wav",
        "https://0177.0.0.1/a.wav",
        "https://10.0.0.1/a.wav",
        "https://169.254.169.254/latest/meta-data",
        "https://93.184.216.34/a.wav",
        "https://[::1]/a.wav",
        "https://[2002:7f00:1::]/a.wav",
        "https://[::ffff:127.0.0.1]/a.wav",
        "https://[64:ff9b::7f00:1]/a.wav",
        "https://localhost/a.wav",
        "https://localhost./a.wav",
        "https://a.localhost/a.wav",
        "https://printer/a.wav",
        "https://nas.local/a.wav",
        "https://metadata.google.internal/a.wav",
        "https://router.home.arpa/a.wav",
        "https://example.com\\@127.0.0.1/a.wav",
        "https://example.com /a.wav",
        "https://example.com/a\n.wav",
        "https://ex\u3002ample.com/a.wav",
        "https://\u2460\u2461\u2466.0.0.1/a.wav",
        "https://example..com/a.wav",
        "https://-example.com/a.wav",
        "https://example.com:0/a.wav",
        "https://example.com:99999/a.wav",
        "https://example.com:port/a.wav",
        "https://[::1/a.wav",
        "https://example.com/" + "a" * 5_000,
    ],
)
def test_every_other_address_is_refused(url: str) -> None:
    """Other schemes, user information, IP addresses in any notation, private names, tricks of parsing."""
    with pytest.raises(InputRefused) as caught:
        check_link(url)
    assert "https URL with a public host name" in caught.value.next_step


@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cr3t@example.com/",
        "https://nas.local/a?sig=s3cr3t",
        "http://example.com/s3cr3t",
        "https://10.0.0.1/s3cr3t",
    ],
)
def test_a_refusal_repeats_no_secret_of_the_address(url: str) -> None:
    """Passwords, paths and signatures stay out of messages."""
    with pytest.raises(InputRefused) as caught:
        check_link(url)
    assert "s3cr3t" not in str(caught.value)


def test_checking_opens_no_connection_and_asks_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process itself fetches nothing."""

    def forbidden(*args: object, **kwargs: object) -> None:
        pytest.fail("the network was touched")

    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.setattr(socket, "socket", forbidden)

    assert check_link("https://example.com/a.wav").url == "https://example.com/a.wav"


@given(st.text(max_size=40), st.sampled_from(["", "https://", "https://[", "https://example.com:"]))
def test_any_text_is_either_taken_or_refused(text: str, start: str) -> None:
    """No input raises anything else, and what is taken is https with a dotted host."""
    try:
        link = check_link(start + text)
    except InputRefused:
        return
    assert link.url.lower().startswith("https://")
    assert "." in link.url
