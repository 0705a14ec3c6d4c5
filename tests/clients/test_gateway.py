"""`setup CLIENT --gateway` in clean homes: what is written for each plan, what is kept, and that removal takes out just that."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from itertools import product
from pathlib import Path
from socket import socket
from typing import Any

import pytest
import yaml

from groq_fallback_mcp.cli.setup import setup
from groq_fallback_mcp.cli.setup_gateway import setup_gateway
from groq_fallback_mcp.clients import jsonc
from groq_fallback_mcp.clients.gateway import configured_address, configured_token, gateway_backups
from groq_fallback_mcp.clients.gateway_clients import GATEWAY_CLIENTS, HOLD_HEADER
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.gateway_token import gateway_token
from groq_fallback_mcp.settings import state_folder

PLANS = ("free", "developer")
JSON_CLIENTS = [name for name, client in GATEWAY_CLIENTS.items() if not client.is_yaml and not client.is_toml]
# on the free plan nothing is written for Claude Code
WRITTEN = [case for case in product(GATEWAY_CLIENTS, PLANS) if case != ("claude-code", "free")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean home, without a key and with the free plan."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "GROQ_FALLBACK_PLAN", "GROQ_FALLBACK_CONFIG", "GROQ_FALLBACK_HTTP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("GROQ_FALLBACK_LOCAL", "off")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str | None, *, port: int = 8788, dry_run: bool = False, remove: bool = False) -> int:
    """The command with its defaults."""
    return setup_gateway(name, port=port, dry_run=dry_run, remove=remove)


def path_of(home: Path, name: str) -> Path:
    return home / GATEWAY_CLIENTS[name].home[0]


def written(home: Path, name: str) -> dict[str, Any]:
    """The agent's file as it reads it."""
    text = path_of(home, name).read_text()
    reads = {"continue": yaml.safe_load, "codex": tomllib.loads}
    found: dict[str, Any] = reads.get(name, jsonc.loads)(text)
    return found


def put(home: Path, name: str, text: str, mode: int = 0o600) -> Path:
    """A file of the person's own."""
    path = path_of(home, name)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize(("name", "plan"), WRITTEN)
def test_a_second_time_changes_nothing_and_removal_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, plan: str
) -> None:
    """A new file is private, and the token is in it but in no output."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", plan)
    run(name)
    path, token = path_of(home, name), gateway_token(state_folder())
    assert token in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    run(name)
    assert {file: file.read_bytes() for file in home.rglob("*") if file.is_file()} == before
    run(name, remove=True)
    assert [file.name for file in home.rglob("*") if file.is_file()] == ["gateway-token"]
    assert [folder.name for folder in home.iterdir()] == [".local"]
    assert token not in capsys.readouterr().out


@pytest.mark.parametrize("name", GATEWAY_CLIENTS)
def test_a_dry_run_shows_a_diff_without_keys_and_writes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Not even a token; and where there is one it is not shown, nor is a key of the person's own next to the change."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    run(name, dry_run=True)
    assert (list(home.iterdir()), "(the token)" in capsys.readouterr().out) == ([], True)
    mine = {
        "continue": "models:\n  - name: other\n    apiKey: sk-mine\n",
        "codex": '[mcp_servers.other]\nenv = { OTHER_API_KEY = "sk-mine" }\n',
        "claude-code": '{\n  "env": {\n    "ANTHROPIC_API_KEY": "sk-mine"\n  }\n}\n',
    }.get(name, '{\n  "version": 1,\n  "modes": {},\n  "providers": {\n    "mine": {"apiKey": "sk-mine"}\n  }\n}\n')
    path = put(home, name, mine)
    token = gateway_token(state_folder())
    run(name, dry_run=True)
    shown = capsys.readouterr().out
    assert (path.read_text(), "(the token)" in shown, "sk-mine" in shown, token in shown) == (mine, True, False, False)
    run(name)
    capsys.readouterr()
    run(name, dry_run=True, remove=True)
    assert (token in capsys.readouterr().out, token in path.read_text()) == (False, True)


@pytest.mark.parametrize("name", ["kilo", "opencode"])
def test_on_the_free_plan_only_titles_and_summaries_use_the_gateway(
    home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """As the agent's own prompt does not fit; the model that the person chose stays."""
    put(home, name, '{"model": "mine/model"}\n')
    run(name)
    found = written(home, name)
    assert (found["model"], found["small_model"]) == ("mine/model", "groq-fallback/openai/gpt-oss-20b")
    shown = capsys.readouterr().out
    if name == "kilo":
        assert (
            "Kilo Code's own prompt is about 13,000 tokens; Groq's free plan takes 8,000 a minute. Titles and summaries will use"
            " Groq; the main model needs the developer plan or another provider" in shown
        )
    assert "GROQ_FALLBACK_PLAN=developer" in shown


