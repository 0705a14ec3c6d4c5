"""Every fault in every dialect, streamed and not, through every contender."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.failover.client import send
from benchmarks.failover.contenders import Contender, contenders
from benchmarks.failover.faults import FAULTS, Fault
from benchmarks.failover.judge import DIALECTS, Dialect, verdict
from benchmarks.gateway.contenders import Gateway
from benchmarks.gateway.process import started
from benchmarks.speed.client import listening

__all__ = ["NOT_SPOKEN", "Cell", "run"]

NOT_SPOKEN = "not spoken"
WITHIN_S = 30.0
AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What came of one fault in one form."""

    contender: str
    fault: str
    dialect: str
    streamed: bool
    outcome: str
    is_right: bool = False
    why: str = ""
    took_s: float = 0.0

    @property
    def form(self) -> str:
        """The dialect, and whether it is streamed."""
        return f"{self.dialect}{', streamed' if self.streamed else ''}"


@dataclass(frozen=True, slots=True)
class _Form:
    number: int
    fault: Fault
    dialect: Dialect
    stream: bool


_FORMS = [
    _Form(number, fault, dialect, stream)
    for number, (fault, dialect, stream) in enumerate(
        (fault, dialect, stream) for fault in FAULTS for dialect in DIALECTS for stream in (False, True)
    )
]


async def run(only: Sequence[str], faults: Sequence[str] = ()) -> tuple[dict[str, str], list[Cell]]:
    """The versions of the contenders, and all cells; `only` names contenders, and `faults` slugs of faults, all without.

    Exits where one of `only` is not installed.
    """
    forms = [form for form in _FORMS if not faults or form.fault.slug in faults]
    unreachable = [form.number for form in _FORMS if form.fault.is_refused]
    hopeless = [form.number for form in _FORMS if form.fault.is_everywhere]
    async with listening("benchmarks.failover.upstream") as upstream:
        with TemporaryDirectory() as folder:
            found = contenders(Path(folder), upstream, requests=len(_FORMS), unreachable=unreachable, hopeless=hopeless)
            chosen = [contender for contender in found if not only or contender.name in only]
            missing = set(only) - {contender.name for contender in chosen}
            if missing:
                sys.exit(f"Not installed: {', '.join(sorted(missing))}. Install the peers with make bench-peers")
            cells = []
            for contender in chosen:
                print(f"{contender.name} ...", file=sys.stderr, flush=True)
                before = await _asked(upstream)
                cells += await _all_of(contender, forms)
                after = await _asked(upstream)
                _all_were_asked(contender, forms, before, after)
    return {contender.name: contender.version for contender in chosen}, cells


def _all_were_asked(contender: Contender, forms: Sequence[_Form], before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Raises RuntimeError where a contender passed over the first model, so that nothing was measured."""
    for form in forms:
        name = f"faulty {form.number}"
        is_asked = after.get(name, 0) > before.get(name, 0)
        if not is_asked and not form.fault.is_refused and form.dialect.name in contender.speaks:
            raise RuntimeError(f"{contender.name} did not ask the first model: {form}")


async def _all_of(contender: Contender, forms: Sequence[_Form]) -> list[Cell]:
    """What has to wait goes first, all at once; then the rest, a few at a time."""
    groups: dict[int, list[_Form]] = {}
    for form in forms:
        if form.dialect.name in contender.speaks:
            groups.setdefault(contender.process(form.number), []).append(form)
    starting, at_once = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)

    async def served(process: int) -> list[Cell]:
        async with AsyncExitStack() as stack:
            gateway = contender.gateway(process)
            async with starting:
                await stack.enter_async_context(started(gateway))
            slow = [_one(contender, gateway, form) for form in groups[process] if form.fault.is_slow]
            cells = await asyncio.gather(*slow)
            for some in _some([form for form in groups[process] if not form.fault.is_slow]):
                cells += await asyncio.gather(*(_one(contender, gateway, form) for form in some))
            return cells

    async def in_turn(process: int) -> list[Cell]:
        async with at_once:
            return await served(process)

    slow = [process for process, group in groups.items() if group[0].fault.is_slow]
    found = await asyncio.gather(*map(served, slow))
    found += await asyncio.gather(*(in_turn(process) for process in groups if process not in slow))
    silent = [_not_spoken(contender, form) for form in forms if form.dialect.name not in contender.speaks]
    return [*(cell for cells in found for cell in cells), *silent]


def _some(forms: Sequence[_Form]) -> Iterator[Sequence[_Form]]:
    """As many as are asked at once."""
    return (forms[start : start + AT_ONCE] for start in range(0, len(forms), AT_ONCE))


def _not_spoken(contender: Contender, form: _Form) -> Cell:
    return Cell(
        contender=contender.name,
        fault=form.fault.name,
        dialect=form.dialect.name,
        streamed=form.stream,
        outcome=NOT_SPOKEN,
    )


async def _one(contender: Contender, gateway: Gateway, form: _Form) -> Cell:
    headers = {
        "authorization": f"Bearer {gateway.token}",
        "x-api-key": gateway.token,
        "anthropic-version": "2023-06-01",
    }
    body = form.dialect.request(contender.model(form.number), form.fault, stream=form.stream, number=form.number)
    received = await send(gateway.address, form.dialect.path, body, headers, within_s=WITHIN_S)
    found = verdict(form.dialect, received, form.fault, stream=form.stream)
    return Cell(
        contender=contender.name,
        fault=form.fault.name,
        dialect=form.dialect.name,
        streamed=form.stream,
        outcome=found.outcome,
        is_right=found.is_right,
        why=found.why,
        took_s=round(received.took_s, 1),
    )


async def _asked(upstream: str) -> Mapping[str, int]:
    """How often each model was asked, by request."""
    counts: Mapping[str, int] = json.loads((await send(upstream, "/asked", {}, {}, within_s=WITHIN_S)).body)
    return counts
