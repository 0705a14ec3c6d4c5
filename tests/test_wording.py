"""What people and agents read is plain English: no words of a translation, no British spelling, no chains of colons.

A net over every string of the package that is shown, and over the documents. Docstrings are not shown. A pattern that a text needs
for a reason is in EXCEPTIONS, with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "server" / "groq_fallback_mcp"

# What is not written, and what is written instead.
FORBIDDEN = {
    r"\bis no (?!longer\b|more than\b|known\b)\w": "is not a",
    r"\bare no (?!longer\b)\w": "are not",
    r"\bthere is none\b": "not set",
    r"\bthat is none\b": "invalid",
    r"\bwhich there is not\b": "unknown",
    r"\bstands? in\b|\bstands there\b|\bstand in\b": "is in",
    r"\bstand-in\b": "simulator",
    r"\bis there already\b": "already exists",
    r"\bis not there\b": "does not exist",
    r"\bnot to be had\b": "not available",
    r"\bin (?:the )?place of\b": "instead of",
    r"\banew\b": "again, or start over",
    r"\bset aside\b": "moved to",
    r"\bleft out\b|\bleave (?:it|them|\w+) out\b|\bleaves out\b": "skipped, omitted",
    r"\bpassed over\b": "skipped",
    r"\bwithout asking\b": "skipped",
    r"\brests\b|\brest (?:for|only)\b": "cools down",
    r"\bwould ask\b|\bmay be asked\b|\bis asked\b|\bnot asked\b|\bcan be asked\b|\bcould be asked\b": "use, try",
    r"\basked for\b": "requested",
    r"\bwhoever\b|\bwhomever\b|\bwhom\b": "name the reader",
    r"\bnobody\b|\beverybody\b|\bsomebody\b": "no model, all models",
    r"\b(?:is|are|was|were|be|been|being) told\b|\btold by\b": "reports, shows",
    r"\bwritten down\b|\bwrites down\b|\bwrites that down\b": "transcribed, recorded",
    r"\bwords are data\b": "is data",
    r"\bof (?:your|his|its|one's|their) own\b": "own",
    r"\bwithout a word\b": "silently",
    r"\bby itself\b(?= on| and| when)": "automatically",
    r"\bsome \d[\d,]*\b": "about",
    r"\bholds? (?:no|nothing|a|an|the|characters|control|prompt|white)\b": "contains",
    r"\bwhite space\b": "spaces",
    r"\bkey ring\b": "keyring",
    r"\bthe way to\b(?= go)|\bgoes before it\b|\bgoes on from\b": "takes precedence, resumes",
    r"\bmended?\b|\bmends\b": "fix",
    r"\bcome back\b(?! with)|\bcomes back\b": "return",
    r"\bbegun\b|\bbegins? anew\b": "reset, start over",
    r"\bcannot be had\b|\bif need be\b": "not available, if needed",
    r"\bforgo(?:es|ne)?\b|\broused\b": "skip",
    r"\b(?:without|with) (?:a|an) .{0,20}\bof its own\b": "own",
    r"\bso many\b|\bsuch as\b(?= [`'\w./-]+[.,)]?$)": "e.g.",
    # American spelling
    r"\b(?:catalogue|organis\w*|licence|colou?rs?(?<!color)(?<!colors)|behaviour|recognis\w*|summaris\w*|initialis\w*)\b": "American spelling",
    r"\b(?:cancelling|labelled|modelled|favour\w*|honour\w*|centre|analyse[sd]?|learnt by|grey|whilst|artefact\w*)\b": "American spelling",
}
RULES = [(re.compile(pattern, re.IGNORECASE), better) for pattern, better in FORBIDDEN.items()]
# More than one colon that leads to more: "a: b: c". What is in backquotes or a URL does not count.
COLON = re.compile(r": (?=\S)")
MOST_COLONS = 1

# The plugin carries a copy of the skill, which is read where it is written.
SKIPPED = ("manifests/claude/marketplace/plugins/",)
# Where a forbidden pattern is right: the file, the words, and why.
EXCEPTIONS = {
    ("server/groq_fallback_mcp/audio/samples/__init__.py", "nobody"): "what is said in the sample recording",
    ("references/toolsets.md", "were told"): "an example of prompt injection",
    ("server/groq_fallback_mcp/providers/error_words.py", "*"): "patterns of other servers' words",
    ("server/groq_fallback_mcp/providers/rate_limit_headers.py", "*"): "patterns of other servers' words",
    ("server/groq_fallback_mcp/providers/classify.py", "*"): "patterns of other servers' words",
    ("server/groq_fallback_mcp/simulator/chat_completions.py", "*"): "patterns of prompts",
}
# Files that repeat an upstream's form of words, or that list data rather than messages: no count of colons.
COLONS_ALLOWED = (
    "server/groq_fallback_mcp/simulator/",
    "server/groq_fallback_mcp/providers/",
    "server/groq_fallback_mcp/quota/",
)
DOCUMENTS = (
    "*.md",
    "references/*.md",
    "server/groq_fallback_mcp/**/*.toml",
    "docs/**/*.md",
    "manifests/**/*.json",
    "manifests/**/*.md",
    "manifests/**/*.yaml",
)


def shown(source: str) -> Iterator[tuple[int, str]]:
    """The literals of a module that may be shown, with their lines; each f-string as one, its values as {}."""
    tree = ast.parse(source)
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node) if isinstance(part, ast.Constant)}
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    for part in ast.walk(value.value):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield part.lineno, part.value
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent | inside:
            yield node.lineno, node.value


def faults(path: str, line: int, text: str) -> list[str]:
    """What is wrong with a text, each with the place and what to write."""
    if " " not in text.strip() or (path, "*") in EXCEPTIONS:
        return []
    found: list[str] = []
    for rule, better in RULES:
        match = rule.search(text)
        if match is not None and (path, match[0].casefold()) not in EXCEPTIONS:
            found.append(f"{path}:{line}: {match[0]!r} (better: {better}) in {text[:100]!r}")
    return found


def chained(path: str, line: int, text: str) -> list[str]:
    """A sentence with more colons than one."""
    if path.startswith(COLONS_ALLOWED) or (path, "*") in EXCEPTIONS or not re.search(r"[a-z]{3} [a-z]", text):
        return []
    return [
        f"{path}:{line}: a chain of colons in {part[:100]!r}"
        for part in re.split(r"\n|(?<=[.?!]) |\. ", text)
        if len(COLON.findall(re.sub(r"`[^`]*`:?|\[[^\]]*\]|\{[^}]+\}", "", part.partition(" %(")[0]))) > MOST_COLONS
    ]


def modules() -> list[str]:
    """The package's modules by their path in the checkout."""
    return sorted(path.relative_to(CHECKOUT).as_posix() for path in PACKAGE.rglob("*.py"))


