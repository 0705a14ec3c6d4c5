"""batch_results: the answers of a batch, page by page or into a file."""

from __future__ import annotations

import json
from typing import Annotated, Any

import anyio.to_thread
from pydantic import Field

from groq_fallback_mcp.call import Failure, Outcome, Success
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.outgoing import sanitize_json
from groq_fallback_mcp.providers.batches import Batches, BatchState, read_answers
from groq_fallback_mcp.render import quoted
from groq_fallback_mcp.tools.batch import HALF, ID, batch_error, groq_batches
from groq_fallback_mcp.tools.batch_notes import note_of
from groq_fallback_mcp.tools.result import Result, total_usd
from groq_fallback_mcp.tools.result_limit import RESULT_BYTES, json_bytes
from groq_fallback_mcp.tools.save_to import SaveTo
from groq_fallback_mcp.tools.tool import Arguments, Context, Reply, Tool

__all__ = ["BATCH_RESULTS"]

EXTENSIONS = (".jsonl",)
PAGE = 50
# Each answer stands twice in a result, as text and as structured content.
PAGE_BYTES = RESULT_BYTES * 3 // 4


class ResultsArguments(Arguments):
    """Arguments of batch_results."""

    id: Annotated[str, Field(pattern=ID)]
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = PAGE
    save_to: str | None = Field(default=None, description="Write all to this new .jsonl file below the project folder")
    overwrite: bool = False


class BatchAnswer(Result):
    """One prompt's answer or error, by its number from 1."""

    number: str
    text: str | None = None
    finish_reason: str | None = None
    error: str | None = None


class ResultsResult(Result):
    """Structured result of batch_results. `next_offset` is there while more follows."""

    id: str
    status: str
    answered: int
    failed: int
    results: tuple[BatchAnswer, ...]
    next_offset: int | None = None
    path: str | None = None
    cost_usd: str | None = None
    simulated: bool
    notes: tuple[str, ...]


async def _results(arguments: ResultsArguments, context: Context) -> Reply:
    save_to = None
    if arguments.save_to is not None:
        save_to = SaveTo(path=arguments.save_to, extensions=EXTENSIONS, overwrite=arguments.overwrite)
        await save_to.check(context)
    batches = groq_batches(context)
    state = await batches.look(arguments.id)
    if isinstance(state, Failure):
        return batch_error(state)
    if state.output_file_id is None and state.error_file_id is None:
        faults = "; ".join(quoted(fault) for fault in state.faults)
        raise InputRefused(
            f"the batch {arguments.id} is {state.status} and has no answers yet" + (f": {faults}" if faults else ""),
            next_step="call batch_status later" if not state.finished else "submit it again with what the faults name mended",
        )
    outcomes = await _outcomes(batches, state, context)
    if isinstance(outcomes, Failure):
        return batch_error(outcomes)
    path = None if save_to is None else await save_to.write(_lines(outcomes), context)
    return _reply(state, outcomes, arguments, path=None if path is None else str(path), catalog=context.engine.catalog)


async def _outcomes(batches: Batches, state: BatchState, context: Context) -> dict[str, Outcome] | Failure:
    note = await anyio.to_thread.run_sync(note_of, context.state, state.id)
    contents: list[bytes] = []
    for file_id in (state.output_file_id, state.error_file_id):
        if file_id is None:
            continue
        content = await batches.content(file_id)
        if isinstance(content, Failure):
            return content
        contents.append(content)
    model = "?" if note is None else note.model
    now = context.engine.clock.wall()
    found = await anyio.to_thread.run_sync(
        lambda: {
            id_: outcome for content in contents for id_, outcome in read_answers(content, model=model, now_wall=now).items()
        }
    )
    return dict(sorted(found.items(), key=lambda item: (not item[0].isdecimal(), int(item[0]) if item[0].isdecimal() else 0)))


def _reply(
    state: BatchState, outcomes: dict[str, Outcome], arguments: ResultsArguments, *, path: str | None, catalog: Catalog
) -> Reply:
    answers = [outcome for outcome in outcomes.values() if isinstance(outcome, Success)]
    page: list[BatchAnswer] = []
    shown = 0
    for number, outcome in list(outcomes.items())[arguments.offset : arguments.offset + arguments.limit]:
        answer = _answer(number, outcome)
        shown += json_bytes(_line(answer)) + json_bytes(answer.model_dump(exclude_none=True))
        if page and shown > PAGE_BYTES:
            break
        page.append(answer)
    after = arguments.offset + len(page)
    costs = [catalog.cost_usd(answer.model, answer.usage) if answer.usage_reported else None for answer in answers]
    simulated = any(answer.simulated for answer in answers)
    notes = ["SIMULATED: these answers come from a stand-in for Groq"] if simulated else []
    if state.status != "completed":
        notes.append(f"the batch is {state.status}: prompts that are missing here were not answered")
    result = ResultsResult(
        id=state.id,
        status=state.status,
        answered=len(answers),
        failed=len(outcomes) - len(answers),
        results=tuple(page),
        next_offset=after if after < len(outcomes) else None,
        path=path,
        cost_usd=total_usd(costs, share=HALF),
        simulated=simulated,
        notes=tuple(notes),
    )
    return Reply(text="\n".join(_text(result)), structured=result.model_dump(mode="json", exclude_none=True))


def _text(result: ResultsResult) -> list[str]:
    lines = [_line(item) for item in result.results]
    cost = f", {result.cost_usd} USD (half price)" if result.cost_usd is not None else ""
    lines.append(f"[{result.answered} answered, {result.failed} failed{cost}]")
    if result.path is not None:
        lines.append(f"All of it stands in {result.path}")
    if result.next_offset is not None:
        lines.append(f"Next step: call batch_results with offset {result.next_offset} for more, or with save_to for all.")
    return [*lines, *(f"Note: {note}" for note in result.notes)]


def _line(item: BatchAnswer) -> str:
    return f"{item.number}. {item.text}" if item.error is None else f"{item.number}. failed: {quoted(item.error)}"


def _answer(number: str, outcome: Outcome) -> BatchAnswer:
    if isinstance(outcome, Failure):
        return BatchAnswer(number=number, error=f"{outcome.kind.value}: {outcome.message}")
    return BatchAnswer(number=number, text=outcome.text, finish_reason=outcome.finish_reason)


def _lines(outcomes: dict[str, Outcome]) -> str:
    rows: list[dict[str, Any]] = [
        _answer(number, outcome).model_dump(exclude_none=True) for number, outcome in outcomes.items()
    ]
    return "".join(f"{json.dumps(sanitize_json(row), ensure_ascii=False)}\n" for row in rows)


BATCH_RESULTS = Tool(
    name="batch_results",
    title="Read a batch",
    description="The answers of a finished batch, page by page or into a file.",
    arguments=ResultsArguments,
    handle=_results,
    read_only=False,
    destructive=True,
    idempotent=True,
)
