"""GET /v1/models as Claude Code and Codex read it: two more forms of the one list. Pure.

Claude Code lists only models whose ids have "claude" in them, so ours are given a prefix that is dropped when they come back.
Codex takes a model's instructions from the list. Its usual ones have 4,000 tokens, half of what Groq's free plan takes in a
minute; ours have about 300.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["CLAUDE_PREFIX", "codex_models", "messages_models"]

CLAUDE_PREFIX = "claude-code/"

_INSTRUCTIONS = """\
You are Codex, a coding agent in the user's terminal. You share their workspace.
- Work until the task is done: find out what you need from the files, change them with your tools, check the change, then answer.
- Read before you write. Search with rg. Make the smallest change that solves the cause, in the style of the code around it.
- Edit files with apply_patch in the shell. Besides Update File there are Add File and Delete File.
apply_patch <<'EOF'
*** Begin Patch
*** Update File: path/to/file.py
@@
 a line that stays
-a line to remove
+a line to add
*** End Patch
EOF
- Never undo or overwrite changes that you did not make, and never commit, unless the user asks.
- Obey AGENTS.md files: each holds for its folder and below, and a deeper one takes precedence.
- Run the tests or the build of what you changed. If a command fails, read its output and fix the cause.
- If a request is a question, answer it without changing files.
- Answer briefly in plain text: what you did, which files, what remains. Name files with their paths and lines.
"""
# What a tool's output is cut to, as Codex has it for models that it does not know.
_OUTPUT_TOKENS = 10_000
_EFFORTS = ("low", "medium", "high")


def messages_models(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The chat models in the form of Anthropic's list."""
    data = [_messages_model(row) for row in rows if row["type"] == "chat"]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def codex_models(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The chat models in the form of Codex's catalog, in the order in which it offers them."""
    chats = [row for row in rows if row["type"] == "chat"]
    return [_codex_model(row, priority) for priority, row in enumerate(chats)]


def _messages_model(row: Mapping[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = {
        "type": "model",
        "id": f"{CLAUDE_PREFIX}{row['id']}",
        "display_name": row["id"],
        "created_at": datetime.fromtimestamp(row["created"], UTC).isoformat().replace("+00:00", "Z"),
        "max_input_tokens": row.get("context_window"),
        "max_tokens": row.get("max_completion_tokens"),
    }
    return {name: value for name, value in model.items() if value is not None}


def _codex_model(row: Mapping[str, Any], priority: int) -> dict[str, Any]:
    model: dict[str, Any] = {
        "slug": row["id"],
        "display_name": row["id"],
        "description": f"From {row['owned_by']}",
        "base_instructions": _INSTRUCTIONS,
        "context_window": row.get("context_window"),
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": [{"effort": effort, "description": f"{effort} effort"} for effort in _EFFORTS],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "support_verbosity": False,
        "truncation_policy": {"mode": "tokens", "limit": _OUTPUT_TOKENS},
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if row.get("vision") else ["text"],
    }
    return {name: value for name, value in model.items() if value is not None}
