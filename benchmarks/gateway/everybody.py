"""All contenders of a part at once, before one upstream."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.gateway.contenders import OURS, direct, gateways, ours
from benchmarks.gateway.process import Running, started
from benchmarks.speed.client import Upstream, upstream

__all__ = ["everybody"]


@asynccontextmanager
async def everybody(*, words: int, alone: bool) -> AsyncGenerator[tuple[Mapping[str, Running], Upstream]]:
    """The direct call and every gateway, by name, and their upstream, which answers with so many words; `alone` without the peers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with upstream() as up, AsyncExitStack() as stack:
            await up.set({"*": {"words": words}})
            wanted = {OURS: ours(folder, up.address)} if alone else gateways(folder, up.address)
            every = [direct(up.address), *wanted.values()]
            yield {one.name: await stack.enter_async_context(started(one)) for one in every}, up
