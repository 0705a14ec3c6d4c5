"""A real browser, where one is installed, driven by Chrome's DevTools protocol."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Page:
    """A page of a browser, by Chrome's DevTools protocol. `problems` are errors of scripts and of the page's policy."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.problems: list[str] = []

    async def command(self, method: str, **parameters: Any) -> Any:
        """The result of a command."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            entry = message.get("params", {}).get("entry", {})
            of_page = entry.get("source") in {"security", "javascript"} and entry["level"] == "error"
            if message.get("method") == "Runtime.exceptionThrown" or of_page:
                self.problems.append(json.dumps(message["params"]))

    async def value(self, expression: str) -> Any:
        """What an expression is there."""
        found = await self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Until it is true."""
        with anyio.fail_after(20):
            while not await self.value(expression):  # noqa: ASYNC110 - the page has its own time
                await anyio.sleep(0.05)

    async def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "char", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "char" else {}
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A page of a browser without a window. Skips the test where there is none."""
    websockets = pytest.importorskip("websockets.asyncio.client")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome")
    # in a container there are no namespaces to make a sandbox of
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    arguments = [
        program,
        "--headless",
        "--disable-gpu",
        *sandbox,
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    ]
    process = subprocess.Popen(  # noqa: ASYNC220 - it is not waited for
        arguments, env={"PATH": os.environ["PATH"], "HOME": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        port_file = folder / "DevToolsActivePort"
        with anyio.fail_after(30):
            while not port_file.exists() or "/" not in port_file.read_text():  # noqa: ASYNC110 - written by the browser
                await anyio.sleep(0.05)
        port, _ = port_file.read_text().splitlines()
        async with httpx2.AsyncClient() as client:
            listed = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
        target = next(one for one in listed if one["type"] == "page")
        async with websockets.connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log"):
                await page.command(f"{domain}.enable")
            yield page
    finally:
        process.kill()
        process.wait()
