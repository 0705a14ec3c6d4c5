"""The scorecard as Markdown, made of the cells of one or more runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.failover.contenders import HELD, OURS
from benchmarks.failover.faults import FAULTS
from benchmarks.failover.run import NOT_SPOKEN, Cell

__all__ = ["scorecard", "unstable"]

ORDER = ("answer", "error", "broken", "silence")
"""From the best outcome to the worst, where an answer is possible."""


def scorecard(versions: Mapping[str, str], cells: Sequence[Cell], changed: Sequence[Cell] | None = None) -> str:
    """The summary, one row a fault, what peers do better, and what `changed` from run to run, None after a single run."""
    names = list(versions)
    parts = [
        _summary(versions, cells),
        _faults(names, cells),
        "Peers do better here:\n\n" + _list(_better(names, cells)),
    ]
    if changed is not None:
        listed = _list(f"{cell.contender}: {cell.fault}, {cell.form}" for cell in changed)
        parts.append(f"Cells that came out differently from run to run:\n\n{listed}")
    return "\n\n".join(parts) + "\n"


def unstable(runs: Sequence[Sequence[Cell]]) -> list[Cell]:
    """The cells of the last run whose outcome was another in an earlier one."""
    seen: dict[tuple[str, str, str], set[str]] = {}
    for cell in (cell for run in runs for cell in run):
        seen.setdefault(_place(cell), set()).add(cell.outcome)
    return [cell for cell in runs[-1] if len(seen[_place(cell)]) > 1]


def _place(cell: Cell) -> tuple[str, str, str]:
    return cell.contender, cell.fault, cell.form


def _summary(versions: Mapping[str, str], cells: Sequence[Cell]) -> str:
    rows = [
        "| | right | of these an answer | another error | broken | silence | not spoken | slowest right result |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, version in versions.items():
        mine = [cell for cell in cells if cell.contender == name]
        counts = Counter(cell.outcome for cell in mine)
        right = [cell for cell in mine if cell.is_right]
        errors = counts["error"] - sum(cell.outcome == "error" for cell in right)
        spoken = len(mine) - counts[NOT_SPOKEN]
        rows.append(
            f"| {name} {version} | {len(right)} of {spoken} | {counts['answer']} | {errors} | {counts['broken']} "
            f"| {counts['silence']} | {counts[NOT_SPOKEN]} | {max((cell.took_s for cell in right), default=0):.1f} s |"
        )
    return "\n".join(rows)


def _faults(names: Sequence[str], cells: Sequence[Cell]) -> str:
    rows = [f"| The first model | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    played = {cell.fault for cell in cells}
    for fault in (fault for fault in FAULTS if fault.name in played):
        wanted = " (wanted: an error)" if fault.wanted == "error" else ""
        found = [[cell for cell in cells if cell.fault == fault.name and cell.contender == name] for name in names]
        rows.append(f"| {fault.name}{wanted} | {' | '.join(_cell(row) for row in found)} |")
    return "\n".join(rows)


def _cell(row: Sequence[Cell]) -> str:
    """6/6, or what else came of which forms."""
    spoken = [cell for cell in row if cell.outcome != NOT_SPOKEN]
    right = sum(cell.is_right for cell in spoken)
    wrong = [cell for cell in spoken if not cell.is_right]
    if not spoken:
        return NOT_SPOKEN
    shown = [f"{right}/{len(spoken)}"]
    for outcome in ORDER:
        forms = [cell for cell in wrong if cell.outcome == outcome]
        if forms:
            shown.append(f"{outcome}: {_forms(forms, spoken)}")
    return "; ".join(shown)


def _forms(cells: Sequence[Cell], spoken: Sequence[Cell]) -> str:
    """As few words as say which of the forms that are spoken."""
    if len(cells) == len(spoken):
        return "all"
    for streamed, word in ((True, "streamed"), (False, "not streamed")):
        if sum(cell.streamed is streamed for cell in spoken) == len(cells) and all(cell.streamed is streamed for cell in cells):
            return word
    shown = []
    for dialect in dict.fromkeys(cell.dialect for cell in cells):
        forms = [cell.streamed for cell in cells if cell.dialect == dialect]
        shown.append(dialect if len(forms) > 1 else f"{dialect} {'streamed' if forms[0] else 'not streamed'}")
    return ", ".join(shown)


def _better(names: Sequence[str], cells: Sequence[Cell]) -> Iterable[str]:
    """Where a peer's outcome is better than ours with default settings, and where ours with text held is as good."""
    ours = {(cell.fault, cell.form): cell for cell in cells if cell.contender == OURS}
    held = {(cell.fault, cell.form): cell for cell in cells if cell.contender == HELD}
    for cell in cells:
        if cell.contender in {OURS, HELD} or cell.contender not in names or (cell.fault, cell.form) not in ours:
            continue
        place = (cell.fault, cell.form)
        if _rank(cell) < _rank(ours[place]):
            also = " (ours too with text held)" if place in held and _rank(held[place]) <= _rank(cell) else ""
            yield f"{cell.contender}: {cell.fault}, {cell.form}: {cell.outcome}, ours {ours[place].outcome}{also}"


def _rank(cell: Cell) -> int:
    if cell.is_right:
        return 0
    return len(ORDER) if cell.outcome == NOT_SPOKEN else 1 + ORDER.index(cell.outcome)


def _list(rows: Iterable[str]) -> str:
    return "\n".join(f"- {row}" for row in rows) or "- none"
