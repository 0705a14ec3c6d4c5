"""`chat --prompts FILE`: many prompts from a file, their answers as JSON lines, each written as soon as it is there.

Prompts that the answers file answers already are not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.cli.answers_file import AnswersFile, opened_answers
from groq_fallback_mcp.cli.calls import call
from groq_fallback_mcp.cli.chat import ChatOutput, chat_settings
from groq_fallback_mcp.cli.console import as_options, note, progress_bar
from groq_fallback_mcp.cli.output_file import refuse_same_file
from groq_fallback_mcp.cli.piped import read_piped, read_text
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.run_all import run_all
from groq_fallback_mcp.tools import Context
from groq_fallback_mcp.tools.chat import AT_ONCE, STOPS_ALL

__all__ = ["Prompt", "answer_file", "read_prompts"]

# What a JSON line may say beside its prompt, for this prompt alone.
OWN = ("system", "model", "use_case", "max_tokens", "temperature", "reasoning_effort")
JSON_LINES = {".jsonl", ".ndjson"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt of the file: its line, counted from 1, the id that it may have, and its own options."""

    line: int
    text: str
    id: Any = None
    options: Mapping[str, Any]


def read_prompts(name: str) -> list[Prompt]:
    """The prompts of a file, a prompt a line, or of a .jsonl file, a string or an object with `prompt` a line; - is stdin.

    Empty lines are skipped. Raises InputRefused for a line that is neither, and where there is no prompt.
    """
    text = read_piped() if name == "-" else read_text(Path(name))
    is_json = Path(name).suffix.lower() in JSON_LINES or (name == "-" and text.lstrip().startswith(("{", '"')))
    read = _json_prompt if is_json else _plain_prompt
    prompts = [read(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not prompts:
        raise InputRefused(f"{name} has no prompts", next_step="Write one prompt per line, or JSON lines with a prompt each")
    return prompts


async def answer_file(name: str, arguments: Mapping[str, Any], *, local: bool, output: ChatOutput) -> int:
    """Answer all prompts of a file; 1 where some have no answer. With an output file that exists, only those it lacks."""
    prompts = read_prompts(name)
    refuse_same_file([("--prompts", None if name == "-" else Path(name)), ("--output", output.file)])
    settings = chat_settings(arguments, local=local)
    with opened_answers(output.file, {prompt.line: prompt.text for prompt in prompts}, overwrite=output.overwrite) as answers:
        left = [prompt for prompt in prompts if prompt.line not in answers.answered]
        if answers.answered:
            more = f"; continuing with {len(left)}" if left else ""
            note(f"{output.file} has {len(answers.answered)} of {len(prompts)} answers{more}.")
        if answers.simulated:
            note(f"SIMULATED: {answers.simulated} of them are not real Groq answers. Choose another name to ask again.")
        run = _Run(arguments=arguments, answers=answers)
        try:
            async with open_context(settings) as context:
                with progress_bar(Path(name).name, shown=not output.quiet) as moved:
                    patient = replace(context, deadline_s=context.job_deadline_s, engine=context.engine.yielding())
                    errors, stop = await run_all(
                        left,
                        lambda prompt: run.answer(prompt, patient),
                        at_once=AT_ONCE,
                        stops=lambda error: error is not None and error.stops,
                        on_progress=moved,
                        done="prompts answered",
                    )
        except anyio.get_cancelled_exc_class():
            resume = "the same command resumes" if output.file is not None else "with -o FILE it could resume"
            note(f"Interrupted after {len(answers.answered) + run.answered} of {len(prompts)} answers; {resume}.")
            raise
    failed = sum(error is not None for error in errors)
    if failed or not output.quiet:
        note(f"Answered {len(prompts) - failed} of {len(prompts)}." + _next_step(failed, stop, output))
    if run.simulated:
        note("SIMULATED: not real Groq answers; each line says so.")
    return 1 if failed else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """Why a prompt has no answer. `stops`: each of the others would meet the same."""

    words: str
    stops: bool


@dataclass(slots=True, kw_only=True)
class _Run:
    arguments: Mapping[str, Any]
    answers: AnswersFile
    answered: int = 0
    simulated: bool = False

    async def answer(self, prompt: Prompt, context: Context) -> _Failed | None:
        """Write a prompt's line; what failed, if anything did."""
        try:
            reply = await call("groq_chat", {**self.arguments, **prompt.options, "prompt": prompt.text}, context)
            fields: Mapping[str, Any] = reply.structured
        except InputRefused as error:
            fields = {"error": {"code": "invalid_arguments", "cause": error.cause, "next_step": error.next_step}}
        named = {} if prompt.id is None else {"id": prompt.id}
        self.answers.write({"line": prompt.line, **named, "prompt": prompt.text, **fields})
        self.simulated = self.simulated or bool(fields.get("simulated"))
        failure = fields.get("error")
        if failure is None:
            self.answered += 1
            return None
        # an option for all of them that cannot be used
        for_all = failure["code"] == "invalid_arguments" and not prompt.options and bool(prompt.text.strip())
        return _Failed(words=f"{failure['cause']}. {failure['next_step']}.", stops=for_all or failure["code"] in STOPS_ALL)


def _next_step(failed: int, stop: _Failed | None, output: ChatOutput) -> str:
    if not failed:
        return ""
    if stop is not None:
        return f" Stopped. {as_options(stop.words)}"
    again = "Run the same command again" if output.file is not None else "Run it again with -o FILE"
    return f" {again} to try the rest; each line without an answer says why."


def _plain_prompt(number: int, line: str) -> Prompt:
    return Prompt(line=number, text=line.strip(), options={})


def _json_prompt(number: int, line: str) -> Prompt:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        raise _refused(number, line) from None
    if isinstance(value, str):
        return Prompt(line=number, text=value, options={})
    if not is_object(value) or not isinstance(value.get("prompt"), str):
        raise _refused(number, line)
    unknown = next((key for key in value if key not in {"id", "prompt", *OWN}), None)
    if unknown is not None:
        raise InputRefused(
            f"Line {number} has the unknown field {str(unknown)[:40]!r}",
            next_step="Known are " + ", ".join(f"`{field}`" for field in ("id", "prompt", *OWN)),
        )
    options = {key: value[key] for key in OWN if key in value}
    return Prompt(line=number, text=str(value["prompt"]), id=value.get("id"), options=options)


def _refused(number: int, line: str) -> InputRefused:
    return InputRefused(
        f"Line {number} is not a JSON string or an object with a prompt ({line[:60]!r})",
        next_step='Write {"prompt": "..."} or a string on each line',
    )
