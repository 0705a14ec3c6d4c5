"""The decision records: each begins with its number, title, date and status, and the index holds them all."""

from __future__ import annotations

import pytest

from groq_fallback_mcp.errors import InputRefused
from project_docs.decisions import decisions_index

RECORD = "# 1. Fall back at once\n\nDate: 2026-11-23. Status: accepted.\n\n**Context.** ...\n"
LATER = "# 2. Wait first\n\nDate: 2026-11-24. Status: accepted.\n\n**Context.** ...\n"
PATH = "server/decisions/0001-fall-back-at-once.md"
RECORDS = {PATH: RECORD, "server/decisions/0002-wait-first.md": LATER}


def test_the_index_has_a_row_a_record() -> None:
    """With a link to it."""
    assert "| 1 | [Fall back at once](0001-fall-back-at-once.md) | 2026-11-23 | accepted |" in decisions_index(RECORDS)


@pytest.mark.parametrize("how", ["superseded by", "superseded in part by"])
def test_a_superseded_record_leads_to_the_later_one(how: str) -> None:
    """So that nobody follows a rule that no longer holds."""
    index = decisions_index({**RECORDS, PATH: RECORD.replace("accepted", f"{how} 2")})

    assert f"| {how} [2](0002-wait-first.md) |" in index


@pytest.mark.parametrize(
    "text",
    [
        RECORD.replace("Date: 2026-11-23. Status: accepted.\n\n", ""),
        RECORD.replace("2026-11-23", "yesterday"),
        RECORD.replace("accepted", "maybe"),
        RECORD.replace("# 1.", "# 3."),
        RECORD.replace("# 1. ", "# "),
    ],
)
def test_a_record_that_begins_otherwise_is_refused(text: str) -> None:
    """By its path, with how to begin."""
    with pytest.raises(InputRefused, match="0001-fall-back-at-once") as refused:
        decisions_index({**RECORDS, PATH: text})

    assert "Date: YYYY-MM-DD. Status: accepted." in refused.value.next_step


def test_a_record_that_is_superseded_by_none_that_exists_is_refused() -> None:
    """A number can be mistyped."""
    with pytest.raises(InputRefused, match="superseded by 9, which does not exist"):
        decisions_index({**RECORDS, PATH: RECORD.replace("accepted", "superseded by 9")})
