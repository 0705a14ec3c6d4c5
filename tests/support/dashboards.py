"""The gateway with its dashboard, in this process: asked as a browser or a command does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from fakes import World
from starlette.types import ASGIApp
from upstream import Received, ask

from groq_fallback_mcp.call import CallRecord, CallUnderWay
from groq_fallback_mcp.cli.gateway import guarded
from groq_fallback_mcp.gateway_tokens import TokensFile, token_hash
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.tools import Context

__all__ = ["OWNERS", "Dashboards"]

OWNERS = "the-token-of-the-owner"
HOST = "127.0.0.1:8788"


class Dashboards:
    """A gateway of the owner and of `ann`, who has a token of the file."""

    def __init__(self, folder: Path, world: World | None = None) -> None:
        self.world = world or World()
        path = folder / "tokens.toml"
        path.write_text(f'[[tokens]]\nname = "ann"\nsha256 = "{token_hash(b"ann").hex()}"\ncreated = 2026-11-29\n')
        path.chmod(0o600)
        tokens = TokensFile(path, self.world.clock.monotonic)
        context = Context(engine=self.world.engine, folders=())
        self.app: ASGIApp = guarded(context, load_settings(), OWNERS, tokens, mcp=True)  # type: ignore[assignment]

    async def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        cookie: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        leave_after: int | None = None,
    ) -> Received:
        """What a browser gets with a cookie, and a command with a token."""
        given = {"host": HOST, **(headers or {})}
        if cookie is not None:
            given["cookie"] = cookie
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        return await ask(self.app, b"", path=path, method=method, headers=given, leave_after=leave_after)

    async def link(self) -> str:
        """A new link, as the command line gets it."""
        got = await self.ask("/dashboard/link", method="POST", token=OWNERS)
        assert got.status == 200
        return str(got.json["path"])

    async def sign_in(self) -> str:
        """The cookie of a new session."""
        got = await self.ask(await self.link())
        assert got.status == 303
        return got.headers["set-cookie"].partition(";")[0]

    async def data(self) -> Any:
        """The data, as a browser with a session gets it."""
        got = await self.ask("/dashboard/data", cookie=await self.sign_in())
        assert got.status == 200
        return got.json

    async def keep(self, *calls: CallRecord, under_way: tuple[CallUnderWay, ...] = ()) -> None:
        """Put calls into the ledger, as another process may."""
        assert await self.world.ledger.add_to_history(list(calls), list(under_way), process="another")
        await anyio.lowlevel.checkpoint()
