"""The commands, their options and their help. Each is a thin call into the module that does the work."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from groq_fallback_mcp import __version__
from groq_fallback_mcp.call import ReasoningEffort
from groq_fallback_mcp.cli import calls
from groq_fallback_mcp.cli.completion import complete_clients, complete_models
from groq_fallback_mcp.cli.console import attempt, echo, run, run_blocking
from groq_fallback_mcp.cli.piped import is_interactive, read_piped, with_files, with_piped
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.settings import TOOLSETS, split_names
from groq_fallback_mcp.tools.transcribe import Format

__all__ = ["app"]

USE, SET_UP, INSPECT, DEVELOP = "Use", "Set up", "Inspect", "Develop"
# In the order of the help.
ORDER = (
    "chat",
    "transcribe",
    "speak",
    "screen",
    "demo",
    "serve",
    "setup",
    "key",
    "providers",
    "doctor",
    "models",
    "limits",
    "top",
    "log",
)


class _Ordered(TyperGroup):
    """Lists commands by what a new user needs first."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="groq-fallback-mcp",
    cls=_Ordered,
    help="Dependable Groq for coding agents. With no command, runs the MCP server on stdio.",
    epilog=(
        "Exit codes: 0 done, 1 no answer or failed, 2 wrong usage or configuration file, 3 flagged by screen, 130 interrupted."
    ),
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _flag(*names: str, help: str) -> Any:  # noqa: A002 - typer's own name
    """An option without a value."""
    return typer.Option(*names, metavar="", help=help)


AsJson = Annotated[bool, _flag("--json", help="Print the structured result as JSON.")]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model to try first, e.g. gpt-oss-120b or groq/gpt-oss-120b.",
        autocompletion=complete_models,
    ),
]

OtherModelOption = Annotated[
    str | None, typer.Option("--model", "-m", metavar="MODEL", help="Model to try first.", autocompletion=complete_models)
]


def _known_toolsets(given: str | None) -> str | None:
    """Refuse a name that the server would not start with."""
    unknown = [name for name in split_names(given or "") if name not in TOOLSETS]
    if unknown:
        raise typer.BadParameter(f"{excerpt(unknown[0])} isn't a toolset. Use {', '.join(TOOLSETS[:-1])} or {TOOLSETS[-1]}.")
    return given


ToolsetsOption = Annotated[
    str | None,
    typer.Option(metavar="NAMES", callback=_known_toolsets, help=f"Extra toolsets, comma-separated: {', '.join(TOOLSETS)}."),
]
TokenName = Annotated[str, typer.Argument(help="Name of the token.")]
DailyDollars = Annotated[
    str | None,
    typer.Option(metavar="USD", help="Daily budget in US dollars (UTC); calls that could exceed it are refused."),
]
DailyTokens = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Daily budget in tokens (UTC); calls that could exceed it are refused."),
]
RequestsPerMinute = Annotated[int | None, typer.Option(min=1, max=1_000_000, metavar="N", help="Maximum requests per minute.")]


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"groq-fallback-mcp {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", metavar="", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command(rich_help_panel=USE)
def serve(
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error; default: warning."),
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append the log to this file instead of stderr.")
    ] = None,
    log_format: Annotated[
        Literal["text", "json"] | None, typer.Option(metavar="FORMAT", help="Log lines as text or JSON: text, json.")
    ] = None,
    toolsets: ToolsetsOption = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve HTTP at HOST:PORT instead of stdio, e.g. 127.0.0.1:8765.")
    ] = None,
) -> None:
    """Serve MCP over stdio (the same as no command), or over HTTP for a team.

    Example: groq-fallback-mcp serve --http 127.0.0.1:8765
    """
    if http is not None:
        from groq_fallback_mcp.cli.serve import serve_over_http

        serve_over_http(http, log_level=log_level, log_file=log_file, log_format=log_format, toolsets=toolsets)
        return
    from groq_fallback_mcp.cli.serve import serve as serve_now

    serve_now(log_level=log_level, log_file=log_file, log_format=log_format, toolsets=toolsets)


