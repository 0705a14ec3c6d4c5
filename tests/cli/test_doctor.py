"""What doctor finds in clients' files and how it shows it; its words about keys are in test_key_faults.py."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc
import pytest
from anyio.abc import SocketStream
from command_line import command, simulated
from gateway_process import TOKEN, environment_of, free_port, started
from terminal import Terminal

from groq_fallback_mcp.providers.local.provider import available_models
from groq_fallback_mcp.simulator import run_simulator

pytestmark = pytest.mark.anyio


def entry(home: Path, program: str, *arguments: str) -> Path:
    """An entry of our name in Cursor's own file."""
    path = home / ".cursor" / "mcp.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": {"groq": {"command": program, "args": list(arguments)}}}))
    return path


@pytest.mark.skipif(not available_models(), reason="the extra local is not installed")
async def test_a_configured_command_that_is_gone_is_the_first_thing_to_fix(tmp_path: Path) -> None:
    """As after a virtual environment was moved; nothing else is wrong here."""
    entry(tmp_path, "/gone/.venv/bin/python", "-m", "groq_fallback_mcp")
    done = await command("doctor", cwd=tmp_path, GROQ_FALLBACK_LOCAL="only")
    assert done.returncode == 1
    assert "'/gone/.venv/bin/python' does not exist; run groq-fallback-mcp setup cursor again" in done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("fail client cursor: ") for line in lines)
    path = tmp_path / ".cursor" / "mcp.json"
    assert lines[-1] == f"Not ready. Run groq-fallback-mcp setup cursor again, or correct its entry groq in {path}."


async def test_without_the_only_models_that_are_allowed_the_verdict_says_how_to_get_them(tmp_path: Path) -> None:
    """No provider would help, as none is used then."""
    done = await command(
        "doctor", cwd=tmp_path, GROQ_FALLBACK_LOCAL="only", GROQ_FALLBACK_LOCAL_TEXT_MODEL=str(tmp_path / "gone.gguf")
    )
    assert done.returncode == 1
    assert "chat: unavailable (no local model for text)" in done.stdout
    verdict = done.stdout.splitlines()[-1]
    assert verdict.startswith("Not ready. Set GROQ_FALLBACK_LOCAL to auto, or add local text: ")
    assert "providers" not in verdict


async def test_another_server_that_is_gone_is_not_ours_to_fix_while_a_client_has_ours(tmp_path: Path) -> None:
    """It is named, and makes us unready only where no client has a server that answers."""
    entry(tmp_path, "/gone/other-server")
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        alone = await command("doctor", base_url=running.base_url, cwd=tmp_path)
        await command("setup", "kilo", "--no-check", cwd=tmp_path)
        beside = await command("doctor", base_url=running.base_url, cwd=tmp_path)
    assert "fail client cursor: " in alone.stdout
    step = f"Correct the entry groq in {tmp_path / '.cursor' / 'mcp.json'}, or run groq-fallback-mcp setup cursor to replace it"
    assert alone.stdout.splitlines()[-1] == f"Not ready. {step}."
    assert "warn client cursor: " in beside.stdout
    assert beside.stdout.splitlines()[-1] == "Ready."


async def set_up_kilo(home: Path, base_url: str, *, changed: dict[str, str], **variables: str) -> list[str]:
    """What doctor prints after `setup kilo`, with texts of the entry changed and variables added to it."""
    await command("setup", "kilo", "--no-check", cwd=home)
    path = home / ".config" / "kilo" / "kilo.json"
    given = json.loads(path.read_text())
    server = given["mcp"]["groq"]
    server["command"] = [changed.get(part, part) for part in server["command"]]
    server["environment"] |= variables
    path.write_text(json.dumps(given))
    done = await command("doctor", base_url=base_url, cwd=home / "project", HOME=str(home))
    assert done.returncode == (0 if done.stdout.splitlines()[-1] == "Ready." else 1)
    assert "ExceptionGroup" not in done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("changed", "variables", "words"),
    [
        ({}, {"GROQ_FALLBACK_PLAN": "developper"}, ["It reports: Invalid GROQ_FALLBACK_PLAN", "'developper'"]),
        ({}, {"GROQ_FALLBACK_TOOLSETS": "speach"}, ["It reports: Invalid GROQ_FALLBACK_TOOLSETS", "'speach'"]),
        ({"groq_fallback_mcp": "groq_fallback_mcq"}, {}, ["It reports: No module named groq_fallback_mcq"]),
    ],
)
async def test_a_client_whose_own_entry_cannot_start_the_server_is_not_ready(
    tmp_path: Path, changed: dict[str, str], variables: dict[str, str], words: list[str]
) -> None:
    """It is started as the client would start it, with the variables of its entry."""
    (tmp_path / "project").mkdir()
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        lines = await set_up_kilo(tmp_path, running.base_url, changed=changed, **variables)
    (line,) = [line for line in lines if "client kilo" in line]
    assert line.startswith("fail client kilo: ")
    for word in (*words, "does not start or does not respond"):
        assert word in line
    path = tmp_path / ".config" / "kilo" / "kilo.json"
    step = f"Run groq-fallback-mcp setup kilo again, or correct its entry groq in {path}"
    assert line.endswith(f". {step}")
    assert lines[-1] == f"Not ready. {step}."