@pytest.mark.parametrize("name", ["kilo", "opencode"])
def test_on_the_developer_plan_both_models_do(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And back on the free plan the main one, which is ours, is taken out."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    run(name)
    assert written(home, name)["model"] == "groq-fallback/auto"
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "free")
    run(name)
    found = written(home, name)
    assert ("model" in found, found["small_model"]) == (False, "groq-fallback/openai/gpt-oss-20b")


@pytest.mark.parametrize("name", GATEWAY_CLIENTS)
def test_every_agent_has_its_text_held_for_two_seconds(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In the header that the gateway reads: a cut in a short answer is then seen by none of them."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")

    def headers(node: Any) -> list[Any]:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        own = [value for key, value in node.items() if key.lower().endswith("headers")] if isinstance(node, dict) else []
        return own or [at for one in inner for at in headers(one)]

    run(name)
    assert headers(written(home, name)) == [f"{HOLD_HEADER}: 2" if name == "claude-code" else {HOLD_HEADER: "2"}]


@pytest.mark.parametrize(
    ("name", "plan", "context", "output"),
    [
        ("continue", "free", 8_000, 2_000),
        ("continue", "developer", 131_072, 32_000),
        # their own prompts would fill the plan's window: told of it, they would summarize at every turn
        ("cline", "free", 131_072, 2_000),
        ("opencode", "free", 131_072, 2_000),
        ("kilo", "free", 131_072, 2_000),
        ("kilo", "developer", 131_072, 32_000),
        ("codex", "developer", 131_072, None),
        ("claude-code", "developer", 131_072, 32_000),
    ],
)
def test_an_agent_is_told_the_window_of_the_plan_where_its_own_prompt_leaves_room(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, plan: str, context: int, output: int | None
) -> None:
    """And answers are never longer than the plan admits."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", plan)
    run(name)
    found = written(home, name)
    if name == "continue":
        assert found["models"][0]["defaultCompletionOptions"] == {"contextLength": context, "maxTokens": output}
    elif name == "cline":
        stated = found["providers"]["openai-compatible"]["settings"]
        assert (stated["contextWindow"], stated["maxTokens"]) == (context, output)
    elif name == "codex":
        assert found["model_context_window"] == context
    elif name == "claude-code":
        # of its models none has a million tokens, which it takes for granted of the one it starts with
        assert found["env"]["CLAUDE_CODE_DISABLE_1M_CONTEXT"] == "1"
        stated = [found["env"][f"CLAUDE_CODE_MAX_{what}_TOKENS"] for what in ("CONTEXT", "OUTPUT")]
        assert stated == [str(context), str(output)]
    else:
        assert output is not None
        limit = found["provider"]["groq-fallback"]["models"]["auto"]["limit"]
        assert limit == {"context": context, "input": context - output, "output": output}


def test_a_file_that_cline_has_dated_anew_is_not_written_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it does at every start."""
    run("cline")
    path = path_of(home, "cline")
    path.write_text(re.sub(r'"updatedAt": "[^"]+"', '"updatedAt": "2026-12-24T00:00:00.000Z"', path.read_text()))
    before = path.read_bytes()
    capsys.readouterr()
    run("cline")
    assert "already set up" in capsys.readouterr().out
    assert path.read_bytes() == before


AGENT = """#!{python}
import json, os, sys, urllib.error, urllib.request
from pathlib import Path

told = json.loads(Path(os.environ["HOME"], ".config/{name}/{name}.json").read_text())["provider"]["groq-fallback"]["options"]
assert sys.argv[1:] == ["run", "-m", "groq-fallback/auto", "Say hello."]
assert not list(Path.cwd().iterdir())
for size in {sizes}:
    body = {{"model": "auto", "messages": [{{"role": "user", "content": "word " * size}}]}}
    request = urllib.request.Request(told["baseURL"] + "/chat/completions", json.dumps(body).encode())
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        assert error.code == 400
"""


