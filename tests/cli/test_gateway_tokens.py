"""The commands `gateway token`, and a gateway in a process of its own that knows what they have done."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import httpx2
import pytest
from command_line import command
from gateway_process import gateway
from typer.testing import CliRunner

from groq_fallback_mcp.cli import commands
from groq_fallback_mcp.gateway_tokens import LOOK_EVERY_S, TOKENS_FILE, read_tokens

pytestmark = pytest.mark.anyio
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 200}


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of tokens, which does not exist, named by its setting."""
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("GROQ_FALLBACK_GATEWAY_TOKENS", str(tmp_path / "tokens.toml"))
    monkeypatch.setenv("GROQ_FALLBACK_FIND_LOCAL_SERVERS", "false")
    return tmp_path / "tokens.toml"


def run(*words: str) -> tuple[int, str, str]:
    """A command's status, its output and what it said beside it."""
    done = CliRunner().invoke(commands.app, ["gateway", "token", *words])
    return done.exit_code, done.stdout, done.stderr


def test_a_token_is_printed_once_alone_and_kept_with_its_limits(tokens: Path) -> None:
    """The rest is on stderr, so a script can take it; short names of models become ids."""
    status, out, err = run(
        "add", "ann", "--budget-usd-per-day", "2.50", "--tokens-per-day", "9", "--models", "gpt-oss-20b, whisper-large-v3",
        "--rpm", "5", "--batch",
    )  # fmt: skip
    assert (status, len(out), out.count("\n")) == (0, 44, 1)
    assert out.strip() not in err
    assert "Added the gateway token ann" in err
    (found,) = read_tokens(tokens)
    assert str(found.budget_usd_per_day) == "2.50"
    assert (found.tokens_per_day, found.rpm, found.batch) == (9, 5, True)
    assert found.models == ("openai/gpt-oss-20b", "whisper-large-v3")
    listed = run("list")
    assert (listed[0], out.strip() in listed[1]) == (0, False)
    assert listed[1].splitlines()[1].split("  ")[0] == "ann (batch)"
    rows = json.loads(run("list", "--json")[1])["tokens"]
    assert (rows[0]["budget_usd_per_day"], rows[0]["tokens_today"], rows[0]["refused_today"]) == (2.5, 0, 0)
    assert run("remove", "ann")[0] == 0
    assert "No gateway tokens yet" in run("list")[1]


def test_limits_are_changed_one_by_one_and_a_secret_is_replaced(tokens: Path) -> None:
    """What is not given stays."""
    first = run("add", "ann", "--tokens-per-day", "9", "--rpm", "5", "--batch")[1].strip()
    assert run("set", "ann", "--tokens-per-day", "10", "--no-batch", "--unlimited", "rpm")[0] == 0
    (found,) = read_tokens(tokens)
    assert (found.tokens_per_day, found.rpm, found.batch) == (10, None, False)
    status, out, err = run("rotate", "ann")
    assert (status, len(out), out.strip() in err, out.strip() == first) == (0, 44, False, False)
    (rotated,) = read_tokens(tokens)
    assert rotated.tokens_per_day == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "Ann"), "Invalid token name 'Ann'"),
        (("add", "owner"), "other than owner"),
        (("add", "ann", "--budget-usd-per-day", "much"), "Invalid budget 'much'"),
        (("add", "ann", "--budget-usd-per-day", "NaN"), "Invalid budget 'NaN'"),
        (("add", "ann", "--budget-usd-per-day", "-1"), "Invalid budget '-1'"),
        (("add", "ann", "--models", "gpt-9"), "Unknown model 'gpt-9'"),
        (("add", "ann", "--models", ","), "--models names no model"),
        (("add", "ann", "--rpm", "0"), "--rpm"),
        (("add", "ann", "--tokens-per-day", "-1"), "--tokens-per-day"),
        (("remove", "ann"), "Unknown gateway token 'ann'"),
        (("add", "ann", "--models", "llama-3.3-70b-versatile"), "is retired"),
        (("rotate", "ann"), "Unknown gateway token 'ann'"),
        (("set", "ann", "--rpm", "3"), "Unknown gateway token 'ann'"),
        (("set", "ann"), "No change is given"),
        (("set", "ann", "--unlimited", "fun"), "Unknown limit 'fun'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_next_step(words: tuple[str, ...], message: str, tokens: Path) -> None:
    """And nothing is written."""
    status, out, err = run(*words)
    assert (status, out, message in err) == (2, "", True), err
    assert not tokens.exists()


def test_budgets_are_shown_as_people_write_them(tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A millionth of a dollar too, beside what was spent as exactly."""
    monkeypatch.setenv("GROQ_FALLBACK_STATE", f"sqlite://{tmp_path}/state.sqlite3")
    assert run("add", "tiny", "--budget-usd-per-day", "0.000001", "--tokens-per-day", "20000")[0] == 0
    assert run("add", "large", "--budget-usd-per-day", "2500.5")[0] == 0
    listed = run("list")[1]
    assert "0.000000 of 0.000001" in listed
    assert "0.000000 of 2,500.5" in listed
    assert "0 of 20,000" in listed


def test_without_a_ledger_spending_is_said_to_be_unknown(tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not nothing."""
    run("add", "ann")
    monkeypatch.setenv("GROQ_FALLBACK_STATE", "sqlite:///proc/none/ledger.sqlite3")
    status, _, err = run("list")
    assert (status, "today's figures are not known" in err) == (0, True)


@pytest.mark.nightly
async def test_a_running_gateway_knows_a_token_that_was_added_and_not_one_that_was_removed(tmp_path: Path) -> None:
    """Within a second; what it spent is listed, and a budget that is used up is refused."""
    home = {"XDG_STATE_HOME": str(tmp_path / "state")}
    async with gateway(tmp_path) as (_, _, port), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        added = await command("gateway", "token", "add", "ann", "--tokens-per-day", "400", cwd=tmp_path, **home)
        assert added.returncode == 0, added.stderr
        headers = {"x-api-key": added.stdout.strip()}
        await anyio.sleep(LOOK_EVERY_S)
        got = await client.post("/v1/chat/completions", json=HELLO, headers=headers)
        assert (got.status_code, got.headers["x-groq-fallback-token"]) == (200, "ann")
        refused = await client.post("/v1/chat/completions", json={**HELLO, "max_tokens": 900}, headers=headers)
        assert refused.status_code == 402
        listed = json.loads((await command("gateway", "token", "list", "--json", cwd=tmp_path, **home)).stdout)["tokens"]
        assert (listed[0]["calls_today"], listed[0]["refused_today"]) == (1, 1)
        assert listed[0]["tokens_today"] == got.json()["usage"]["total_tokens"]
        await command("gateway", "token", "remove", "ann", cwd=tmp_path, **home)
        await anyio.sleep(LOOK_EVERY_S)
        assert (await client.post("/v1/chat/completions", json=HELLO, headers=headers)).status_code == 401
    assert [path.stat().st_mode & 0o777 for path in tmp_path.rglob(TOKENS_FILE)] == [0o600]


async def test_a_damaged_file_of_tokens_ends_the_start_with_what_is_wrong(tmp_path: Path) -> None:
    """A gateway that let nobody in, or all, would be worse."""
    (tmp_path / "tokens.toml").write_text("damaged")
    done = await command("gateway", cwd=tmp_path, GROQ_FALLBACK_GATEWAY_TOKENS=str(tmp_path / "tokens.toml"))
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "tokens.toml is not valid TOML" in done.stderr
