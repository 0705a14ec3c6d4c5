"""The one exit: whatever leaves this process as text passes `sanitize`, `sanitize_json` or `sanitize_message`.

Tool results, errors, progress, saved and kept files, the answer cache, job folders, logs and the terminal. Taken out are
the configured secrets, in every form in which an upstream may echo them, and terminal control sequences; what JSON readers
refuse is replaced. Secrets register themselves where they are loaded, so no caller has to pass them on.

Upstream error texts quote organization ids, and a careless proxy may echo the Authorization header: messages also pass `redact`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from groq_fallback_mcp.json_types import is_array, is_mapping

__all__ = [
    "SHORTEST_SECRET",
    "clean_json",
    "is_clean_json",
    "redact",
    "register_keys",
    "register_secrets",
    "sanitize",
    "sanitize_json",
    "sanitize_message",
    "settled_end",
]

_LOOKS_LIKE_A_KEY = (
    (re.compile(r"\borg_[A-Za-z0-9]+"), "org_[redacted]"),
    (re.compile(r"\bproject_[A-Za-z0-9]{8,}"), "project_[redacted]"),
    (re.compile(r"(?i)\bbearer\s+[^\s\"',;]+"), "Bearer [redacted]"),
    (re.compile(r"\b(gsk|sk|pk|rk|xai)[-_][A-Za-z0-9_\-*.]{6,}"), r"\1_[redacted]"),
)
REDACTED = "[redacted]"
# shorter ones would blot out words of every sentence
SHORTEST_SECRET = 6
# A shorter one of letters alone may be a word, as a password: it is taken out of messages, not out of answers.
SHORTEST_WORDLESS = 16
# Keys for local servers that take any, from the examples in the documentation of Ollama, LM Studio and OpenAI's clients: no secret, but
# a provider's name or a word.
PLACEHOLDERS = frozenset({"ollama", "lm-studio", "lmstudio", "llamacpp", "not-needed"})
MOST_SECRETS = 1_000
# of base64 that may stand anywhere in a longer text: shorter ones are found in ordinary words
SHORTEST_ENCODED = 8
# Escapes inside escapes; a deeper nesting is nobody's accident.
MOST_DECODINGS = 3

# Whole sequences, so that no remains of them are shown: CSI (colors, cursor), OSC (title, clipboard, links), DCS and their kin.
# A sequence without an end loses its beginning only: the text after it is the answer's.
_CONTROL_SEQUENCE = (
    r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]{0,8192}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,16}[0-~]"
)
# C0 but for tab and line feed, DEL, C1; then what is invisible and changes how the text around it is shown or read:
# joiners without width, BiDi embeddings, overrides and isolates, annotations, tags. The joiners and direction marks
# that scripts and emoji need (U+200B to U+200F, U+061C) stay, and tags where they make a flag of a black one.
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u180e\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
_BEGUN_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x00-\x1f\x7f-\x9f]*|[ -/]*)\Z")
LONGEST_SEQUENCE = 256
_CONTROL = re.compile(f"[{_CONTROLS}]")
_CONTROL_RUN = re.compile(
    rf"(?P<flag>\U0001f3f4[\U000e0030-\U000e007a]{{1,8}}\U000e007f)|\r\n?|(?P<broken>[\x00\ud800-\udfff])|{_CONTROL_SEQUENCE}|[{_CONTROLS}]"
)
_COMPACT = json.JSONEncoder(separators=(",", ":")).encode
_ASCII_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n")
# Shown as nothing, so a secret may be hidden from a plain search by them.
_INVISIBLE = re.compile("[\xad\u034f\u061c\u200b-\u200f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Of addresses, JSON, Python and HTML. It begins with a set of characters: the search runs from one of them to the next.
_ESCAPE = re.compile(
    r"[%\\&](?:(?<=%)([0-9A-Fa-f]{2})|(?<=\\)(?:[uU]00([0-9A-Fa-f]{2})|x([0-9A-Fa-f]{2})|([\"\\/]))"
    r"|(?<=&)#(?:(\d{1,3})|[xX]([0-9A-Fa-f]{1,2}));)"
)
# The first byte of what JSON escapes in a text without controls.
_HARMLESS_ESCAPES = {"n", "t", '"', "/"}


def redact(text: str) -> str:
    """`text` without whatever looks like a key or an organization id."""
    for pattern, substitute in _LOOKS_LIKE_A_KEY:
        text = pattern.sub(substitute, text)
    return text


def register_secrets(*secrets: str) -> None:
    """Take these out of everything that leaves from now on. Those under SHORTEST_SECRET characters are not.

    Those that may be words are taken out of messages only.
    """
    words = {secret for secret in secrets if len(secret) < SHORTEST_WORDLESS and secret.isalpha()}
    _secrets.add(tuple(secret for secret in secrets if secret not in words))
    _words.add(tuple(words))


def register_keys(*keys: str) -> None:
    """The same of keys of providers, but for PLACEHOLDERS."""
    register_secrets(*(key for key in keys if key.lower() not in PLACEHOLDERS))


def sanitize(text: str) -> str:
    """`text` without the registered secrets and terminal controls; NUL and lone surrogates become U+FFFD, CR a line feed.

    For what was asked for: answers and transcripts. What merely looks like a key stays, as an answer may be about keys.
    """
    if _may_hold_controls(text):
        text = _CONTROL_RUN.sub(_uncontrolled, text)
    return _secrets.removed_from(text)


def sanitize_json(value: Any) -> Any:
    """`value` with every text and name in it sanitized, and numbers that JSON does not know replaced by null."""
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_mapping(value):
        return {sanitize(str(key)): sanitize_json(item) for key, item in value.items()}
    if is_array(value):
        return [sanitize_json(item) for item in value]
    return value


def settled_end(text: str) -> int:
    """The index up to which a text that comes in pieces can be shown: what follows it may begin a secret or a control sequence."""
    end = len(text)
    if text.endswith("\r") or "\ud800" <= text[-1:] <= "\udbff":
        end -= 1
    escape = text.rfind("\x1b", max(end - LONGEST_SEQUENCE, 0), end)
    if escape >= 0 and _BEGUN_SEQUENCE.match(text, escape) is not None:
        end = escape
    return end - _secrets.begun_at_the_end_of(text[:end])


def clean_json(value: Any) -> bytes:
    """`value` sanitized and written as JSON of ASCII, without spaces."""
    written = _COMPACT(value).encode()
    return written if is_clean_json(written) else _COMPACT(sanitize_json(value)).encode()


def sanitize_message(text: str) -> str:
    """`text` sanitized, and without whatever looks like a key or an organization id: for errors, logs and notes."""
    return redact(_words.removed_from(sanitize(text)))


def is_clean_json(written: bytes) -> bool:
    """Whether `sanitize_json` surely changes nothing in what was written as JSON: far faster than value by value."""
    if b"NaN" in written or b"Infinity" in written:
        return False
    text = written.decode("utf-8", "replace").replace("\\\\", "\0")
    if not {after[:1] for after in text.split("\\")[1:]} <= _HARMLESS_ESCAPES:
        return False
    text = text.replace("\\n", "\n").replace('\\"', '"').replace("\\", "").replace("\0", "\\")
    return not _may_hold_controls(text) and not _secrets.may_be_in(text)


def _may_hold_controls(text: str) -> bool:
    """In a fraction of the time that the pattern takes, where the text is plain."""
    if text.isascii():
        written = text.encode()
        return len(written.translate(None, _ASCII_CONTROLS)) < len(written)
    return not text.replace("\n", "").replace("\t", "").isprintable() and _CONTROL.search(text) is not None


def _uncontrolled(found: re.Match[str]) -> str:
    if found["flag"] is not None:
        return found[0]
    if found["broken"] is not None:
        return "\ufffd"
    return "\n" if found[0].startswith("\r") else ""


class _Secrets:
    """The registered secrets, and how to find them: by plain search first, by patterns where that found something."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._forms: tuple[str, ...] = ()
        self._patterns: tuple[re.Pattern[str], ...] = ()
        self._escaped_patterns: tuple[re.Pattern[str], ...] = ()
        self._beginnings: frozenset[str] = frozenset()
        self._longest = 0

    def add(self, secrets: tuple[str, ...]) -> None:
        new = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET} - {*self._known}
        if not new:
            return
        # the longest first: one may be the beginning of another
        self._known = tuple(sorted({*self._known[: MOST_SECRETS - len(new)], *new}, key=len, reverse=True))
        self._forms = tuple(form.lower() for secret in self._known for form in (secret, *_encodings(secret)))
        self._patterns = self._escaped_patterns = ()
        self._beginnings = frozenset(form[:size] for form in self._forms for size in range(1, len(form)))
        self._longest = max(map(len, self._forms))

    def begun_at_the_end_of(self, text: str) -> int:
        """How many of the last characters are the beginning of a secret that more text may complete."""
        tail = text[1 - self._longest :].lower() if self._longest > 1 else ""
        return next((len(tail) - at for at in range(len(tail)) if tail[at:] in self._beginnings), 0)

    def may_be_in(self, text: str) -> bool:
        """Whether a secret is there as it is, escaped, or with something between that is not shown; never falsely denied."""
        if not self._known:
            return False
        if self._are_in(text) or (not text.isascii() and self._are_in(text.encode("ascii", "ignore").decode())):
            return True
        return any(self._are_in(decoded) for decoded in _decodings(text))

    def removed_from(self, text: str) -> str:
        if not self._known:
            return text
        text = self._removed_visible(text)
        return self._removed_escaped(text) if any(self._are_in(decoded) for decoded in _decodings(text)) else text

    def _removed_visible(self, text: str) -> str:
        if self._are_in(text):
            text = self._replaced(text)
        if not text.isascii() and self._are_in(text.encode("ascii", "ignore").decode()):
            visible = _INVISIBLE.sub("", text)
            text = self._replaced(visible) if self._are_in(visible) else text
        return text

    def _removed_escaped(self, text: str) -> str:
        if not self._escaped_patterns:
            self._escaped_patterns = tuple(re.compile("".join(map(_escaped_or_not, one))) for one in self._known)
        for pattern in self._escaped_patterns:
            text = pattern.sub(REDACTED, text)
        # an escaped encoding, or an escape within an escape, has no pattern: the text is shown as what it says
        for _ in range(MOST_DECODINGS):
            found = next((decoded for decoded in _decodings(text) if self._are_in(decoded)), None)
            if found is None:
                break
            text = self._removed_visible(found)
        return text

    def _are_in(self, text: str) -> bool:
        lowered = text.lower()
        return any(form in lowered for form in self._forms)

    def _replaced(self, text: str) -> str:
        if not self._patterns:
            self._patterns = tuple(re.compile(_pattern(secret)) for secret in self._known)
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text