def agent(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, *sizes: int) -> None:
    """An agent on the PATH whose requests have about so many tokens; it starts in a folder without the project's files."""
    program = home / "bin" / name
    program.parent.mkdir()
    program.write_text(AGENT.format(python=sys.executable, name=name, sizes=sizes))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def free_port() -> int:
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.skipif(os.name != "posix", reason="the agent is a script")
@pytest.mark.parametrize(("size", "shown", "model"), [(3_000, "2,9", True), (20_000, "19,0", False)])
def test_the_prompt_is_measured_with_the_agent_that_is_here(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], size: int, shown: str, model: bool
) -> None:
    """The longest of its requests. What is written goes by that, and not by the version that the row was made with."""
    agent(home, monkeypatch, "kilo", 10, size)
    setup_gateway("kilo", port=free_port(), dry_run=False, remove=False, measure=True)
    assert re.search(rf"Kilo Code's own prompt is about {shown}\d\d tokens here", capsys.readouterr().out)
    assert ("model" in written(home, "kilo")) is model


CLAUDE = """#!{python}
import json, sys, urllib.error, urllib.request

origin = json.loads(sys.argv[-1])["env"]["ANTHROPIC_BASE_URL"]
for size in (3_000, 9_000):
    body = {{"model": "auto", "max_tokens": 9, "messages": [{{"role": "user", "content": "word " * size}}]}}
    try:
        urllib.request.urlopen(urllib.request.Request(origin + "/v1/messages", json.dumps(body).encode()))
    except urllib.error.HTTPError as error:
        if json.load(error)["error"]["message"].startswith("prompt is too long"):
            break
"""


@pytest.mark.skipif(os.name != "posix", reason="the agent is a script")
def test_claude_code_is_measured_without_the_tools_that_it_sends_only_after_a_refusal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is refused in other words than a prompt that is too long, it sends once more with all its tools."""
    program = home / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(CLAUDE.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    setup_gateway("claude-code", port=free_port(), dry_run=False, remove=False, measure=True)
    assert re.search(r"own prompt is about 2,9\d\d tokens here", capsys.readouterr().out)


@pytest.mark.skipif(os.name != "posix", reason="the agent is a script")
def test_while_the_prompt_is_measured_the_person_s_own_model_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length says whether it is replaced; opencode's usual one would fit the free plan."""
    path = home / ".config/opencode/opencode.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"model": "mine/model"}')
    agent(home, monkeypatch, "opencode", 20_000)
    setup_gateway("opencode", port=free_port(), dry_run=False, remove=False, measure=True)
    assert written(home, "opencode")["model"] == "mine/model"


@pytest.mark.skipif(os.name != "posix", reason="the agent is a script")
def test_what_cannot_be_measured_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent, an agent that sends nothing, a gateway that runs."""

    def fault(port: int) -> str:
        with pytest.raises(ConfigurationError) as caught:
            setup_gateway("kilo", port=port, dry_run=False, remove=False, measure=True)
        return str(caught.value)

    with monkeypatch.context() as without:
        without.setenv("PATH", "/nowhere")
        assert "The command kilo is not on the PATH" in fault(free_port())
        assert not (home / ".config/kilo/kilo.json").exists()
    agent(home, monkeypatch, "kilo")
    assert "Kilo Code sent no request" in fault(free_port())
    with socket() as gateway:
        gateway.bind(("127.0.0.1", 0))
        gateway.listen()
        assert "is in use, probably by the gateway" in fault(gateway.getsockname()[1])


def test_each_model_has_its_limits_prices_and_abilities(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices are the catalog's."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    run("kilo", port=9000)
    provider = written(home, "kilo")["provider"]["groq-fallback"]
    assert provider["options"]["baseURL"] == "http://127.0.0.1:9000/v1"
    assert provider["options"]["headers"] == {"x-groq-fallback-hold-s": "2"}
    models = provider["models"]
    assert next(iter(models)) == "auto"
    assert "llama-3.3-70b-versatile" not in models
    assert models["openai/gpt-oss-20b"]["cost"] == {"input": 0.075, "output": 0.3, "cache_read": 0.0375}
    assert models["qwen/qwen3.8-27b"]["modalities"]["input"] == ["text", "image"]
    for model in models.values():
        assert model["limit"]["input"] + model["limit"]["output"] == model["limit"]["context"]


def test_another_provider_of_config_toml_takes_the_main_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where its window is large enough, whatever Groq's plan takes."""
    config = home / ".config/groq-fallback-mcp/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        '[[providers]]\nname = "mine"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["large"]\ncontext_window = 65_536\n'
    )
    run("kilo")
    found = written(home, "kilo")
    assert found["model"] == "groq-fallback/auto"
    assert found["provider"]["groq-fallback"]["models"]["auto"]["limit"]["context"] == 65_536
    assert "The main model will use another provider, which takes 65,536." in capsys.readouterr().out