async def test_a_client_whose_entry_has_usable_variables_is_ready(tmp_path: Path) -> None:
    """Also where one refers to the environment."""
    (tmp_path / "project").mkdir()
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        lines = await set_up_kilo(
            tmp_path, running.base_url, changed={}, GROQ_FALLBACK_TOOLSETS="speech", GROQ_FALLBACK_LOCAL="{env:NO_SUCH:-off}"
        )
    (line,) = [line for line in lines if "client kilo" in line]
    assert line.endswith(": the server answers")
    assert lines[-1] == "Ready."


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
@pytest.mark.parametrize("colored", [True, False])
def test_on_a_terminal_of_80_columns_each_line_fits_and_has_its_word(tmp_path: Path, colored: bool) -> None:
    """Marks and words; colors unless NO_COLOR is set."""
    entry(tmp_path, "/gone/.venv/bin/python", "-m", "groq_fallback_mcp")
    terminal = Terminal(
        "doctor",
        home=tmp_path,
        TERM="xterm-256color",
        COLUMNS="80",
        PYTHONIOENCODING="utf-8",
        PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
        GROQ_FALLBACK_LOCAL="auto",
        **({} if colored else {"NO_COLOR": "1"}),
    )
    assert terminal.ended() == 1
    # above it was the line that says that it is checking
    text = terminal.seen.rpartition("\x1b[?25h")[2]
    assert ("\x1b[32m" in text) == colored
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = plain.replace("\r", "").rstrip().splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert any(line.startswith("✓ ok   version") for line in lines)
    assert any(line.startswith("✗ fail key") for line in lines)
    assert lines[-1].startswith("Not ready. ")


async def test_each_configured_provider_is_looked_at(tmp_path: Path) -> None:
    """One that answers, one at a wrong path, one that does not run, one without its key; Groq itself is fine."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        (tmp_path / "config.toml").write_text(
            "".join(
                f'[[providers]]\nname = "{name}"\nbase_url = "{url}"\nkey_env = "{key}"\nmodels = ["openai/gpt-oss-20b"]\n'
                for name, url, key in (
                    ("good", f"{running.base_url}/openai/v1", "GROQ_API_KEY"),
                    ("astray", f"{running.base_url}/nowhere", "GROQ_API_KEY"),
                    ("asleep", "http://127.0.0.1:9/v1", "GROQ_API_KEY"),
                    ("keyless", f"{running.base_url}/openai/v1", "NO_SUCH_KEY"),
                )
            )
        )
        done = await command(
            "doctor", base_url=running.base_url, cwd=tmp_path, GROQ_FALLBACK_CONFIG=str(tmp_path / "config.toml")
        )
    found = {line.split(": ")[0].split(" ", 1)[1].strip(): line for line in done.stdout.splitlines() if " provider " in line}
    assert found["provider good"].startswith("ok ")
    for name in ("astray", "asleep"):
        assert found[f"provider {name}"].startswith("warn")
        assert "Check its base_url" in found[f"provider {name}"]
    assert "not used: " in found["provider keyless"]
    assert done.stdout.splitlines()[-1] == "Ready."


async def test_a_provider_that_refuses_its_key_is_given_another_one(tmp_path: Path) -> None:
    """Its address is right and it runs. Where the key comes from decides what to do: a variable goes before a stored key."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        address = f"{running.base_url}/openai/v1"
        (tmp_path / "config.toml").write_text(
            f'[[providers]]\npreset = "gemini"\nbase_url = "{address}"\n'
            f'[[providers]]\nname = "own"\nbase_url = "{address}"\nkey_env = "OWN_KEY"\nmodels = ["a"]\n'
            f'[[providers]]\nname = "exported"\nbase_url = "{address}"\nkey_env = "EXPORTED_KEY"\nmodels = ["a"]\n'
            f'[[providers]]\nname = "unkeyed"\nbase_url = "{address}"\nmodels = ["a"]\n'
            f'[[providers]]\nname = "box"\npreset = "vllm"\nbase_url = "{address}"\nmodels = ["a"]\n'
        )
        for name in ("gemini-api-key", "own-key"):
            kept = tmp_path / name
            kept.write_text("not_a_key\n")
            kept.chmod(0o600)
        done = await command(
            "doctor",
            base_url=running.base_url,
            cwd=tmp_path,
            GROQ_FALLBACK_CONFIG=str(tmp_path / "config.toml"),
            EXPORTED_KEY="not_a_key",
        )
    found = {line.split(": ")[0].split(" ", 1)[1].strip(): line for line in done.stdout.splitlines() if " provider " in line}
    assert all("HTTP 401" in line and "Check its base_url" not in line for line in found.values()), found
    assert found["provider gemini"].endswith("Run groq-fallback-mcp providers add gemini to store another key")
    assert found["provider own"].endswith(f"Run groq-fallback-mcp providers add own --url {address} to store another key")
    assert found["provider exported"].endswith("Export another key as EXPORTED_KEY")
    unkeyed = f"Run groq-fallback-mcp providers add unkeyed --url {address} --key-env NAME to store another key"
    assert found["provider unkeyed"].endswith(unkeyed)
    assert found["provider box"].endswith("Name the variable with its key as key_env in config.toml")