gateway = typer.Typer(invoke_without_command=True)
app.add_typer(gateway, name="gateway", rich_help_panel=USE)


@gateway.callback()
def gateway_serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="Port to listen on.")] = 8788,
    mcp: Annotated[bool, _flag("--mcp", help="Also serve MCP, at /mcp.")] = False,
    install: Annotated[bool, _flag("--install", help="Start it with every login, as a service of yours, and exit.")] = False,
    uninstall: Annotated[bool, _flag("--uninstall", help="Remove that service, and exit.")] = False,
    show_token: Annotated[bool, _flag("--show-token", help="Print the token that clients need, and exit.")] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error; default: warning."),
    ] = None,
) -> None:
    """Serve an OpenAI-compatible endpoint with fallback, for an agent's own model calls.

    Example: groq-fallback-mcp gateway --show-token
    """
    if context.invoked_subcommand is not None:
        return
    from groq_fallback_mcp.cli.gateway import print_token, serve_gateway

    if show_token:
        print_token()
        return
    if install or uninstall:
        from groq_fallback_mcp.cli import gateway_service

        if uninstall:
            run_blocking(gateway_service.uninstall)
        run_blocking(gateway_service.install, port, host=host, mcp=mcp, log_level=log_level)
    serve_gateway(host, port, mcp=mcp, log_level=log_level)


@app.command(rich_help_panel=INSPECT)
def dashboard(
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Server to look at. Default: the gateway on this machine, http://127.0.0.1:8788."),
    ] = None,
    no_open: Annotated[bool, _flag("--no-open", help="Print the link; start no browser.")] = False,
) -> None:
    """Open the dashboard of the running gateway: limits, calls, cost and health, live.

    Example: groq-fallback-mcp dashboard --no-open
    """
    from groq_fallback_mcp.cli.dashboard import open_dashboard

    run(open_dashboard, url, opens=not no_open)


gateway_token = typer.Typer(
    help="Tokens for others who use this gateway: add, list, set, rotate, remove.", no_args_is_help=True
)
gateway.add_typer(gateway_token, name="token")


@gateway_token.command("add")
def gateway_token_add(
    name: Annotated[str, typer.Argument(help="Lowercase letters, digits and hyphens, e.g. alice or ci.")],
    budget_usd_per_day: DailyDollars = None,
    tokens_per_day: DailyTokens = None,
    models: Annotated[
        str | None, typer.Option(metavar="MODELS", help="The only models it may use, comma-separated. Default: any.")
    ] = None,
    rpm: RequestsPerMinute = None,
    batch: Annotated[bool, _flag("--batch", help="For work that waits while others wait for a model.")] = False,
) -> None:
    """Make a token, and print it once.

    Example: groq-fallback-mcp gateway token add alice --tokens-per-day 200000 --rpm 30
    """
    from groq_fallback_mcp.cli import gateway_tokens

    run(
        gateway_tokens.add,
        name,
        budget_usd_per_day=budget_usd_per_day,
        tokens_per_day=tokens_per_day,
        models=models,
        rpm=rpm,
        batch=batch,
    )


@gateway_token.command("list")
def gateway_token_list(as_json: AsJson = False) -> None:
    """Show each token's spending today, its limits, and how many of its calls were refused.

    Example: groq-fallback-mcp gateway token list
    """
    from groq_fallback_mcp.cli import gateway_tokens

    run(gateway_tokens.list_tokens, as_json=as_json)


