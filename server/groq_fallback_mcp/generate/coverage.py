"""The block `seed`: each row of the seed document with the tool, the command and the tests that cover it.

Tests say what they cover by the marker `covers`; it is read from their source, so nothing is run for the table.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.generate.markdown import code, table
from groq_fallback_mcp.generate.seed_rows import seed_rows

__all__ = ["abilities_block", "marked_tests", "seed_block"]

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
    "leaves nothing",
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
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for path, name, (client, *abilities) in _marks(tests, CLIENT_MARKER):
        for ability in abilities:
            if ability not in ABILITIES:
                raise InputRefused(
                    f"{path}, {name} shows {ability!r}, which is no ability", next_step=f"write one of {', '.join(ABILITIES)}"
                )
            found.setdefault(client, {}).setdefault(ability, (path, name))
    rows = [
        (client, *(f"[yes]({shown[ability][0]})" if ability in shown else "-" for ability in ABILITIES))
        for client, shown in sorted(found.items())
    ]
    return table(("Client", *ABILITIES), rows)


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