def _decodings(text: str) -> Iterator[str]:
    """The text with its escapes read, and again with those that were in them."""
    for _ in range(MOST_DECODINGS):
        if _ESCAPE.search(text) is None:
            return
        text = _ESCAPE.sub(_unescaped, text)
        if _may_hold_controls(text):
            text = _CONTROL_RUN.sub(_uncontrolled, text)
        yield text


def _unescaped(found: re.Match[str]) -> str:
    percent, unicode, hexadecimal, escaped, decimal, entity = found.groups()
    if escaped is not None:
        return str(escaped)
    return chr(int(decimal)) if decimal is not None else chr(int(percent or unicode or hexadecimal or entity, 16))


def _encodings(secret: str) -> list[str]:
    """The secret in hexadecimal, and in base64 as it stands in the encoding of any longer text such as `Bearer SECRET`.

    Of the three ways in which its bytes may fall on base64's characters, each without those shared with its neighbors.
    """
    content = secret.encode("utf-8", "surrogatepass")
    found = [content.hex()]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + content).decode().rstrip("=")
        core = encoded[(0, 2, 3)[before] : (before + len(content)) * 8 // 6]
        if len(core) >= SHORTEST_ENCODED:
            found += [core, core.translate({ord("+"): "-", ord("/"): "_"})]
    return list(dict.fromkeys(found))


def _pattern(secret: str) -> str:
    hexadecimal, *base64s = _encodings(secret)
    # with what is left of the last character, and padding
    encoded = [re.escape(core) + "[A-Za-z0-9+/_-]?={0,2}" for core in base64s]
    return f"(?i:{'|'.join([re.escape(secret), hexadecimal, *encoded])})"


def _escaped_or_not(character: str) -> str:
    """A character in either case, as it is or escaped."""
    cases = {character, character.lower(), character.upper()}
    forms = [re.escape(case) for case in cases]
    for code in (ord(case) for case in cases if len(case) == 1 and case.isascii()):
        figure = "".join(f"[{digit}{digit.upper()}]" for digit in f"{code:02x}")
        forms += [f"%{figure}", rf"\\u00{figure}", rf"\\x{figure}", f"&#0?{code};", f"&#[xX]{figure};"]
    return rf"(?:{'|'.join(forms)})" if character.isalnum() else rf"\\?(?:{'|'.join(forms)})"


_secrets = _Secrets()
_words = _Secrets()
