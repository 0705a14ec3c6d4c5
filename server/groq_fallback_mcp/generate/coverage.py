"""The block `seed`: each row of the seed document with the tool, the command and the tests that cover it.

Tests say what they cover by the marker `covers`; it is read from their source, so nothing is run for the table.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.generate.markdown import code, table
from groq_fallback_mcp.generate.seed_rows import seed_rows

__all__ = ["covering_tests", "seed_block"]

MARKER = "covers"
SHOWN_TESTS = 2


def seed_block(catalog: Catalog, tests: Mapping[str, str]) -> str:
    """The table. `tests` holds the sources of the test files by path. Raises InputRefused for a row that no test covers."""
    found = covering_tests(tests)
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


def covering_tests(tests: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """By the name or pattern given to the marker: the path and the name of each test that has it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, source in sorted(tests.items()):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for name in _marked(node):
                    found.setdefault(name, []).append((path, node.name))
    return found


def _marked(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute) and decorator.func.attr == MARKER:
            yield from (str(part.value) for part in decorator.args if isinstance(part, ast.Constant))
