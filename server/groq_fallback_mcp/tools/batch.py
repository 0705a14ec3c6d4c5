"""batch_submit, batch_status, batch_results: questions that can wait a day, for half the price.

Nothing of a batch lives in this process: Groq keeps it, and a note of what was submitted is kept in the state folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groq_fallback_mcp.atomic_file import sweep_partials, write_atomically
from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, Outcome, ReasoningEffort, Success
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.policy.plan import Candidate, plan
from groq_fallback_mcp.providers.batches import FILE_BYTES, Batches, BatchState, batch_file, read_answers
from groq_fallback_mcp.providers.openai_wire import chat_payload
from groq_fallback_mcp.quota.budget import usd
from groq_fallback_mcp.redaction import sanitize, sanitize_json
from groq_fallback_mcp.render import counted, quoted
from groq_fallback_mcp.tools.result import SIMULATED_NOTE, Result, structured, total_usd
from groq_fallback_mcp.tools.result_bound import RESULT_BYTES, json_bytes
from groq_fallback_mcp.tools.save_to import SaveTo
from groq_fallback_mcp.tools.tool import Arguments, Context, Reply, Tool

__all__ = ["BATCH_RESULTS", "BATCH_STATUS", "BATCH_SUBMIT"]

MOST_PROMPTS = 50_000
MOST_BYTES = FILE_BYTES
HALF = Decimal("0.5")
# It is part of a URL.
ID = r"^[A-Za-z0-9_-]{1,128}$"
_PAID = (
    "Batches need a paid Groq plan. Call groq_chat with prompts instead: it spreads many questions over the limits of this plan"
)
_EXTENSIONS = (".jsonl",)
PAGE = 50
# Each answer stands twice in a result, as text and as structured content.
PAGE_BYTES = RESULT_BYTES * 3 // 4
_FIT_FOR_A_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
MOST_NOTES = 1_000


class SubmitArguments(Arguments):
    """Arguments of batch_submit."""

    prompts: Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
    system: str | None = None
    use_case: str | None = None
    model: str | None = Field(default=None, description="Model that answers all prompts; a batch has no fallback")
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    reasoning_effort: ReasoningEffort | None = None
    response_schema: dict[str, Any] | None = None
    window: Literal["24h", "2d", "3d", "4d", "5d", "6d", "7d"] = Field(
        default="24h", description="Maximum time until the batch is answered"
    )


class StatusArguments(Arguments):
    """Arguments of batch_status."""

    id: Annotated[str, Field(pattern=ID)] | None = Field(default=None, description="Omit to list all known batches")
    cancel: bool = False


class BatchLine(Result):
    """A batch. Times are Unix seconds."""

    id: str
    status: str
    total: int
    completed: int
    failed: int
    model: str | None = None
    created_at: int | None = None
    expires_at: int | None = None
    finished: bool
    faults: tuple[str, ...] | None = None


class SubmitResult(Result):
    """Structured result of batch_submit. `most_usd`: what it can cost at most, half of what single calls could."""

    batch: BatchLine
    model: str
    most_usd: str | None = None
    notes: tuple[str, ...] | None = None


class StatusResult(Result):
    """Structured result of batch_status."""

    batches: tuple[BatchLine, ...]
    notes: tuple[str, ...] | None = None


class ResultsArguments(Arguments):
    """Arguments of batch_results."""

    id: Annotated[str, Field(pattern=ID)]
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=1_000)] = PAGE
    save_to: str | None = Field(default=None, description="Write all answers to this new .jsonl file below the project folder")
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
    notes: tuple[str, ...] | None = None


async def _submit(arguments: SubmitArguments, context: Context) -> Reply:
    batches = _groq_batches(context)
    empty = next((number for number, prompt in enumerate(arguments.prompts, start=1) if not prompt.strip()), None)
    if empty is not None:
        raise InputRefused(f"prompt {empty} of prompts is empty", next_step="remove it")
    fitted = [_fitted(_request(arguments, prompt), number, context) for number, prompt in enumerate(arguments.prompts, start=1)]
    model = fitted[0][0].model
    bodies = {str(number): chat_payload(request, candidate) for number, (candidate, request) in enumerate(fitted, start=1)}
    content = await anyio.to_thread.run_sync(batch_file, bodies)
    if len(content) > MOST_BYTES:
        raise InputRefused(
            f"The batch has {len(content):,} bytes, and Groq accepts {MOST_BYTES:,}", next_step="Submit it in several batches"
        )
    state = await batches.submit(content, window=arguments.window)
    if isinstance(state, Failure):
        return _error_reply(state)
    note = Note(id=state.id, model=model, prompts=len(bodies), created_s=context.engine.clock.wall())
    unkept: list[str] = []
    try:
        await anyio.to_thread.run_sync(_write_note, context.state, note)
    except OSError as error:
        # it is paid for, and known by this id only
        unkept.append(f"The id is in no list of this machine: its folder cannot be written ({error.strerror or error})")
    amounts = [candidate.spend.picousd for candidate, _ in fitted]
    most = None if any(amount is None for amount in amounts) else usd(sum(amount or 0 for amount in amounts)) * HALF
    result = SubmitResult(
        batch=_batch_line(state, note),
        model=model,
        most_usd=None if most is None else f"{most:.6f}",
        notes=(*unkept, *dict.fromkeys(text for candidate, _ in fitted for text in candidate.notes))[:5] or None,
    )
    lines = [
        f"batch {state.id}: {state.status}, {counted(len(bodies), 'prompt')} to {model}, answered within {arguments.window}",
        f"At most {result.most_usd} USD, half the usual price" if result.most_usd is not None else "Half the usual price",
        f'Next step: Call batch_status with id "{state.id}" in a few minutes, and batch_results when it is completed.',
        *(f"Note: {text}" for text in result.notes or ()),
    ]
    return Reply(text="\n".join(lines), structured=structured(result), body=state.id)


async def _status(arguments: StatusArguments, context: Context) -> Reply:
    batches = _groq_batches(context)
    if arguments.id is None:
        if arguments.cancel:
            raise InputRefused("cancel needs an id", next_step="give the id of the batch to cancel")
        found = await batches.all()
    else:
        one = await (batches.cancel(arguments.id) if arguments.cancel else batches.look(arguments.id))
        found = one if isinstance(one, Failure) else (one,)
    if isinstance(found, Failure):
        return _error_reply(found)
    notes = {note.id: note for note in await anyio.to_thread.run_sync(_known_notes, context.state)}
    rows = tuple(_batch_line(state, notes.get(state.id)) for state in found)
    missing = [note.id for note in notes.values() if arguments.id is None and note.id not in {row.id for row in rows}]
    told = (f"submitted here, but no longer listed by Groq: {', '.join(missing)}",) if missing else ()
    result = StatusResult(batches=rows, notes=told or None)
    lines = [_status_text(row) for row in rows] or ["no batches"]
    lines += [f"Note: {text}" for text in told]
    return Reply(text="\n".join(lines), structured=structured(result))


async def _results(arguments: ResultsArguments, context: Context) -> Reply:
    save_to = None
    if arguments.save_to is not None:
        save_to = SaveTo(path=arguments.save_to, extensions=_EXTENSIONS, overwrite=arguments.overwrite)
        await save_to.check(context)
    batches = _groq_batches(context)
    state = await batches.look(arguments.id)
    if isinstance(state, Failure):
        return _error_reply(state)
    if state.output_file_id is None and state.error_file_id is None:
        faults = "; ".join(quoted(fault) for fault in state.faults)
        raise InputRefused(
            f"the batch {arguments.id} is {state.status} and has no answers yet" + (f": {faults}" if faults else ""),
            next_step="call batch_status later" if not state.finished else "fix what the errors name and submit it again",
        )
    outcomes = await _outcomes(batches, state, context)
    if isinstance(outcomes, Failure):
        return _error_reply(outcomes)
    path = None if save_to is None else await save_to.write(_jsonl(outcomes), context, can_be_had_again=True)
    return _results_reply(state, outcomes, arguments, path=None if path is None else str(path), catalog=context.engine.catalog)


def _request(arguments: SubmitArguments, prompt: str) -> ChatRequest:
    system: Sequence[Mapping[str, Any]] = () if arguments.system is None else ({"role": "system", "content": arguments.system},)
    return ChatRequest(
        messages=(*system, {"role": "user", "content": prompt}),
        model=arguments.model,
        use_case=arguments.use_case or (None if arguments.response_schema is not None else "fast"),
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        reasoning_effort=arguments.reasoning_effort,
        schema=arguments.response_schema,
    )


def _fitted(request: ChatRequest, number: int, context: Context) -> tuple[Candidate, ChatRequest]:
    """The model all go to, fitted to this one. A batch has no limits a minute, so none are held against it."""
    engine = context.engine
    request = engine.restricted(request)
    providers = [
        replace(provider, models={id_: replace(offered, documented={}) for id_, offered in provider.models.items()})
        for provider in engine.registry.models()
        if provider.cataloged
    ]
    found = plan(request, catalog=engine.catalog, providers=providers, today=today(engine.clock))
    if not found.candidates:
        reasons = "; ".join(f"{e.model}: {e.reason}" for e in found.exclusions[:3])
        raise InputRefused(f"no model takes prompt {number} ({reasons})", next_step="change what the reasons name")
    return found.candidates[0], request


def _batch_line(state: BatchState, note: Note | None) -> BatchLine:
    return BatchLine(
        id=state.id,
        status=state.status,
        total=state.total or (0 if note is None else note.prompts),
        completed=state.completed,
        failed=state.failed,
        model=None if note is None else note.model,
        created_at=state.created_at,
        expires_at=state.expires_at,
        finished=state.finished,
        faults=state.faults or None,
    )


def _status_text(row: BatchLine) -> str:
    text = f"batch {row.id}: {row.status}, {row.completed} of {row.total} answered, {row.failed} failed"
    text += f"; {row.model}" if row.model else ""
    text += "; errors: " + "; ".join(quoted(fault) for fault in row.faults) if row.faults else ""
    return text + ("; read the answers with batch_results" if row.status in {"completed", "expired", "cancelled"} else "")


async def _outcomes(batches: Batches, state: BatchState, context: Context) -> dict[str, Outcome] | Failure:
    note = await anyio.to_thread.run_sync(_note_of, context.state, state.id)
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


def _results_reply(
    state: BatchState, outcomes: dict[str, Outcome], arguments: ResultsArguments, *, path: str | None, catalog: Catalog
) -> Reply:
    answers = [outcome for outcome in outcomes.values() if isinstance(outcome, Success)]
    page: list[BatchAnswer] = []
    shown = 0
    for number, outcome in list(outcomes.items())[arguments.offset : arguments.offset + arguments.limit]:
        answer = _answer(number, outcome)
        shown += json_bytes(_answer_text(answer)) + json_bytes(answer.model_dump(exclude_none=True))
        if page and shown > PAGE_BYTES:
            break
        page.append(answer)
    after = arguments.offset + len(page)
    costs = [catalog.cost_usd(answer.model, answer.usage) if answer.usage_reported else None for answer in answers]
    simulated = any(answer.simulated for answer in answers)
    notes = [SIMULATED_NOTE] if simulated else []
    if state.status != "completed":
        notes.append(f"The batch is {state.status}; prompts missing here were not answered.")
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
        notes=tuple(notes) or None,
    )
    return Reply(text="\n".join(_results_text(result)), structured=structured(result))


def _results_text(result: ResultsResult) -> list[str]:
    lines = [_answer_text(item) for item in result.results]
    cost = f", {result.cost_usd} USD (half price)" if result.cost_usd is not None else ""
    lines.append(f"[{result.answered} answered, {result.failed} failed{cost}]")
    if result.path is not None:
        lines.append(f"All answers are in {result.path}")
    if result.next_offset is not None:
        lines.append(f"Next step: Call batch_results with offset {result.next_offset} for more, or with save_to for all.")
    return [*lines, *(f"Note: {note}" for note in result.notes or ())]


def _answer_text(item: BatchAnswer) -> str:
    return f"{item.number}. {item.text}" if item.error is None else f"{item.number}. failed: {quoted(item.error)}"


def _answer(number: str, outcome: Outcome) -> BatchAnswer:
    if isinstance(outcome, Failure):
        return BatchAnswer(number=number, error=f"{outcome.kind.value}: {outcome.message}")
    return BatchAnswer(number=number, text=outcome.text, finish_reason=outcome.finish_reason)


def _jsonl(outcomes: dict[str, Outcome]) -> str:
    rows: list[dict[str, Any]] = [
        _answer(number, outcome).model_dump(exclude_none=True) for number, outcome in outcomes.items()
    ]
    return "".join(f"{json.dumps(sanitize_json(row), ensure_ascii=False)}\n" for row in rows)


def _groq_batches(context: Context) -> Batches:
    """Groq's batches. Raises InputRefused where Groq is switched off."""
    found = context.engine.registry.batches
    if found is None:
        raise InputRefused("Groq is disabled (GROQ_FALLBACK_LOCAL is only)", next_step="unset it, or use groq_chat")
    return found


