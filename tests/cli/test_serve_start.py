"""The start of `serve`: nothing is loaded before it is needed, and the collector rests only meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import anyio
import pytest

from groq_fallback_mcp.cli import serve as serving
from groq_fallback_mcp.cli.app import main


@pytest.fixture
def collector() -> Iterator[None]:
    """As it was before, whatever the start does to it."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_the_collector_rests_while_modules_are_loaded_and_works_while_calls_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a day's work would fill the memory."""
    seen: list[bool] = []

    def settings(**flags: object) -> object:
        seen.append(gc.isenabled())
        return real(**flags)

    def run(*arguments: object) -> int:
        del arguments
        seen.append(gc.isenabled())
        return 0

    real = serving.load_settings
    monkeypatch.setattr(serving, "load_settings", settings)
    monkeypatch.setattr(serving, "missing_descriptors", list)
    monkeypatch.setattr(anyio, "run", run)
    monkeypatch.setattr(sys, "argv", ["groq-fallback-mcp"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert seen == [False, True]


def test_what_only_later_calls_need_is_not_loaded_at_the_start() -> None:
    """Each of these would cost every client's start some tens of milliseconds."""
    late = ("groq_fallback_mcp.providers.http", "filelock", "av", "numpy", "redis", "typer", "rich", "httpx", "jsonschema")
    code = f"import sys, groq_fallback_mcp.cli.serve; print([name for name in {late!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
