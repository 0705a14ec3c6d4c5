"""The commands, their options and their help. Each is a thin call into the module that does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperArgument, TyperCommand

from groq_fallback_mcp import __version__
from groq_fallback_mcp.call import ReasoningEffort
from groq_fallback_mcp.cli import calls
from groq_fallback_mcp.cli.console import attempt, echo, run, run_blocking
from groq_fallback_mcp.cli.piped import with_piped
from groq_fallback_mcp.tools.transcribe import Format

__all__ = ["app"]

app = typer.Typer(
    name="groq-fallback-mcp",
    help="Dependable Groq for coding agents. With no command, runs the MCP server on stdio.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the structured result as JSON.")]
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="Model to try first.")]


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"groq-fallback-mcp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    del version


@app.command()
def serve(
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help="Log level; default: warning.")
    ] = None,
    log_file: Annotated[Path | None, typer.Option(help="Append the log to this file instead of stderr.")] = None,
    log_format: Annotated[Literal["text", "json"] | None, typer.Option(help="Log lines as text or JSON.")] = None,
    toolsets: Annotated[
        str | None, typer.Option(help="Extra toolsets, comma-separated: full, speech, safety, batch, all.")
    ] = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve HTTP at HOST:PORT instead of stdio, e.g. 127.0.0.1:8765.")
    ] = None,
) -> None:
    """Serve MCP over stdio (the same as no command), or over HTTP for a team."""
    if http is not None:
        from groq_fallback_mcp.cli.serve import serve_over_http

        serve_over_http(http, log_level=log_level, log_file=log_file, log_format=log_format, toolsets=toolsets)
        return
    from groq_fallback_mcp.cli.serve import serve as serve_now

    serve_now(log_level=log_level, log_file=log_file, log_format=log_format, toolsets=toolsets)


@app.command()
def chat(
    prompt: Annotated[str | None, typer.Argument(help="Prompt. Piped input is appended; - reads it from stdin.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    use_case: Annotated[
        str | None, typer.Option("--use-case", "-u", help="fast, reasoning, openai_compatible, agentic or vision.")
    ] = None,
    model: ModelOption = None,
    max_tokens: Annotated[int | None, typer.Option(help="Maximum output tokens, including reasoning.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 to 2.")] = None,
    reasoning_effort: Annotated[ReasoningEffort | None, typer.Option(help="Adjusted to what the model supports.")] = None,
    schema: Annotated[Path | None, typer.Option(help="A file with a JSON schema for the answer.", exists=True)] = None,
    image: Annotated[list[str] | None, typer.Option(help="An image file or https URL; may be repeated.")] = None,
    search: Annotated[bool, typer.Option("--search", help="Search the web.")] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Let a small local model answer when Groq and other providers cannot.")
    ] = False,
    local_only: Annotated[
        bool, typer.Option("--local-only", help="Use local models only; nothing leaves this machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask one question, e.g. git diff | groq-fallback-mcp chat "Review this"."""
    arguments = {
        "prompt": attempt(lambda: with_piped(prompt)),
        "system": system,
        "use_case": use_case,
        "model": model,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "reasoning_effort": reasoning_effort,
        "search": search,
        "local_only": local_only,
    }
    run(calls.chat, arguments, schema=schema, images=image or [], local=local, as_json=as_json)