def _error_reply(failure: Failure) -> Reply:
    """What went wrong at Groq, and what to do instead."""
    denied = failure.status == 403 or failure.kind is FailureKind.ORGANIZATION_REFUSED
    code = failure.kind.value if not denied else "paid_plan_needed"
    missing = failure.status == 404
    next_step = _PAID if denied else "Check the id with batch_status" if missing else "Retry later"
    if failure.kind is FailureKind.AUTHENTICATION:
        next_step = "Put a valid key into GROQ_API_KEY"
    cause = f"Groq reports {quoted(failure.message)}"
    again = {} if failure.retry_after_s is None else {"retry_after_s": failure.retry_after_s}
    return Reply(
        text=f"{code}: {cause}\nNext step: {next_step}.",
        structured={"error": {"code": code, "cause": cause, "next_step": next_step, **again}},
        is_error=True,
    )


class Note(BaseModel):
    """A batch: which model was asked how many prompts, and when (Unix seconds)."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    id: str
    model: str
    prompts: int
    created_s: float


def _write_note(state: Path, note: Note) -> None:
    """Keep it. An id that is no file name, or holds a secret, is not kept: Groq keeps the batch all the same."""
    if not _FIT_FOR_A_NAME.fullmatch(note.id) or sanitize(note.id) != note.id:
        return
    folder = state / "batches"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_partials(folder)
    write_atomically(folder / f"{note.id}.json", sanitize(note.model_dump_json()).encode())


def _note_of(state: Path, id_: str) -> Note | None:
    """The note of one batch, None without one."""
    if not _FIT_FOR_A_NAME.fullmatch(id_):
        return None
    try:
        return Note.model_validate_json((state / "batches" / f"{id_}.json").read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def _known_notes(state: Path) -> list[Note]:
    """All notes, newest first."""
    found = [_note_of(state, path.stem) for path in (state / "batches").glob("*.json")]
    return sorted((note for note in found if note is not None), key=lambda note: -note.created_s)[:MOST_NOTES]


BATCH_SUBMIT = Tool(
    name="batch_submit",
    title="Submit a batch",
    description="Submit many prompts at half price, answered by Groq within a day or a week (paid plans). Returns an id.",
    arguments=SubmitArguments,
    handle=_submit,
    read_only=False,
)
BATCH_STATUS = Tool(
    name="batch_status",
    title="Check batches",
    description="Show the progress of a batch, or cancel it.",
    arguments=StatusArguments,
    handle=_status,
    read_only=False,
    # it can cancel, once
    destructive=True,
    idempotent=True,
)
BATCH_RESULTS = Tool(
    name="batch_results",
    title="Read batch answers",
    description="Read the answers of a finished batch, page by page or into a file.",
    arguments=ResultsArguments,
    handle=_results,
    read_only=False,
    destructive=True,
    idempotent=True,
)