@gateway_token.command("set")
def gateway_token_set(
    name: TokenName,
    budget_usd_per_day: DailyDollars = None,
    tokens_per_day: DailyTokens = None,
    models: Annotated[str | None, typer.Option(metavar="MODELS", help="The only models it may use, comma-separated.")] = None,
    rpm: RequestsPerMinute = None,
    batch: Annotated[bool | None, typer.Option("--batch/--no-batch", help="Whether it waits while others wait.")] = None,
    unlimited: Annotated[
        str | None,
        typer.Option(metavar="LIMITS", help="Remove limits, comma-separated: budget-usd-per-day, tokens-per-day, models, rpm."),
    ] = None,
) -> None:
    """Change a token's limits; what is not given stays.

    Example: groq-fallback-mcp gateway token set alice --tokens-per-day 400000
    """
    from groq_fallback_mcp.cli import gateway_tokens

    run(
        gateway_tokens.change,
        name,
        budget_usd_per_day=budget_usd_per_day,
        tokens_per_day=tokens_per_day,
        models=models,
        rpm=rpm,
        batch=batch,
        unlimited=[one.strip() for one in (unlimited or "").split(",") if one.strip()],
    )


@gateway_token.command("rotate")
def gateway_token_rotate(name: TokenName) -> None:
    """Replace a token's secret, and print the new one once. Its limits and spending stay.

    Example: groq-fallback-mcp gateway token rotate alice
    """
    from groq_fallback_mcp.cli import gateway_tokens

    run_blocking(gateway_tokens.rotate, name)


@gateway_token.command("remove")
def gateway_token_remove(name: TokenName) -> None:
    """Remove a token.

    Example: groq-fallback-mcp gateway token remove alice
    """
    from groq_fallback_mcp.cli import gateway_tokens

    run_blocking(gateway_tokens.remove, name)