async def test_a_provider_that_the_data_policy_excludes_is_said_not_to_be_used(tmp_path: Path) -> None:
    """Nothing is asked there, its list neither."""
    (tmp_path / "config.toml").write_text('data_policy = "no-training"\n[[providers]]\npreset = "gemini"\n')
    done = await command("doctor", cwd=tmp_path, GEMINI_API_KEY="x" * 20, GROQ_FALLBACK_CONFIG=str(tmp_path / "config.toml"))
    assert "warn provider gemini: not used: it trains on prompts (data_policy is no-training)" in done.stdout


@pytest.mark.nightly
async def test_an_agent_whose_gateway_does_not_run_is_told_how_to_start_it(tmp_path: Path) -> None:
    """It can call no model until then. Where the gateway runs that is said, and an agent without it is no matter."""
    port = free_port()
    await command("setup", "kilo", "--gateway", "--port", str(port), cwd=tmp_path)
    done = await command("doctor", cwd=tmp_path)
    line = next(line for line in done.stdout.splitlines() if "gateway of" in line)
    assert line.startswith(f"fail gateway of kilo: nothing answers at http://127.0.0.1:{port}, so Kilo Code cannot call")
    assert "groq-fallback-mcp gateway --install" in line
    environment = environment_of(tmp_path, "http://127.0.0.1:9")
    async with started("gateway", "--port", str(port), environment=environment, port=port):
        # set up with the token that is made once, where this gateway has another
        done = await command("doctor", cwd=tmp_path)
        assert "refuses the token of Kilo Code" in done.stdout
        await command("setup", "kilo", "--gateway", "--port", str(port), cwd=tmp_path, GROQ_FALLBACK_HTTP_TOKEN=TOKEN)
        done = await command("doctor", cwd=tmp_path)
    assert f"ok   gateway of kilo: answers at http://127.0.0.1:{port}" in done.stdout
    await command("setup", "kilo", "--gateway", "--remove", cwd=tmp_path)
    assert "gateway of" not in (await command("doctor", cwd=tmp_path)).stdout


@pytest.mark.nightly
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n" + b"[" * 1024])
async def test_another_server_on_the_gateway_s_port_holds_doctor_up_for_two_seconds_at_most(
    tmp_path: Path, said: bytes
) -> None:
    """One that says nothing, byte by byte, or nonsense."""

    async def odd(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError):
                await stream.send(said or b"HTTP/1.1 200 OK\r\nx: ")
                while True:
                    await stream.send(b"x")
                    await anyio.sleep(0.3)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, odd)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        await command("setup", "kilo", "--gateway", "--port", str(port), cwd=tmp_path)
        done = await command("doctor", cwd=tmp_path)
        assert f"fail gateway of kilo: nothing answers at http://127.0.0.1:{port}" in done.stdout
        assert "Traceback" not in done.stderr
        group.cancel_scope.cancel()


async def test_a_variable_that_is_no_setting_is_a_warning_of_the_doctor(tmp_path: Path) -> None:
    """Wherever it is set: in the environment, or in a client's entry, whose server answers all the same."""
    (tmp_path / "project").mkdir()
    typo = "GROQ_FALLBACK_DEDLINE_S is not a setting and is ignored; use GROQ_FALLBACK_DEADLINE_S"
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        lines = await set_up_kilo(tmp_path, running.base_url, changed={}, GROQ_FALLBACK_DEDLINE_S="3")
        done = await command("doctor", base_url=running.base_url, cwd=tmp_path / "project", GROQ_FALLBACK_DEDLINE_S="3")
    (line,) = [line for line in lines if "client kilo" in line]
    assert line.startswith("warn client kilo: ")
    assert line.endswith(f": the server answers; {typo}")
    assert f"warn environment: {typo}" in done.stdout.splitlines()
    assert (lines[-1], done.stdout.splitlines()[-1], done.stderr) == ("Ready.", "Ready.", "")


async def test_a_variable_that_is_no_setting_is_one_line_on_stderr_of_what_asks_a_model(tmp_path: Path) -> None:
    """Nothing fails: clients pass many variables on."""
    typos = {"GROQ_FALLBACK_DEDLINE_S": "3", "GROQ_FALLBACK_XYZZY": "s3cret"}
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        chat = await command("chat", "-q", "hello", base_url=running.base_url, cwd=tmp_path, **typos)
        limits = await command("limits", "--json", base_url=running.base_url, cwd=tmp_path, **typos)
    greeting = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting})
    served = await command("serve", cwd=tmp_path, stdin=f"{line}\n", **typos)
    for done in (chat, limits, served):
        assert done.returncode == 0, done
        (said,) = [line for line in done.stderr.splitlines() if "is not a setting" in line]
        assert "use GROQ_FALLBACK_DEADLINE_S. GROQ_FALLBACK_XYZZY is not a setting" in said
        assert "s3cret" not in done.stderr