def test_a_token_of_the_settings_is_used(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the gateway requires that one then; none is made."""
    monkeypatch.setenv("GROQ_FALLBACK_HTTP_TOKEN", "a-token-of-my-own-0123")
    run("kilo")
    assert written(home, "kilo")["provider"]["groq-fallback"]["options"]["apiKey"] == "a-token-of-my-own-0123"
    assert "a-token-of-my-own" not in capsys.readouterr().out
    assert not (state_folder() / "gateway-token").exists()


@pytest.mark.parametrize("name", JSON_CLIENTS)
def test_comments_and_settings_of_a_person_stay(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Removal gives back the file byte for byte, also with line ends of Windows; the old one is kept until then."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    mine = '{\r\n  // mine\r\n  "version": 1,\r\n  "modes": {},\r\n  "providers": {\r\n    "a": {"x": 1}, // this too\r\n  },\r\n}\r\n'
    path = put(home, name, mine, 0o644)
    run(name)
    text = path.read_bytes().decode()
    assert ("// mine" in text, '"a": {"x": 1}, // this too' in text) == (True, True)
    assert path.stat().st_mode & 0o777 == 0o600
    (backup,) = gateway_backups().rglob("before")
    assert backup.read_bytes().decode() == mine
    run(name, remove=True)
    assert path.read_bytes().decode() == mine
    assert not gateway_backups().exists()


@pytest.mark.parametrize("name", JSON_CLIENTS)
def test_removal_takes_out_what_is_ours_where_the_file_was_changed_since(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Other values that were written meanwhile stay, and nothing old comes back."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    mine = '{\n  "version": 1,\n  "modes": {},\n  "providers": {},\n  "theme": "dark"\n}\n'
    path = put(home, name, mine)
    run(name)
    path.write_text(path.read_text().replace('"dark"', '"light"'))
    run(name, remove=True)
    assert path.read_text() == mine.replace('"dark"', '"light"')


def test_a_model_that_a_person_chose_since_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a value with our name is taken out."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    run("kilo")
    path = path_of(home, "kilo")
    path.write_text(path.read_text().replace('"groq-fallback/auto"', '"mine/model"'))
    run("kilo", remove=True)
    assert json.loads(path.read_text()) == {"model": "mine/model"}


def test_a_model_that_is_replaced_is_named_and_comes_back(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The person is told, as the choice was theirs."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    path = put(home, "kilo", '{"model": "mine/model"}\n')
    run("kilo")
    assert "This replaced model 'mine/model'" in capsys.readouterr().out
    run("kilo", remove=True)
    assert path.read_text() == '{"model": "mine/model"}\n'


def test_an_endpoint_of_cline_s_that_is_not_ours_is_never_removed(home: Path) -> None:
    """A local server is at such an address too."""
    own = {"settings": {"provider": "openai-compatible", "baseUrl": "http://127.0.0.1:11434/v1"}}
    text = json.dumps({"version": 1, "lastUsedProvider": "openai-compatible", "providers": {"openai-compatible": own}})
    path = put(home, "cline", text)
    run("cline", remove=True)
    assert path.read_text() == text


@pytest.mark.parametrize("remove_first", ["server", "gateway"])
def test_the_server_s_entry_and_the_gateway_are_removed_one_without_the_other(home: Path, remove_first: str) -> None:
    """They share Kilo's file."""

    def server(*, remove: bool) -> None:
        setup("kilo", scope=None, dry_run=False, remove=remove, with_key=False, toolsets=None, skill=False, check=False)

    mine = '{\n  // mine\n  "theme": "dark"\n}\n'
    path = put(home, "kilo", mine)
    server(remove=False)
    run("kilo")
    assert {"mcp", "provider", "small_model"} <= set(written(home, "kilo"))
    if remove_first == "server":
        server(remove=True)
        assert ("mcp" in written(home, "kilo"), "provider" in written(home, "kilo")) == (False, True)
        run("kilo", remove=True)
    else:
        run("kilo", remove=True)
        assert ("mcp" in written(home, "kilo"), "provider" in written(home, "kilo")) == (True, False)
        server(remove=True)
    assert path.read_text() == mine


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("name", GATEWAY_CLIENTS)
def test_a_file_that_others_can_read_is_made_private_with_the_token(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """What was changed is said, also where the token is in the file already; removal does not open it again."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    path = put(home, name, "" if name in {"codex", "continue"} else "{}\n", 0o644)
    for mode in (0o644, 0o640):
        path.chmod(mode)
        run(name, dry_run=True)
        assert f"make {path} readable by you only (mode 0600, now {mode:04o})\n" in capsys.readouterr().out
        run(name)
        assert f"made {path} readable by you only (mode 0600, was {mode:04o})\n" in capsys.readouterr().out
        assert path.stat().st_mode & 0o777 == 0o600
    run(name)
    assert "readable by you only" not in capsys.readouterr().out
    run(name, remove=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_list_of_providers_that_shuts_the_gateway_out_is_pointed_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kilo ignores a provider that is not in it."""
    put(home, "kilo", '{"enabled_providers": ["mine"]}\n')
    run("kilo")
    assert "enabled_providers in this file does not list groq-fallback" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", '{"provider": []}', '{"provider": {}, "provider": {}}', "[]"])
def test_a_file_that_cannot_be_edited_safely_is_left_alone(home: Path, text: str) -> None:
    """And the error shows no token."""
    path = put(home, "kilo", text)
    with pytest.raises(ConfigurationError, match="cannot be edited safely") as refused:
        run("kilo")
    assert path.read_text() == text
    assert gateway_token(state_folder()) not in str(refused.value)


CODEX_OWN = """\ufeff#:schema mine
# mine
model = "gpt-mine"  # the best
approval_policy = "never"

# others
[model_providers.other] # mine too
base_url = "http://127.0.0.1:1/v1"
"""


@pytest.mark.parametrize("text", [CODEX_OWN, CODEX_OWN.replace("\n", "\r\n"), "# mine\n\n[tui]\ntheme = 'x'\n", "a.b = 1"])
def test_comments_and_settings_of_codex_stay(home: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Values go before the first table, and removal gives the file back byte for byte."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    path = put(home, "codex", text)
    run("codex")
    after = path.read_bytes().decode()
    found = tomllib.loads(after.removeprefix("\ufeff"))
    assert (found["model_provider"], found["model"]) == ("groq-fallback", "auto")
    assert found["model_providers"]["groq-fallback"]["wire_api"] == "responses"
    kept = [line for line in text.splitlines() if not line.startswith("model =")]
    assert [line for line in after.splitlines() if line in kept and line] == [line for line in kept if line]
    run("codex", remove=True)
    assert path.read_bytes().decode() == text


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("codex", 'profile = "work"\n', "profile"),
        ("claude-code", '{"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}', "env.CLAUDE_CODE_USE_BEDROCK"),
    ],
)
def test_what_takes_precedence_over_the_gateway_is_pointed_out(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str, what: str
) -> None:
    """Else a set-up that has no effect looks like one that has."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    put(home, name, text)
    run(name)
    assert f"{what} in this file takes precedence over the gateway" in capsys.readouterr().out


def test_what_was_replaced_is_restored_where_the_file_was_changed_since(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codex itself writes which projects are trusted."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    own = 'model = "gpt-mine"\nmodel_provider = "openai"\nmodel_context_window = 400000\n'
    trusted = '\n[projects."/x"]\ntrust_level = "trusted"\n'
    path = put(home, "codex", own)
    run("codex")
    path.write_text(path.read_text() + trusted)
    run("codex", remove=True)
    left = path.read_text()
    assert tomllib.loads(left) == tomllib.loads(own + trusted)


def test_a_persons_own_value_stays_where_the_agent_does_not_fit_however_often_it_is_set_up(home: Path) -> None:
    """Only the provider is written then, and it is not the one in use."""
    path = put(home, "codex", 'model = "gpt-mine"\nmodel_context_window = 272000\n')
    for _ in range(2):
        run("codex")
        said = tomllib.loads(path.read_text())
        assert (said["model"], said["model_context_window"]) == ("gpt-mine", 272_000)
        assert "groq-fallback" in said["model_providers"]
    run("codex", remove=True)
    assert path.read_text() == 'model = "gpt-mine"\nmodel_context_window = 272000\n'


def test_of_codex_only_what_is_ours_is_removed_where_the_file_was_changed_since(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model chosen meanwhile stays; what was replaced was named."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    path = put(home, "codex", 'model = "gpt-mine"\n\n[tui]\ntheme = "dark"\n')
    run("codex")
    assert "This replaced model 'gpt-mine'" in capsys.readouterr().out
    path.write_text(path.read_text().replace('"dark"', '"light"').replace('model = "auto"', 'model = "gpt-new"'))
    run("codex", remove=True)
    assert path.read_text() == 'model = "gpt-new"\n\n[tui]\ntheme = "light"\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("codex", text) for text in ("model_providers = 1\n", 'model = """\nx"""\n', "model = [1]\n", "[", "model.x = 1\n")),
        *(("claude-code", text) for text in ("{", "[]", '{"env": null}', '{"env": []}', '{"env": {}, "env": {}}')),
    ],
)
def test_a_file_that_cannot_be_edited_safely_is_left_alone_in_every_form(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """As where one of its values is of another kind."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    path = put(home, name, text)
    with pytest.raises(ConfigurationError, match="cannot be edited safely"):
        run(name)
    assert path.read_text() == text


def test_claude_code_keeps_the_variables_of_the_person(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours are added to them, and go without them; one that was replaced is not shown, as it may be a secret."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    path = put(home, "claude-code", '{\n  "env": {\n    "MINE": "1"\n  },\n  "model": "opus"\n}\n')
    run("claude-code")
    env = written(home, "claude-code")["env"]
    assert (env["MINE"], env["ANTHROPIC_BASE_URL"]) == ("1", "http://127.0.0.1:8788")
    assert all(isinstance(value, str) for value in env.values())
    path.write_text(path.read_text().replace('"MINE": "1"', '"MINE": "2"'))
    run("claude-code", remove=True)
    assert written(home, "claude-code") == {"env": {"MINE": "2"}, "model": "opus"}


def test_where_claude_code_s_prompt_does_not_fit_it_stays_with_the_person_s_login(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has one endpoint for all its models: the gateway would refuse each call. An earlier set-up is taken out."""
    run("claude-code")
    assert not path_of(home, "claude-code").exists()
    assert "so the model that Claude Code uses is left as it is" in capsys.readouterr().out
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    run("claude-code")
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "free")
    run("claude-code")
    assert written(home, "claude-code") == {}


@pytest.mark.parametrize("name", GATEWAY_CLIENTS)
def test_the_address_and_the_token_are_found_where_set_up_put_them(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """For doctor; with /v1 and without."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "developer")
    assert configured_address(GATEWAY_CLIENTS[name], home=home) is None
    run(name, port=9001)
    assert configured_address(GATEWAY_CLIENTS[name], home=home) == "http://127.0.0.1:9001"
    # of an entry of a YAML list it is not looked for
    token = None if GATEWAY_CLIENTS[name].is_yaml else gateway_token(state_folder())
    assert configured_token(GATEWAY_CLIENTS[name], home=home) == token


def test_gemini_cli_cannot_use_the_gateway_and_is_shown_what_it_can(home: Path) -> None:
    """It speaks generateContent only; the MCP server works there."""
    with pytest.raises(InputRefused, match=r"speaks only Google's generateContent.*setup gemini to add the MCP server"):
        run("gemini")
    assert not list(home.iterdir())


@pytest.mark.parametrize("name", ["zed", None])
def test_a_client_without_a_way_to_the_gateway_is_refused(home: Path, name: str | None) -> None:
    """With those that have one."""
    with pytest.raises(InputRefused, match="Use one of kilo, opencode, cline, continue, codex, claude-code"):
        run(name)
    assert not list(home.iterdir())


def test_continue_without_the_gateway_is_refused_with_the_option(home: Path) -> None:
    """It is set up for nothing else."""
    with pytest.raises(InputRefused, match="setup continue --gateway"):
        setup("continue", scope=None, dry_run=False, remove=False, with_key=False, toolsets=None, skill=False, check=False)
    assert not list(home.iterdir())