@app.command(rich_help_panel=USE)
def chat(
    prompt: Annotated[
        list[str] | None,
        typer.Argument(help="Prompt; words are joined. Piped input is appended; - reads it from stdin. None: a conversation."),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", metavar="TEXT", help="System prompt.")] = None,
    model: ModelOption = None,
    use_case: Annotated[
        str | None,
        typer.Option("--use-case", "-u", metavar="NAME", help="fast, reasoning, openai_compatible, agentic or vision."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Append a text file to the prompt; may be repeated.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", "-i", metavar="IMAGE", help="An image file or https URL; may be repeated.")
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Answer many prompts: one per line, or JSONL with a prompt each. The answers are JSONL, in the order they finish; see -o.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the answer to this new file. With --prompts, resumes one that exists."
        ),
    ] = None,
    overwrite: Annotated[bool, _flag("--overwrite", help="Replace the output file if it exists.")] = False,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Save the conversation to a new file.")] = None,
    resume: Annotated[
        Path | None, typer.Option("--continue", metavar="FILE", help="Continue a saved conversation, and save it there.")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with a JSON schema for the answer.", exists=True, dir_okay=False)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1_000_000, help="Maximum output tokens, including reasoning.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(metavar="N", min=0, max=2, help="0 to 2.")] = None,
    reasoning_effort: Annotated[
        ReasoningEffort | None,
        typer.Option(metavar="LEVEL", help="none, default, low, medium or high. Adjusted to what the model supports."),
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option(metavar="USD", min=0, help="Skip models whose worst-case cost for this call exceeds this.")
    ] = None,
    providers: Annotated[str | None, typer.Option(metavar="NAMES", help="Use only these providers, comma-separated.")] = None,
    search: Annotated[bool, _flag("--search", help="Search the web.")] = False,
    code: Annotated[bool, _flag("--code", help="Let the model run code (at Groq).")] = False,
    local: Annotated[
        bool, _flag("--local", help="Let a small local model answer when Groq and other providers cannot.")
    ] = False,
    local_only: Annotated[bool, _flag("--local-only", help="Use local models only; nothing leaves this machine.")] = False,
    quiet: Annotated[bool, _flag("--quiet", "-q", help="Only the answer: no status line, no account.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a question, or start a conversation.

    Example: git diff | groq-fallback-mcp chat "Review this"
    """
    from groq_fallback_mcp.cli.chat import ChatOutput, read_schema
    from groq_fallback_mcp.cli.chat import chat as chat_now
    from groq_fallback_mcp.cli.conversation import Conversation

    arguments = {
        "system": system,
        "use_case": use_case,
        "model": model,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "reasoning_effort": reasoning_effort,
        "max_usd": max_usd,
        "providers": providers,
        "search": search,
        "code": code,
        "local_only": local_only,
        "images": image or None,
        "response_schema": None if schema is None else attempt(lambda: read_schema(schema)),
    }
    target = ChatOutput(file=output, overwrite=overwrite, as_json=as_json, quiet=quiet)
    if prompts is not None:
        from groq_fallback_mcp.cli.prompts_file import answer_file

        _refuse_beside("--prompts", {"PROMPT": prompt, "--file": file, "--save": save, "--continue": resume})
        run(answer_file, prompts, arguments, local=local, output=target)
    if overwrite and output is None:
        raise typer.BadParameter("needs --output", param_hint="--overwrite")
    if save is not None and resume is not None:
        raise typer.BadParameter("--continue saves to its own file", param_hint="--save")
    conversation = attempt(lambda: Conversation.opened(save, resume))
    if not prompt and not file and output is None and not as_json and is_interactive() and sys.stdout.isatty():
        from groq_fallback_mcp.cli.chat_session import chat_session

        run_blocking(chat_session, arguments, conversation=conversation, local=local, output=target)
    words = " ".join(prompt or ()) or None
    if words == "-":
        text = attempt(lambda: with_files(read_piped(), file or ()) or "")
    else:
        text = attempt(lambda: with_piped(with_files(words, file or ())))
    run(chat_now, text, arguments, conversation=conversation, local=local, output=target)


def _refuse_beside(option: str, others: Mapping[str, object]) -> None:
    given = next((name for name, value in others.items() if value), None)
    if given is not None:
        raise typer.BadParameter(f"cannot be combined with {given}", param_hint=option)


@app.command(rich_help_panel=INSPECT)
def models(
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="chat, system, speech_to_text, text_to_speech or guard.")
    ] = None,
    stage: Annotated[str | None, typer.Option(metavar="STAGE", help="production, preview or retired.")] = None,
    use_case: Annotated[
        str | None, typer.Option("--use-case", "-u", metavar="NAME", help="Only models of this use case.")
    ] = None,
    retired: Annotated[bool, _flag("--retired", help="Show retired models too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List models with price, speed and availability.

    Example: groq-fallback-mcp models --kind chat
    """
    from groq_fallback_mcp.cli.tables import show_models

    arguments = {"kind": kind, "stage": stage, "use_case": use_case, "include_retired": retired, "all": True}
    run(show_models, arguments, as_json=as_json)


@app.command(rich_help_panel=INSPECT)
def limits(
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Only this model.", autocompletion=complete_models)
    ] = None,
    tokens: Annotated[int, typer.Option(metavar="N", min=1, max=10_000_000, help="Size of the call to plan.")] = 1_500,
    watch: Annotated[bool, _flag("--watch", "-w", help="Redraw every second, until Ctrl-C.")] = False,
    probe: Annotated[bool, _flag("--probe", help="Send one tiny request to --model to read its real limits.")] = False,
    reopen_budget: Annotated[
        bool, _flag("--reopen-budget", help="After a damaged ledger: count today's unknown spending as nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is left of each limit and when the next call fits.

    Example: groq-fallback-mcp limits --watch
    """
    from groq_fallback_mcp.cli.tables import show_limits, watch_limits

    arguments = {"model": model, "tokens": tokens, "probe": probe, "all": True}
    if reopen_budget:
        run(calls.reopen_budget)
    if probe and model is None:
        raise typer.BadParameter("needs --model", param_hint="--probe")
    if watch:
        _refuse_beside("--watch", {"--probe": probe, "--json": as_json})
        run(watch_limits, arguments)
    run(show_limits, arguments, as_json=as_json)


@app.command(rich_help_panel=INSPECT)
def log(
    follow: Annotated[bool, _flag("--follow", "-f", help="Go on printing calls as they end, until Ctrl-C.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", "-s", metavar="TIME", help="Only calls since then: 30m, 2h, 7d, or a local time, e.g. 2026-11-29T08:00."
        ),
    ] = None,
    client: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only calls of this client, gateway token or endpoint.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="TEXT", help="Only calls that tried this model.")
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            "--outcome",
            "-o",
            metavar="NAME",
            help="Only answered (fallbacks too), fallback, failed, cancelled, or an error code.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=20_000, help="The last N calls.")] = 20,
    clear: Annotated[bool, _flag("--clear", help="Delete the history of all calls. Limits and spending stay.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the last calls: which models were tried, how each ended, and what it took. Never any text.

    Example: groq-fallback-mcp log --since 1h --outcome failed
    """
    from groq_fallback_mcp.cli.log import CallFilter, clear_history, show_log

    if clear:
        others = {"--follow": follow, "--since": since, "--client": client, "--model": model, "--outcome": outcome}
        _refuse_beside("--clear", others | {"--json": as_json})
        run(clear_history)
    wanted = CallFilter(client=client, model=model, outcome=outcome)
    run(show_log, wanted, since=since, limit=limit, follow=follow, as_json=as_json)


@app.command(rich_help_panel=INSPECT)
def top() -> None:
    """Show limits, calls in progress and the last calls on one screen, redrawn every second.

    Example: groq-fallback-mcp top
    """
    from groq_fallback_mcp.cli.top import show_top

    run(show_top)


@app.command(rich_help_panel=USE)
def transcribe(
    source: Annotated[str, typer.Argument(help="An audio file, or an https URL.")],
    language: Annotated[str | None, typer.Option("--language", "-l", metavar="CODE", help="ISO 639 code, e.g. en.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Vocabulary hint: names and terms to spell correctly.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", metavar="FORMAT", help="text, json, verbose_json, srt or vtt.")
    ] = "text",
    words: Annotated[bool, _flag("--words", help="Word-level timestamps, after the text or in JSON.")] = False,
    translate: Annotated[bool, _flag("--translate", help="Translate to English.")] = False,
    model: OtherModelOption = None,
    save_to: Annotated[
        str | None, typer.Option("--save-to", "-o", "--output", metavar="FILE", help="A new .txt, .srt, .vtt or .json file.")
    ] = None,
    overwrite: Annotated[bool, _flag("--overwrite", help="Replace the file if this program wrote it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Transcribe speech, of any length.

    Example: groq-fallback-mcp transcribe talk.mp3 -f srt --save-to talk.srt
    """
    arguments = {
        "url" if "://" in source else "file": source,
        "language": language,
        "prompt": prompt,
        "format": form,
        "timestamps": "word" if words else "segment",
        "translate": translate,
        "model": model,
        "save_to": save_to,
        "overwrite": overwrite,
    }
    run(calls.with_bar, "transcribe", arguments, files=[arguments.get("file"), save_to], as_json=as_json)


@app.command(rich_help_panel=USE)
def speak(
    text: Annotated[str, typer.Argument(help="Text to speak. Piped input is appended; - reads it from stdin.")],
    save_to: Annotated[str, typer.Argument(help="A new .wav file.")],
    voice: Annotated[
        str | None, typer.Option(metavar="VOICE", help="One the model has; see `models --kind text_to_speech`.")
    ] = None,
    language: Annotated[str, typer.Option("--language", "-l", metavar="CODE", help="en or ar.")] = "en",
    model: OtherModelOption = None,
    overwrite: Annotated[bool, _flag("--overwrite", help="Replace the file if this program wrote it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Convert text to speech (WAV).

    Example: groq-fallback-mcp speak "Build finished." done.wav
    """
    arguments = {
        "text": attempt(lambda: with_piped(text, what="text")),
        "save_to": save_to,
        "voice": voice,
        "language": language,
        "model": model,
        "overwrite": overwrite,
    }
    run(calls.with_bar, "speak", arguments, files=[save_to], as_json=as_json)


@app.command(rich_help_panel=USE)
def screen(
    text: Annotated[str | None, typer.Argument(help="Text to check. Piped input is appended; - reads it from stdin.")] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Policy to check against; default: prompt injection.")
    ] = None,
    model: OtherModelOption = None,
    as_json: AsJson = False,
) -> None:
    """Check text for prompt injection or policy violations. Exits with 3 when it is flagged.

    Example: cat page.txt | groq-fallback-mcp screen
    """
    given = attempt(lambda: with_piped(text, what="text"))
    run(calls.screen, {"text": given, "policy": policy, "model": model}, as_json=as_json)


@app.command(rich_help_panel=DEVELOP)
def call(
    tool: Annotated[str, typer.Argument(help="Any tool, of any toolset.")],
    arguments: Annotated[str, typer.Argument(help="Arguments as a JSON object; - reads them from stdin.")] = "{}",
    as_json: AsJson = False,
) -> None:
    """Call any tool with JSON arguments, as an agent would.

    Example: groq-fallback-mcp call check_limits '{"tokens": 6000}'
    """
    run(calls.call_any, tool, arguments, as_json=as_json)


@app.command(rich_help_panel=DEVELOP)
def simulate(
    port: Annotated[int, typer.Option(metavar="PORT", help="Port on loopback; 0 takes a free one.")] = 8787,
    plan: Annotated[
        str | None,
        typer.Option(metavar="PLAN", help="Plan whose limits to enforce: free or developer, or one of the provider's."),
    ] = None,
    like: Annotated[
        str | None, typer.Option(metavar="PROVIDER", help="Behave like another provider, e.g. gemini, mistral or ollama.")
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS", min=1, help="Context window that a local server (--like ollama) has loaded; 32768 if not given."
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAULT",
            help="MODEL=KIND, MODEL=KIND:SECONDS or either with xCOUNT, e.g. openai/gpt-oss-20b=429:5x2; * is every model. Kinds: 429 503 500 502 498 401 403 404 hang cut html empty slow tool_use_failed json_validate_failed model_permission_blocked_org model_permission_blocked_project model_terms_required model_decommissioned.",
        ),
    ] = None,
    fast: Annotated[bool, _flag("--fast", help="Answer instantly.")] = False,
    plain: Annotated[bool, _flag("--plain", help="Plain generated text even where local models are installed.")] = False,
    keep_retired: Annotated[bool, _flag("--keep-retired", help="Keep serving retired models.")] = False,
    batch_seconds: Annotated[float, typer.Option(metavar="S", min=0, help="Seconds a batch takes.")] = 0.0,
) -> None:
    """Run a local Groq API simulator, or one of another provider. Responses are marked SIMULATED.

    Example: groq-fallback-mcp simulate --fault openai/gpt-oss-20b=429:30
    """
    from groq_fallback_mcp.cli.simulate import simulate as simulate_now

    run(
        simulate_now,
        port=port,
        plan=plan,
        like=like,
        window=window,
        faults=fault or [],
        fast=fast,
        plain=plain,
        keep_retired=keep_retired,
        batch_s=batch_seconds,
    )


key = typer.Typer(help="Store the API key in the system keyring, or in a file that only you can read.", no_args_is_help=True)
app.add_typer(key, name="key", rich_help_panel=SET_UP)


@key.command("set")
def key_set(
    file: Annotated[bool, _flag("--file", help="Store it in a private file (mode 0600) instead of the keyring.")] = False,
    force: Annotated[bool, _flag("--force", help="Store it even if Groq refuses it.")] = False,
) -> None:
    """Try the API key and store it in the system keyring; GROQ_API_KEY takes precedence.

    Example: groq-fallback-mcp key set < key.txt
    """
    from groq_fallback_mcp.cli.key import set_key

    run_blocking(set_key, file=file, force=force)


@key.command("status")
def key_status(as_json: AsJson = False) -> None:
    """Show where the API key comes from, and whether it works.

    Example: groq-fallback-mcp key status
    """
    from groq_fallback_mcp.cli.key import show_key

    run_blocking(show_key, as_json=as_json)


@key.command("remove")
def key_remove() -> None:
    """Remove the stored API key.

    Example: groq-fallback-mcp key remove
    """
    from groq_fallback_mcp.cli.key import remove_key

    run_blocking(remove_key)


providers = typer.Typer(
    help="Providers that answer where Groq cannot: list, add, test, order, remove.", invoke_without_command=True
)
app.add_typer(providers, name="providers", rich_help_panel=SET_UP)


@providers.callback()
def _providers(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        providers_list()


@providers.command("list")
def providers_list(as_json: AsJson = False) -> None:
    """Show the configured providers in order, and which ones can be added.

    Example: groq-fallback-mcp providers list
    """
    from groq_fallback_mcp.cli.providers import list_providers

    run_blocking(list_providers, as_json=as_json)


@providers.command("add")
def providers_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One that `providers list` shows, or any name with --url.")],
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Base URL of an OpenAI-compatible endpoint, e.g. https://models.example.com/v1."),
    ] = None,
    plan: Annotated[str | None, typer.Option(metavar="PLAN", help="Plan of your account there, e.g. free or paid.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Model to use, best first; repeat for more. Default: all known.")
    ] = None,
    key_env: Annotated[str | None, typer.Option(metavar="NAME", help="Environment variable with its key.")] = None,
    file: Annotated[bool, _flag("--file", help="Store its key in a private file instead of the keyring.")] = False,
    yes: Annotated[bool, _flag("--yes", "-y", help="Agree to sending prompts there.")] = False,
) -> None:
    """Add a provider to config.toml and store its key.

    Example: groq-fallback-mcp providers add gemini --yes
    """
    from groq_fallback_mcp.cli.providers import add_provider

    run_blocking(add_provider, name, url=url, plan=plan, models=model or (), key_env=key_env, file=file, yes=yes)


@providers.command("test")
def providers_test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A configured provider.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Model to test. Default: the first one.")
    ] = None,
    yes: Annotated[bool, _flag("--yes", "-y", help="Agree to send it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send one short message to a provider, and show what differs from the catalog.

    Example: groq-fallback-mcp providers test gemini
    """
    from groq_fallback_mcp.cli.provider_check import test_provider

    run(test_provider, name, model=model, yes=yes, as_json=as_json)


@providers.command("order")
def providers_order(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Providers, best first.")] = None,
    prefer: Annotated[
        str | None, typer.Option(metavar="KINDS", help="Kinds in order, comma-separated: groq, local, free, paid.")
    ] = None,
) -> None:
    """Set the order in which providers, or kinds of them, are used.

    Example: groq-fallback-mcp providers order gemini --prefer groq,free,local,paid
    """
    from groq_fallback_mcp.cli.providers import order_providers

    run_blocking(order_providers, names or (), prefer=prefer)


@providers.command("remove")
def providers_remove(name: Annotated[str, typer.Argument(metavar="NAME", help="A configured provider.")]) -> None:
    """Remove a provider from config.toml, and its stored key.

    Example: groq-fallback-mcp providers remove gemini
    """
    from groq_fallback_mcp.cli.providers import remove_provider

    run_blocking(remove_provider, name)


catalog = typer.Typer(help="Compare the model catalog with Groq's live list.", no_args_is_help=True)
app.add_typer(catalog, name="catalog", rich_help_panel=DEVELOP)


@catalog.command("update")
def catalog_update(
    output: Annotated[Path, typer.Option(metavar="FILE", help="File to write the overlay to.")] = Path("catalog-update.toml"),
    dry_run: Annotated[bool, _flag("--dry-run", help="Print the overlay; write nothing.")] = False,
    force: Annotated[bool, _flag("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the differences from Groq's live list as an overlay, for review.

    Example: groq-fallback-mcp catalog update --dry-run
    """
    from groq_fallback_mcp.cli.catalog_update import update

    run(update, output, dry_run=dry_run, force=force)


@app.command(rich_help_panel=SET_UP)
def doctor(
    start_project_servers: Annotated[
        bool,
        _flag(
            "--start-project-servers", help="Also start the servers in this folder's client configs. Only if you trust them."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the key, connection, models and client configs.

    Example: groq-fallback-mcp doctor
    """
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


@app.command(cls=_SetupCommand, rich_help_panel=SET_UP)
def setup(
    client: Annotated[
        str | None,
        typer.Argument(help=_NO_CLIENT, autocompletion=complete_clients),
    ] = None,
    scope: Annotated[
        Literal["project", "global"] | None,
        typer.Option(
            metavar="SCOPE", help="global: your own config, for every project (default). project: this folder's, for a team."
        ),
    ] = None,
    dry_run: Annotated[bool, _flag("--dry-run", help="Show what would change; write nothing.")] = False,
    remove: Annotated[bool, _flag("--remove", help="Remove the server and skill.")] = False,
    with_key: Annotated[bool, _flag("--key", help="Write the key into your own config, in clear text.")] = False,
    toolsets: ToolsetsOption = None,
    no_skill: Annotated[bool, _flag("--no-skill", help="Skip the skill.")] = False,
    no_check: Annotated[bool, _flag("--no-check", help="Skip the connection check.")] = False,
    gateway: Annotated[
        bool,
        _flag(
            "--gateway",
            help="Use the gateway for the client's own model calls instead: kilo, opencode, cline, continue, codex, claude-code.",
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, metavar="PORT", help="With --gateway: port of the gateway. Default: 8788."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="With --gateway: a gateway on another machine, as https://HOST. Prompts for its token."
        ),
    ] = None,
    measure: Annotated[bool, _flag("--measure", help="With --gateway: run the client once to measure its prompt.")] = False,
) -> None:
    """Add the server and skill to a client's config (edits in place, keeps a backup).

    Example: groq-fallback-mcp setup kilo
    """
    if gateway:
        from groq_fallback_mcp.cli.setup_gateway import DEFAULT_PORT, setup_gateway

        given = {"--scope project": scope == "project", "--key": with_key, "--toolsets": toolsets is not None}
        if (option := next((name for name, used in given.items() if used), None)) is not None:
            raise typer.BadParameter("cannot be combined with --gateway", param_hint=option)
        if measure and (dry_run or remove):
            raise typer.BadParameter("cannot be combined with --dry-run or --remove", param_hint="--measure")
        if url is not None and (measure or remove or port is not None):
            raise typer.BadParameter("cannot be combined with --port, --measure or --remove", param_hint="--url")
        run_blocking(setup_gateway, client, port=port or DEFAULT_PORT, url=url, dry_run=dry_run, remove=remove, measure=measure)
        return
    given = {"--port": port is not None, "--measure": measure, "--url": url is not None}
    if (option := next((name for name, used in given.items() if used), None)) is not None:
        raise typer.BadParameter("needs --gateway", param_hint=option)
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


@app.command(rich_help_panel=USE)
def demo(
    full: Annotated[bool, _flag("--full", help="Ten steps, with every result as an agent sees it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch a fallback happen, against the simulator (no key needed).

    Example: groq-fallback-mcp demo --full
    """
    from groq_fallback_mcp.cli.demo import demo as demo_now

    run(demo_now, full=full, as_json=as_json)


@app.command(rich_help_panel=DEVELOP)
def selftest(as_json: AsJson = False) -> None:
    """Test the server over stdio against the simulator, with both protocol versions (2025-11-25, 2026-07-28).

    Example: groq-fallback-mcp selftest
    """
    from groq_fallback_mcp.cli.selftest import selftest as selftest_now

    run(selftest_now, as_json=as_json)
