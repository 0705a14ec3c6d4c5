"""The blocks `seed` and `abilities`: each row of the seed document, and each real client, with the tests that cover it.

Tests say what they cover by the marker `covers`; it is read from their source, so nothing is run for the table.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from groq_fallback_mcp.catalog import Catalog, Kind, ModelRow
from groq_fallback_mcp.errors import InputRefused
from project_docs.blocks import code, table

__all__ = ["ABILITIES", "SEED", "SeedRow", "abilities", "abilities_block", "marked_tests", "seed_block", "seed_rows"]

SEED = "groq-api-seed-2026-02-13"
_TOOL = {
    Kind.CHAT: "groq_chat",
    Kind.SYSTEM: "groq_chat",
    Kind.SPEECH_TO_TEXT: "transcribe",
    Kind.TEXT_TO_SPEECH: "speak",
    Kind.GUARD: "screen",
}
_COMMAND = {"groq_chat": "chat", "transcribe": "transcribe", "speak": "speak", "screen": "screen"}
_ENDPOINT_COMMAND = {"models": "models", "chat/completions": "chat", "audio/transcriptions": "transcribe"}
_ADVICE = {
    "Monitor headers": ("check_limits", "limits"),
    "Implement backoff": ("every tool", "simulate --fault '*=503x1'"),
    "Cache responses": ("groq_chat", "chat"),
    "Batch requests": ("groq_chat `prompts`, batch_submit", "call batch_submit"),
    "Small model": ("groq_chat", "chat --use-case fast"),
    "Prompt caching": ("groq_chat", "chat"),
    "Bounded answers": ("groq_chat", "chat --max-tokens 200"),
    "Turbo transcription": ("transcribe", "transcribe"),
    "Usual window": ("list_models", "models"),
    "Largest window": ("list_models", "models --retired"),
    "Token usage": ("groq_chat", "chat --json"),
    "Streaming": ("groq_chat", "chat"),
    "RateLimitError": ("every tool", "simulate --fault '*=429'"),
    "APIConnectionError": ("every tool", "doctor"),
    "APIError": ("every tool", "simulate --fault '*=500'"),
}
MARKER = "covers"
CLIENT_MARKER = "client"
ABILITIES = (
    "connects",
    "lists",
    "calls",
    "falls back",
    "transcribes",
    "sees errors",
    "long calls",
    "set up by us",
    "skill",
    "cleans up",
)
SHOWN_TESTS = 2


def seed_block(catalog: Catalog, tests: Mapping[str, str]) -> str:
    """The table. `tests` holds the sources of the test files by path. Raises InputRefused for a row that no test covers."""
    found = marked_tests(tests, MARKER)
    rows = list(seed_rows(catalog))
    unknown = [name for name in found if not any(fnmatchcase(row.name, name) for row in rows)]
    if unknown:
        path, test = found[unknown[0]][0]
        raise InputRefused(f"{path}, {test} covers {unknown[0]!r}, which is no row of the seed", next_step="correct the marker")
    lines: list[tuple[str, ...]] = []
    for row in rows:
        covering = [test for name, tests_ in found.items() if fnmatchcase(row.name, name) for test in tests_]
        if not covering:
            raise InputRefused(
                f"no test covers the seed's row {row.name!r}", next_step=f'mark one with @pytest.mark.{MARKER}("{row.name}")'
            )
        shown = "; ".join(f"[{test}]({path})" for path, test in covering[:SHOWN_TESTS])
        more = f" and {len(covering) - SHOWN_TESTS} more" if len(covering) > SHOWN_TESTS else ""
        lines.append((row.words, row.tool, code(row.command), shown + more))
    return table(("Row of the seed document", "Tool", "Command", "Tests"), lines)


def abilities_block(tests: Mapping[str, str]) -> str:
    """Which real client was shown to do what, each with its test. Raises InputRefused for an ability that is none."""
    rows = [
        (client, *(f"[yes]({shown[ability][0]})" if ability in shown else "-" for ability in ABILITIES))
        for client, shown in sorted(abilities(tests).items())
    ]
    return table(("Client", *ABILITIES), rows)


def abilities(tests: Mapping[str, str]) -> dict[str, dict[str, tuple[str, str]]]:
    """For each real client what it was shown to do, with the path and the name of the test.

    Raises InputRefused for an ability that is none.
    """
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for path, name, (client, *shown) in _marks(tests, CLIENT_MARKER):
        for ability in shown:
            if ability not in ABILITIES:
                raise InputRefused(
                    f"{path}, {name} shows {ability!r}, which is no ability", next_step=f"write one of {', '.join(ABILITIES)}"
                )
            found.setdefault(client, {}).setdefault(ability, (path, name))
    return found


def marked_tests(tests: Mapping[str, str], marker: str) -> dict[str, list[tuple[str, str]]]:
    """By the name or pattern given to a marker: the path and the name of each test that has it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, test, names in _marks(tests, marker):
        for name in names:
            found.setdefault(name, []).append((path, test))
    return found


