"""The block `failover`: what a client of the gateway gets when its first model fails, by fault."""

from __future__ import annotations

import tomllib
from itertools import groupby
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from project_docs.blocks import table

__all__ = ["VERDICTS", "failover_block"]

VERDICTS = "tests/gateway/failover.toml"
Verdict = Literal["pass", "safe"]


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    group: str
    name: str
    whole: Verdict | None = None
    streamed: Verdict | None = None
    held: Verdict | None = None


def failover_block(rows: str) -> str:
    """A sentence with the sums, and a table for each group. `rows` is the text of VERDICTS."""
    faults = TypeAdapter(list[_Fault]).validate_python(tomllib.loads(rows)["fault"])
    forms = [form for fault in faults for form in (fault.whole, fault.streamed, fault.held) if form is not None]
    tables = [
        f"## {group}\n\n"
        + table(
            ("Fault", "Not streamed", "Streamed", "Streamed, text held"),
            [(one.name, one.whole or "-", one.streamed or "-", one.held or "-") for one in members],
        )
        for group, members in groupby(faults, key=lambda fault: fault.group)
    ]
    sums = [("not streamed", [fault.whole for fault in faults]), ("streamed", [fault.streamed for fault in faults])]
    sums.append(("streamed with text held", [fault.held for fault in faults]))
    shares = ", ".join(f"{found.count('safe')} of {len(found) - found.count(None)} {form}" for form, found in sums)
    total = (
        f"{len(faults)} faults in {len(forms)} cases. None fails; {forms.count('safe')} are safe and all others pass: {shares}."
    )
    return "\n\n".join([total, *tables])
