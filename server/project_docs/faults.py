"""The block `faults`: each fault that was found, the tests and corpus rows that hold it, and what came out before and after."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, TypeAdapter

from groq_fallback_mcp.errors import InputRefused
from project_docs.blocks import table
from project_docs.coverage import marked_tests

__all__ = ["CORPUS", "ROWS", "faults_block"]

ROWS = "tests/faults.toml"
CORPUS = tuple(f"tests/corpus/{name}.json" for name in ("upstream", "arguments", "recordings"))
MARKER = "fault"
SHOWN_TESTS = 2


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    row: str
    fault: str
    before: str
    after: str


def faults_block(rows: str, tests: Mapping[str, str], corpus: Mapping[str, str]) -> str:
    """The table. `rows` is the text of ROWS, `tests` the sources of the test files and `corpus` the texts of CORPUS by path.

    Raises InputRefused for a fault without a test or without what came out after it was mended.
    """
    faults = TypeAdapter(list[_Fault]).validate_python(tomllib.loads(rows)["fault"])
    marked = marked_tests(tests, MARKER)
    played = {path: [case["row"] for case in json.loads(text)["cases"]] for path, text in corpus.items()}
    known = {fault.row for fault in faults}
    for name in (*marked, *(row for names in played.values() for row in names)):
        if name not in known:
            raise InputRefused(f"{name!r} is not a row of {ROWS}", next_step="correct the marker or the corpus")
    lines: list[tuple[str, ...]] = []
    for fault in faults:
        covering = marked.get(fault.row, [])
        counts = [(path, names.count(fault.row)) for path, names in played.items() if fault.row in names]
        if not fault.after or not (covering or counts):
            raise InputRefused(f"the fault {fault.row} has no test or no result in {ROWS}", next_step="add it")
        shown = [f"[{name}]({path})" for path, name in covering[:SHOWN_TESTS]]
        shown += [f"{len(covering) - SHOWN_TESTS} more"] if len(covering) > SHOWN_TESTS else []
        shown += [f"{count} rows of [{path.rsplit('/', 1)[-1]}]({path})" for path, count in counts]
        lines.append((fault.row, fault.fault, "; ".join(shown), fault.before, fault.after))
    return table(("Row", "Fault", "Tests", "Before", "After"), lines)
