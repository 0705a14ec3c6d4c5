"""`selftest`: checks the real server over stdio, against the simulator."""

from __future__ import annotations

from dataclasses import asdict

from groq_fallback_mcp.cli.console import echo, print_json
from groq_fallback_mcp.harness.selftest import Check
from groq_fallback_mcp.harness.selftest import selftest as run_checks

__all__ = ["selftest"]


async def selftest(*, as_json: bool) -> int:
    """Run the checks; 1 when any failed."""
    done: list[Check] = []

    def show(check: Check) -> None:
        done.append(check)
        if not as_json:
            mark = "ok  " if check.ok else "FAIL"
            echo(f"{mark} {check.era}: {check.name} ({check.took_s:.2f} s): {check.detail}")

    await run_checks(show)
    failed = [check for check in done if not check.ok]
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in done]})
    else:
        echo(f"{len(done) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0