def documents() -> list[str]:
    """The documents by their path in the checkout; decisions are history."""
    return sorted({path.relative_to(CHECKOUT).as_posix() for pattern in DOCUMENTS for path in CHECKOUT.glob(pattern)})


@pytest.mark.parametrize("path", [path for path in modules() if not path.startswith(SKIPPED)])
def test_what_a_module_shows_is_plain_english(path: str) -> None:
    """Errors, notes, logs, descriptions and help."""
    literals = list(shown((CHECKOUT / path).read_text(encoding="utf-8")))
    assert [fault for line, text in literals for fault in (*faults(path, line, text), *chained(path, line, text))] == []


@pytest.mark.parametrize("path", [path for path in documents() if not path.startswith(SKIPPED)])
def test_a_document_is_plain_english(path: str) -> None:
    """Examples in code included: they are copied."""
    lines = (CHECKOUT / path).read_text(encoding="utf-8").splitlines()
    assert [fault for number, line in enumerate(lines, start=1) for fault in faults(path, number, line)] == []


def test_each_exception_is_needed() -> None:
    """One that no text needs any more would hide the next mistake."""
    for path, words in EXCEPTIONS:
        source = (CHECKOUT / path).read_text(encoding="utf-8")
        assert words == "*" or words in source.casefold(), (path, words)


@pytest.mark.parametrize(
    "text",
    [
        "'x' is no image by its content",
        "the file is there already",
        "limits begin anew",
        "the voice is not to be had now",
        "append the log in place of stderr",
        "a transcription would ask: nobody",
        "this model was left out",
        "rate limited without asking",
        "this one rests some seconds",
        "the recording is being written down",
        "the model catalogue",
        "SIMULATED: from a stand-in for Groq",
    ],
)
def test_the_net_catches_what_it_is_for(text: str) -> None:
    """Wordings of the first release."""
    assert faults("x.py", 1, text)


def test_the_net_catches_chains_of_colons_and_leaves_lists_alone() -> None:
    """`code: cause: detail` reads like a stack trace."""
    assert chained("x.py", 1, "config.toml: the value: not a number")
    assert not chained("x.py", 1, "the value is invalid: not a number")
