"""The blocks `tools` and `clients`: what an agent can call, and how each client comes to call it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from groq_fallback_mcp.generate.launch import Launch
from groq_fallback_mcp.generate.markdown import code, table
from groq_fallback_mcp.tools import TOOLS, TOOLSETS, Tool
from groq_fallback_mcp.tools.input_schema import input_schema

__all__ = ["clients_block", "tools_block", "toolsets_block"]


def tools_block() -> str:
    """Each tool with its words for the agent and a table of its arguments."""
    return "\n\n".join(f"{code(tool.name)}: {tool.description}\n\n{_arguments(tool)}" for tool in TOOLS)


def toolsets_block() -> str:
    """What each toolset adds, and what that costs an agent in tokens with every request."""
    rows = (
        (
            code(toolset.name),
            ", ".join(code(tool.name) for tool in toolset.tools) or "-",
            toolset.title,
            f"{toolset.tokens:,}",
        )
        for toolset in TOOLSETS.values()
    )
    described = "\n\n".join(
        f"{code(tool.name)}: {tool.description}\n\n{_arguments(tool)}"
        for toolset in TOOLSETS.values()
        for tool in toolset.tools
    )
    return f"{table(('Toolset', 'Tools', 'For', 'Tokens more'), rows)}\n\n{described}"


def clients_block(launch: Launch) -> str:
    """How to add the server to each client, and what its model calls the tools."""
    name, command = launch.name, " ".join(launch.command)
    first = TOOLS[0].name
    single, double, mixed = f"{name}_{first}", f"mcp__{name}__{first}", f"{name}__{first}"
    rows = (
        ("Kilo Code", _file("kilo/kilo.json"), f"kilo mcp add {name} -- {command}", "kilo mcp list", single),
        ("Kilo Code, older format", _file("kilo/mcp.json"), "", "kilo mcp list", single),
        ("Claude Code", _file("claude/.mcp.json"), f"claude mcp add {name} -- {command}", "claude mcp list", double),
        ("Claude Desktop", _file("claude/claude_desktop_config.json"), "", "", first),
        ("VS Code", _file("vscode/mcp.json"), "", "", first),
        ("Cursor", _file("cursor/mcp.json"), "", "", first),
        ("opencode", "as Kilo's, in `opencode.json`", "", "opencode mcp list", single),
        ("Codex", "", f"codex mcp add {name} -- {command}", "codex mcp list", double),
        ("Gemini CLI", "", f"gemini mcp add {name} {command}", "gemini mcp list", f"mcp_{single}"),
        ("Cline", "", f"cline mcp add {name} --yes -- {command}", "", mixed),
        ("LiteLLM proxy", _file("litellm/config.yaml"), "", "", ""),
    )
    headings = ("Client", "Manifest", "Or by command", "Check", "The model sees")
    return table(headings, ((client, file, *(code(cell) if cell else "" for cell in cells)) for client, file, *cells in rows))


def _file(path: str) -> str:
    return f"[manifests/{path}](manifests/{path})"


def _arguments(tool: Tool) -> str:
    properties = cast("dict[str, dict[str, Any]]", input_schema(tool.arguments).get("properties", {}))
    return table(("Argument", "Takes", "Default", "Meaning"), _argument_rows(tool, properties))


def _argument_rows(tool: Tool, properties: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for name, schema in properties.items():
        field = tool.arguments.model_fields[name]
        default = "required" if field.is_required() else "" if field.default is None else code(json.dumps(field.default))
        yield code(name), _takes(schema), default, str(schema.get("description", ""))


def _takes(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(code(str(value)) for value in schema["enum"])
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = f" {least:,} to {most:,}" if least is not None and most is not None else ""
    longest = f" up to {schema['maxLength']:,} characters" if "maxLength" in schema else ""
    return f"{schema.get('type', 'any')}{bounds}{longest}"