def _marks(tests: Mapping[str, str], marker: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each test with the marker, its own or its module's: its path, its name, and what the marker was given."""
    for path, source in sorted(tests.items()):
        if f".{marker}(" not in source:
            # parsing takes most of the time
            continue
        tree = ast.parse(source)
        of_all = [names for node in tree.body if _sets_pytestmark(node) for names in _given(ast.walk(node), marker)]
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            inherited = of_all if node.name.startswith("test_") else []
            for names in [*_given(node.decorator_list, marker), *inherited]:
                yield path, node.name, names


def _sets_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "pytestmark" for name in node.targets)


def _given(nodes: Iterable[ast.AST], marker: str) -> Iterator[list[str]]:
    """What each call of the marker among the nodes was given."""
    for call in nodes:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == marker:
            yield [str(part.value) for part in call.args if isinstance(part, ast.Constant)]


@dataclass(frozen=True, slots=True)
class SeedRow:
    """A row by the name that test markers give it, its words, and how it is reached."""

    name: str
    words: str
    tool: str
    command: str


def seed_rows(catalog: Catalog) -> Iterator[SeedRow]:
    """All rows, in the order of the document."""
    yield from (_model(row) for row in catalog.models.values() if row.source == SEED)
    yield from _limits(catalog)
    yield from _interface(catalog)
    yield from _errors(catalog)
    yield from _practices(catalog)
    for sdk in catalog.sdks:
        if sdk.source == SEED:
            yield SeedRow(f"sdks/{sdk.package}", f"SDK {sdk.package} ({sdk.language})", "the simulator", "simulate")
    yield SeedRow("sdks/openai", "OpenAI's SDK with another base URL", "the simulator", "simulate")


def _limits(catalog: Catalog) -> Iterator[SeedRow]:
    for row in catalog.limit_rows:
        if row.source == SEED:
            yield SeedRow(f"limits/{row.model}", f"Rate limits of {row.model}", "check_limits", f"limits --model {row.model}")
    for told in catalog.headers:
        if told.source == SEED:
            yield SeedRow(f"headers/{told.header}", f"Header {told.header}", "check_limits", "limits")


def _interface(catalog: Catalog) -> Iterator[SeedRow]:
    yield SeedRow("api/base_url", "Base URL", "every tool", "doctor")
    yield SeedRow("api/authentication", "Authentication", "every tool", "doctor, key set")
    for row in catalog.endpoints:
        if row.source == SEED:
            command = _ENDPOINT_COMMAND[row.path]
            yield SeedRow(f"endpoints/{row.path}", f"{row.method} {row.path}", row.reached_by, command)
    yield SeedRow(
        "litellm/prefix", "LiteLLM Integration: the prefix groq/", "groq_chat", "chat --model groq/openai/gpt-oss-20b"
    )


def _errors(catalog: Catalog) -> Iterator[SeedRow]:
    for row in catalog.errors:
        if row.source == SEED:
            yield SeedRow(f"statuses/{row.status}", f"Status {row.status}: {row.meaning}", "every tool", "simulate --fault")
    for known in catalog.error_codes:
        if known.source == SEED:
            words = f"{known.title or known.code}: {known.code}"
            yield SeedRow(f"codes/{known.code}", words, "every tool", "simulate --fault")


def _practices(catalog: Catalog) -> Iterator[SeedRow]:
    for row in catalog.practices.values():
        if row.source == SEED:
            command = f"chat --use-case {row.use_case}" if row.tool == "groq_chat" else row.tool
            yield SeedRow(f"practices/{row.use_case}", f"Practice 1, {row.title}", row.tool, command)
    numbers = {"rate_limits": 2, "cost": 3, "context_window": 4, "errors": 5}
    for advice in catalog.advice:
        if advice.source == SEED:
            tool, command = _ADVICE[advice.title]
            yield SeedRow(f"advice/{advice.title}", f"Practice {numbers[advice.topic]}, {advice.title}", tool, command)


def _model(model: ModelRow) -> SeedRow:
    tool = _TOOL[model.kind]
    return SeedRow(f"models/{model.id}", f"Model {model.id}", tool, f"{_COMMAND[tool]} --model {model.id}")
