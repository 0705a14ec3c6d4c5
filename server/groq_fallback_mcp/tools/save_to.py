"""The argument `save_to`, shared by tools that write their result into a file of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import check_target, write_allowed
from groq_fallback_mcp.own_files import FOLDER
from groq_fallback_mcp.tools.result_bound import FOLDER as RESULTS
from groq_fallback_mcp.tools.result_bound import keep
from groq_fallback_mcp.tools.tool import Context

__all__ = ["SaveTo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveTo:
    """A path as it was given, the `extensions` it may have, and whether to replace a file that this server wrote there."""

    path: str
    extensions: tuple[str, ...]
    overwrite: bool

    async def check(self, context: Context) -> None:
        """Raises InputRefused, before any work is done, where `write` would."""
        check = partial(check_target, self.path, allowed=context.folders, extensions=self.extensions)
        await anyio.to_thread.run_sync(partial(check, overwrite=self.overwrite, records=context.state / FOLDER))

    async def write(self, content: str | bytes, context: Context, *, can_be_had_again: bool = False) -> Path:
        """Write the file, whole or not at all. Raises InputRefused.

        What cannot be had again without paying is then kept for a week, and the error says where.
        """
        write = partial(write_allowed, self.path, content, allowed=context.folders, extensions=self.extensions)
        try:
            return await anyio.to_thread.run_sync(partial(write, overwrite=self.overwrite, records=context.state / FOLDER))
        except InputRefused as error:
            if can_be_had_again:
                raise
            suffix = Path(self.path).suffix.lower()
            keeping = partial(keep, content, context.state / RESULTS, stem="unsaved", suffix=suffix)
            try:
                kept = await anyio.to_thread.run_sync(keeping)
            except OSError:
                raise error from None
            raise InputRefused(
                f"{error.cause}. The result is in {kept} for a week",
                next_step="Move it from there; another call would be paid again",
            ) from None
