"""Many questions in one call: spread over the models within their limits, what failed told beside what came.

Each question is a call of its own through the engine. A few are under way at a time; those that find every model at its
limit wait for the first that has room, so the whole takes as long as the limits ask for and no request is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import anyio

from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.render import sentence
from groq_fallback_mcp.tools.chat_result import ChatUsage, chat_result
from groq_fallback_mcp.tools.result import Result, label, seconds, total_usd
from groq_fallback_mcp.tools.result_bound import head
from groq_fallback_mcp.tools.schema_check import SchemaCheck
from groq_fallback_mcp.tools.tool import Context, Reply

__all__ = ["answer_all"]

# Enough to fill the limits of the free plan, few enough that those who wait do not crowd the ledger.
AT_ONCE = 16
# Of answers too long to return all, each begins the result with its share of this, and with no less than the other.
BRIEF_BYTES = 9_000
LEAST_BRIEF_BYTES = 200
# After such an error the next question would meet the same.
_FOR_ALL = {"authentication", "no_provider", "over_budget"}


class Refused(Result):
    """Why a question has no answer."""

    code: str
    cause: str
    next_step: str
    retry_after_s: float | None = None


class Item(Result):
    """One question's outcome; `number` counts from 1 in the order of `prompts`. `cut`: this is the beginning of its answer."""

    number: int
    text: str | None = None
    answer: Any = None
    model: str | None = None
    provider: str | None = None
    finish_reason: str | None = None
    usage: ChatUsage | None = None
    cut: bool | None = None
    error: Refused | None = None


class ManyResult(Result):
    """Structured result of groq_chat for `prompts`."""

    answered: int
    failed: int
    results: tuple[Item, ...]
    cost_usd: str | None = None
    duration_s: float
    simulated: bool
    notes: tuple[str, ...]


async def answer_all(requests: Sequence[ChatRequest], context: Context, *, check: SchemaCheck | None) -> Reply:
    """Answer all of them within the time for jobs. An error only where nothing was answered."""
    clock = context.engine.clock
    started = clock.monotonic()
    end = started + context.job_deadline_s
    outcomes: dict[int, Answer | CallFailed] = {}
    stop: list[CallFailed] = []
    left = iter(enumerate(requests, start=1))

    async def work() -> None:
        for number, request in left:
            if stop:
                outcomes[number] = stop[0]
                continue
            outcome = await context.engine.serve(
                request, check=check, repair=True, deadline_s=max(end - clock.monotonic(), 1.0)
            )
            outcomes[number] = outcome
            if isinstance(outcome, CallFailed) and outcome.code in _FOR_ALL:
                stop.append(outcome)
            if context.progress is not None:
                message = f"{len(outcomes)} of {len(requests)} questions done"
                await context.progress(len(outcomes), len(requests), message)

    async with anyio.create_task_group() as group:
        for _ in range(min(AT_ONCE, len(requests))):
            group.start_soon(work)
    return _reply([outcomes[number] for number in sorted(outcomes)], clock.monotonic() - started, check is not None)


def _reply(outcomes: Sequence[Answer | CallFailed], took_s: float, structured_answer: bool) -> Reply:
    items = tuple(_item(number, outcome, structured_answer) for number, outcome in enumerate(outcomes, start=1))
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    simulated = any(answer.success.simulated for answer in answers)
    notes = ["SIMULATED: these answers come from a stand-in for Groq"] if simulated else []
    failed = len(outcomes) - len(answers)
    if failed:
        notes.append(f"{failed} of {len(outcomes)} have no answer: call again with those alone")
    if any(answer.success.finish_reason == "length" for answer in answers):
        notes.append("some answers were cut at max_tokens: raise max_tokens for the rest")
    result = ManyResult(
        answered=len(answers),
        failed=failed,
        results=items,
        cost_usd=total_usd([answer.cost_usd for answer in answers]),
        duration_s=round(took_s, 3),
        simulated=simulated,
        notes=tuple(notes),
    )
    return replace(_shown(result), brief=lambda: _shown(result.model_copy(update={"results": _beginnings(items)})))


def _shown(result: ManyResult) -> Reply:
    lines = [line for item in result.results for line in _lines(item)]
    lines.append(f"[{result.answered} of {len(result.results)} answered, {result.duration_s:.1f} s]")
    lines += [f"Note: {note}" for note in result.notes]
    structured = result.model_dump(mode="json", exclude_none=True)
    return Reply(text="\n".join(lines), structured=structured, is_error=not result.answered)


def _beginnings(items: Sequence[Item]) -> tuple[Item, ...]:
    most = max(BRIEF_BYTES // len(items), LEAST_BRIEF_BYTES)
    return tuple(_beginning(item, most) for item in items)


def _beginning(item: Item, most_bytes: int) -> Item:
    first = head(item.text or "", most_bytes)
    if first == (item.text or ""):
        return item
    return item.model_copy(update={"text": f"{first}…", "answer": None, "cut": True})


def _item(number: int, outcome: Answer | CallFailed, structured_answer: bool) -> Item:
    if isinstance(outcome, CallFailed):
        error = Refused(
            code=outcome.code,
            cause=outcome.cause,
            next_step=outcome.next_step,
            retry_after_s=seconds(outcome.retry_after_s),
        )
        return Item(number=number, error=error)
    found = chat_result(outcome, structured_answer=structured_answer, searched=False, documents={})
    return Item(
        number=number,
        text=found.text,
        answer=found.answer,
        model=found.model,
        provider=found.provider,
        finish_reason=found.finish_reason,
        usage=found.usage,
    )


def _lines(item: Item) -> list[str]:
    if item.error is None:
        return [f"{item.number}. [{label(item.provider or '', item.model or '')}]", item.text or "", ""]
    again = "" if item.error.retry_after_s is None else f" retry_after_s: {item.error.retry_after_s:g}"
    return [f"{item.number}. {item.error.code}: {sentence(item.error.cause)} {sentence(item.error.next_step)}{again}", ""]
