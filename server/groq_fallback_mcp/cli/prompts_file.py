"""`chat --prompts FILE`: many prompts from a file, their answers as JSON lines, each written as soon as it is there.

The answers file is what resuming reads: prompts that it answers are not sent again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.atomic_file import write_atomically
from groq_fallback_mcp.cli.calls import call
from groq_fallback_mcp.cli.chat import ChatOutput, chat_settings
from groq_fallback_mcp.cli.console import note, progress_bar
from groq_fallback_mcp.cli.piped import read_piped, read_text
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.redaction import sanitize_json
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
    kept = _answered(output, prompts)
    left = [prompt for prompt in prompts if prompt.line not in kept]
    if kept:
        note(f"{len(kept)} of {len(prompts)} are answered in {output.file}; continuing with {len(left)}.")
    async with open_context(chat_settings(arguments, local=local)) as context:
        with ExitStack() as stack:
            file = sys.stdout if output.file is None else stack.enter_context(_opened(output.file))
            moved = stack.enter_context(progress_bar(Path(name).name, shown=not output.quiet))
            simulated: list[int] = []

            def write(line: Mapping[str, Any]) -> None:
                file.write(json.dumps(sanitize_json(line), ensure_ascii=False) + "\n")
                file.flush()
                if line.get("simulated"):
                    simulated.append(line["line"])

            patient = replace(context, deadline_s=context.job_deadline_s)
            errors, stopped = await run_all(
                left,
                lambda prompt: _answer(prompt, arguments, patient, write),
                at_once=AT_ONCE,
                stops=lambda error: error is not None and error["code"] in STOPS_ALL,
                on_progress=moved,
                done="prompts answered",
            )
    failed = sum(error is not None for error in errors)
    note(f"Answered {len(prompts) - failed} of {len(prompts)}." + _next_step(failed, stopped, output))
    if simulated:
        note("SIMULATED: not real Groq answers; each line says so.")
    return 1 if failed else 0


async def _answer(
    prompt: Prompt, arguments: Mapping[str, Any], context: Context, write: Callable[[Mapping[str, Any]], None]
) -> Mapping[str, Any] | None:
    """Write a prompt's line; the error in it, if there is one."""
    try:
        reply = await call("groq_chat", {**arguments, **prompt.options, "prompt": prompt.text}, context)
        fields: Mapping[str, Any] = reply.structured
    except InputRefused as error:
        fields = {"error": {"code": "invalid_arguments", "cause": error.cause, "next_step": error.next_step}}
    named = {} if prompt.id is None else {"id": prompt.id}
    write({"line": prompt.line, **named, "prompt": prompt.text, **fields})
    return fields.get("error")


def _opened(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8", errors="replace", newline="\n")


def _next_step(failed: int, stopped: Mapping[str, Any] | None, output: ChatOutput) -> str:
    if not failed:
        return ""
    if stopped is not None:
        return f" Stopped: {stopped['cause']}. {stopped['next_step']}."
    again = "Run the same command again" if output.file is not None else "Run it again with -o FILE"
    return f" {again} to try the rest; each line without an answer says why."


def _plain_prompt(number: int, line: str) -> Prompt:
    return Prompt(line=number, text=line.strip(), options={})


def _json_prompt(number: int, line: str) -> Prompt:
    try:
        value: object = json.loads(line)
    except ValueError:
        raise _refused(number, line) from None
    if isinstance(value, str):
        return Prompt(line=number, text=value, options={})
    if not is_object(value) or not isinstance(value.get("prompt"), str):
        raise _refused(number, line)
    unknown = next((key for key in value if key not in {"id", "prompt", *OWN}), None)
    if unknown is not None:
        raise InputRefused(
            f"Line {number} has the unknown field {str(unknown)[:40]!r}", next_step=f"Known are id, prompt, {', '.join(OWN)}"
        )
    options = {key: value[key] for key in OWN if key in value}
    return Prompt(line=number, text=str(value["prompt"]), id=value.get("id"), options=options)


def _refused(number: int, line: str) -> InputRefused:
    return InputRefused(
        f"Line {number} is not a JSON string or an object with a prompt ({line[:60]!r})",
        next_step='Write {"prompt": "..."} or a string on each line',
    )


def _answered(output: ChatOutput, prompts: Sequence[Prompt]) -> set[int]:
    """The lines that the output file answers already. What it holds of failed ones, or of a write cut short, is taken out.

    Raises InputRefused where it is not an answers file of these prompts.
    """
    path = output.file
    if path is None or not path.exists() or output.overwrite:
        if path is not None and path.exists():
            path.write_bytes(b"")
        else:
            output.check()
        return set()
    texts = {prompt.line: prompt.text for prompt in prompts}
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    kept: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        try:
            value: object = json.loads(line)
        except ValueError:
            value = None
        if not is_object(value) or not isinstance(value.get("line"), int) or texts.get(value["line"]) != value.get("prompt"):
            if number == len(lines) and value is None and kept:
                break  # the last write was cut short
            raise InputRefused(
                f"{path} already exists and does not hold answers to these prompts (line {number})",
                next_step="Choose another name, or add --overwrite",
            )
        if "error" not in value:
            kept[value["line"]] = line
    if len(kept) < len(lines):
        write_atomically(path, "".join(f"{line}\n" for line in kept.values()).encode())
    return set(kept)