@app.command()
def models(
    kind: Annotated[str | None, typer.Option(help="chat, system, speech_to_text, text_to_speech or guard.")] = None,
    stage: Annotated[str | None, typer.Option(help="production, preview or retired.")] = None,
    use_case: Annotated[str | None, typer.Option("--use-case", "-u", help="Only models of this use case.")] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Show models that were shut down too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List models with price, speed and availability."""
    arguments = {"kind": kind, "stage": stage, "use_case": use_case, "include_retired": retired, "all": True}
    run(calls.call_tool, "list_models", arguments, as_json=as_json)


@app.command()
def limits(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model.")] = None,
    tokens: Annotated[int, typer.Option(help="Size of the call to plan.")] = 1_500,
    probe: Annotated[bool, typer.Option("--probe", help="Send one tiny request to --model to read its real limits.")] = False,
    reopen_budget: Annotated[
        bool, typer.Option("--reopen-budget", help="After a damaged ledger: count today's unknown spending as nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is left of each limit."""
    if reopen_budget:
        run(calls.reopen_budget)
    run(calls.call_tool, "check_limits", {"model": model, "tokens": tokens, "probe": probe, "all": True}, as_json=as_json)


@app.command()
def transcribe(
    source: Annotated[str, typer.Argument(help="An audio file, or an https URL.")],
    language: Annotated[str | None, typer.Option("--language", "-l", help="ISO 639 code, such as en.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Vocabulary hint: names and terms to spell correctly.")] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = "text",
    words: Annotated[bool, typer.Option("--words", help="Word-level timestamps.")] = False,
    translate: Annotated[bool, typer.Option("--translate", help="Translate to English.")] = False,
    model: ModelOption = None,
    save_to: Annotated[str | None, typer.Option(help="A new .txt, .srt, .vtt or .json file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Transcribe speech, of any length."""
    arguments = {
        "url" if "://" in source else "file": source,
        "language": language,
        "prompt": prompt,
        "format": form,
        "timestamps": "word" if words else "segment",
        "translate": translate,
        "model": model,
        "save_to": save_to,
    }
    run(calls.with_bar, "transcribe", arguments, files=[arguments.get("file"), save_to], as_json=as_json)


@app.command()
def speak(
    text: Annotated[str, typer.Argument(help="Text to speak. Piped input is appended; - reads it from stdin.")],
    save_to: Annotated[str, typer.Argument(help="A new .wav file.")],
    voice: Annotated[str | None, typer.Option(help="One the model has; see `models --kind text_to_speech`.")] = None,
    language: Annotated[str, typer.Option("--language", "-l", help="en or ar.")] = "en",
    model: ModelOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    as_json: AsJson = False,
) -> None:
    """Convert text to speech (WAV)."""
    arguments = {
        "text": attempt(lambda: with_piped(text, what="text")),
        "save_to": save_to,
        "voice": voice,
        "language": language,
        "model": model,
        "overwrite": overwrite,
    }
    run(calls.with_bar, "speak", arguments, files=[save_to], as_json=as_json)


@app.command()
def screen(
    text: Annotated[str | None, typer.Argument(help="Text to check. Piped input is appended; - reads it from stdin.")] = None,
    policy: Annotated[str | None, typer.Option(help="Policy to check against; default: prompt injection.")] = None,
    model: ModelOption = None,
    as_json: AsJson = False,
) -> None:
    """Check text for prompt injection or policy violations."""
    given = attempt(lambda: with_piped(text, what="text"))
    run(calls.call_tool, "screen", {"text": given, "policy": policy, "model": model}, as_json=as_json)


@app.command()
def call(
    tool: Annotated[str, typer.Argument(help="Any tool, of any toolset.")],
    arguments: Annotated[str, typer.Argument(help="Arguments as a JSON object; - reads them from stdin.")] = "{}",
    as_json: AsJson = False,
) -> None:
    """Call any tool with JSON arguments, as an agent would."""
    run(calls.call_any, tool, arguments, as_json=as_json)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes a free one.")] = 8787,
    plan: Annotated[Literal["free", "developer"], typer.Option(help="Plan whose limits to enforce.")] = "free",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="MODEL=KIND[:SECONDS][xCOUNT], such as openai/gpt-oss-20b=429:5x2; kinds: 429 503 500 502 498 401 403 404 hang cut html empty slow tool_use_failed json_validate_failed model_permission_blocked_org model_permission_blocked_project model_terms_required model_decommissioned."
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Answer instantly.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain generated text even where local models are installed.")] = False,
    keep_retired: Annotated[bool, typer.Option("--keep-retired", help="Keep serving retired models.")] = False,
    batch_seconds: Annotated[float, typer.Option(min=0, help="How long a batch takes.")] = 0.0,
) -> None:
    """Run a local Groq API simulator. Responses are marked SIMULATED."""
    from groq_fallback_mcp.cli.simulate import simulate as simulate_now

    run(
        simulate_now,
        port=port,
        plan=plan,
        faults=fault or [],
        fast=fast,
        plain=plain,
        keep_retired=keep_retired,
        batch_s=batch_seconds,
    )


key = typer.Typer(help="Store the API key in the system keyring, or in a file that only you can read.", no_args_is_help=True)
app.add_typer(key, name="key")


@key.command("set")
def key_set(
    file: Annotated[
        bool, typer.Option("--file", help="Store it in a private file (mode 0600) instead of the keyring.")
    ] = False,
) -> None:
    """Store the API key in the system keyring; GROQ_API_KEY takes precedence."""
    from groq_fallback_mcp.cli.key import set_key

    run_blocking(set_key, file=file)


@key.command("remove")
def key_remove() -> None:
    """Remove the stored API key."""
    from groq_fallback_mcp.cli.key import remove_key

    run_blocking(remove_key)


catalog = typer.Typer(help="The models this server knows, and those that Groq has now.", no_args_is_help=True)
app.add_typer(catalog, name="catalog")


@catalog.command("update")
def catalog_update(
    output: Annotated[Path, typer.Option(help="Where the overlay is written.")] = Path("catalog-update.toml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print the overlay.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Compare the catalog with Groq's live list and write what differs as an overlay, for review."""
    from groq_fallback_mcp.cli.catalog_update import update

    run(update, output, dry_run=dry_run, force=force)


@app.command()
def doctor(
    start_project_servers: Annotated[
        bool,
        typer.Option(
            "--start-project-servers", help="Also start servers that this folder's client files name; only if you trust them."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the key, connection, models and client configs."""
    from groq_fallback_mcp.cli.doctor import doctor as doctor_now

    run(doctor_now, start_project_servers=start_project_servers, as_json=as_json)


_NO_CLIENT = "Omit to list detected clients and choose."


class _SetupCommand(TyperCommand):
    """Lists the clients in its help. Their table is only read when the help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from groq_fallback_mcp.clients.client import CLIENTS

        *others, last = CLIENTS
        client = next(one for one in self.params if isinstance(one, TyperArgument))
        client.help = f"{', '.join(others)} or {last}. {_NO_CLIENT}"
        super().format_help(ctx, formatter)


@app.command(cls=_SetupCommand)
def setup(
    client: Annotated[
        str | None,
        typer.Argument(help=_NO_CLIENT),
    ] = None,
    scope: Annotated[
        Literal["project", "global"] | None,
        typer.Option(help="global: your own config, for every project (default). project: this folder's, for a team."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the server and skill.")] = False,
    with_key: Annotated[bool, typer.Option("--key", help="Write the key into your own config, in clear text.")] = False,
    toolsets: Annotated[
        str | None, typer.Option(help="Extra toolsets, comma-separated: full, speech, safety, batch, all.")
    ] = None,
    no_skill: Annotated[bool, typer.Option("--no-skill", help="Skip the skill.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Skip the connection check.")] = False,
) -> None:
    """Add the server and skill to a client's config (edits in place, keeps a backup)."""
    from groq_fallback_mcp.cli.setup import setup as setup_now

    run_blocking(
        setup_now,
        client,
        scope=scope,
        dry_run=dry_run,
        remove=remove,
        with_key=with_key,
        toolsets=toolsets,
        skill=not no_skill,
        check=not no_check,
    )


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Watch a fallback happen, against the simulator (no key needed)."""
    from groq_fallback_mcp.cli.demo_and_selftest import demo as demo_now

    run(demo_now, as_json=as_json)


@app.command()
def selftest(as_json: AsJson = False) -> None:
    """Test the server over stdio against the simulator, with both protocol versions (2025-11-25, 2026-07-28)."""
    from groq_fallback_mcp.cli.demo_and_selftest import selftest as selftest_now

    run(selftest_now, as_json=as_json)
