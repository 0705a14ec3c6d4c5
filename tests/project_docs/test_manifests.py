"""The manifests: one command, no key, and what each client and LiteLLM accept."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from groq_fallback_mcp.catalog import Kind, load_catalog
from groq_fallback_mcp.clients.change import Wanted, plan
from groq_fallback_mcp.clients.client import CLIENTS, Client, Scope
from groq_fallback_mcp.clients.entry import entry_in
from groq_fallback_mcp.settings import Settings
from groq_fallback_mcp.tools.check_limits import CHECK_LIMITS
from groq_fallback_mcp.tools.list_models import LIST_MODELS
from project_docs.manifests import manifests

CATALOG = load_catalog()
TEXTS = manifests(CATALOG)
JSON_FILES = [path for path in TEXTS if path.endswith(".json")]
PLACEHOLDERS = {"", "${GROQ_API_KEY:-}", "${env:GROQ_API_KEY}"}


def server_of(path: str) -> dict[str, Any]:
    """The server's entry in a JSON manifest, whatever the client calls the table."""
    document = json.loads(TEXTS[path])
    (table,) = [document[key] for key in ("mcp", "mcpServers", "servers") if key in document]
    entry = table["groq"]
    assert isinstance(entry, dict)
    return entry


def litellm_config() -> dict[str, Any]:
    """The LiteLLM configuration, read as YAML."""
    config = yaml.safe_load(TEXTS["litellm/config.yaml"])
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize("path", JSON_FILES)
def test_every_json_manifest_starts_the_installed_command(path: str) -> None:
    """In the form its client reads."""
    entry = server_of(path)

    command = entry["command"] if isinstance(entry["command"], list) else [entry["command"], *entry["args"]]
    assert command == ["groq-fallback-mcp"]


@pytest.mark.parametrize("path", TEXTS)
def test_no_manifest_holds_a_key(path: str) -> None:
    """Only placeholders that the client fills in, or nothing where it hands its environment on."""
    assert not re.search(r"gsk_|sk-", TEXTS[path])
    if path in JSON_FILES:
        entry = server_of(path)
        assert entry.get("env", entry.get("environment", {})).get("GROQ_API_KEY", "") in PLACEHOLDERS


@pytest.mark.parametrize("path", ["kilo/kilo.json", "kilo/mcp.json"])
def test_a_kilo_config_has_no_reference_to_the_environment(path: str) -> None:
    """In a project's config one makes Kilo drop the whole file without a word."""
    assert "{env:" not in TEXTS[path]


def test_clients_wait_longer_than_the_server_works() -> None:
    """Else the client's time-out hides the server's account of what it tried."""
    deadline_s = Settings.model_fields["deadline_s"].default

    assert server_of("kilo/kilo.json")["timeout"] > deadline_s * 1000
    assert server_of("kilo/mcp.json")["timeout"] > deadline_s


def test_every_variable_a_manifest_sets_is_one_the_server_reads() -> None:
    """A misspelt variable would be ignored in silence."""
    known = {field.validation_alias or f"GROQ_FALLBACK_{name.upper()}" for name, field in Settings.model_fields.items()}

    for path in JSON_FILES:
        entry = server_of(path)
        assert set(entry.get("env", entry.get("environment", {}))) <= known


SET_UP = [(client, scope) for client in CLIENTS.values() if client.manifest is not None for scope in client.scopes]


@pytest.mark.parametrize(("client", "scope"), SET_UP, ids=lambda value: getattr(value, "name", value))
def test_each_manifest_has_the_entry_that_setup_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client, scope: Scope
) -> None:
    """Save for the command, which in a user's own file is this installation's."""
    assert client.manifest is not None
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "project"
    project.mkdir()
    after = plan(Wanted(client=client, scope=scope), project=project, home=tmp_path).after
    assert after is not None
    written = entry_in(after, client, path=client.name)
    shipped = entry_in(TEXTS[client.manifest.path], client, path=client.manifest.path)
    assert written is not None
    assert shipped is not None

    same = shipped.keys() - ({"command", "args"} if scope == "global" else set())
    assert {name: written[name] for name in same} == {name: shipped[name] for name in same}
    assert written.keys() == shipped.keys()


def test_what_kilo_s_older_format_lets_run_unasked_spends_nothing() -> None:
    """The tools by their own names."""
    assert set(server_of("kilo/mcp.json")["alwaysAllow"]) == {LIST_MODELS.name, CHECK_LIMITS.name}


def test_every_manifest_is_explained_in_the_readme() -> None:
    """With its place and a way to check it."""
    explained = re.findall(r"^\| \[(.+?)\]\(\1\) \|", TEXTS["README.md"], re.MULTILINE)

    assert sorted(explained) == sorted(set(TEXTS) - {"README.md"})


def test_litellm_offers_the_chat_and_speech_models_without_a_shutdown() -> None:
    """No retired model, no model of another kind, none twice."""
    named = [entry["model_name"] for entry in litellm_config()["model_list"]]
    kinds = {Kind.CHAT, Kind.SYSTEM, Kind.SPEECH_TO_TEXT}

    expected = [f"groq/{row.id}" for row in CATALOG.models.values() if row.kind in kinds and row.id not in CATALOG.shutdowns]
    assert named == expected
    assert {"groq/openai/gpt-oss-20b", "groq/whisper-large-v3-turbo"} <= set(named)


def test_litellm_is_told_the_free_plans_limits_and_no_key() -> None:
    """The key is read from the proxy's environment."""
    for entry in litellm_config()["model_list"]:
        params = entry["litellm_params"]
        limits = {
            limit.value: figure for limit, figure in CATALOG.limits(params["model"].removeprefix("groq/"), "free").items()
        }
        assert params["api_key"] == "os.environ/GROQ_API_KEY"
        assert (params.get("rpm"), params.get("tpm")) == (limits.get("rpm"), limits.get("tpm"))


@pytest.mark.parametrize("key", ["fallbacks", "context_window_fallbacks"])
def test_litellm_falls_back_to_other_models_of_the_same_kind_that_it_offers(key: str) -> None:
    """A target that is not in model_list would be an error at the worst moment."""
    config = litellm_config()
    kinds = {f"groq/{row.id}": row.kind for row in CATALOG.models.values()}
    offered = {entry["model_name"] for entry in config["model_list"]}
    pairs = [(model, target) for entry in config["router_settings"][key] for model, chain in entry.items() for target in chain]

    assert pairs
    for model, target in pairs:
        assert {model, target} <= offered
        assert model != target
        assert kinds[model] == kinds[target]


def test_litellm_falls_back_along_the_practices_chains() -> None:
    """The model of the fast use case is followed by that chain."""
    chains = {model: chain for entry in litellm_config()["router_settings"]["fallbacks"] for model, chain in entry.items()}

    assert chains["groq/openai/gpt-oss-20b"] == ["groq/openai/gpt-oss-120b", "groq/qwen/qwen3.8-27b"]
    assert chains["groq/whisper-large-v3-turbo"] == ["groq/whisper-large-v3"]


@pytest.mark.nightly
def test_litellms_own_router_accepts_the_configuration(tmp_path: Path) -> None:
    """It refuses unknown settings and malformed fallbacks. In a process of its own: the import is slow and warns."""
    (tmp_path / "config.yaml").write_text(TEXTS["litellm/config.yaml"], encoding="utf-8")
    program = (
        "import yaml, litellm\n"
        "config = yaml.safe_load(open('config.yaml'))\n"
        "router = litellm.Router(model_list=config['model_list'], **config['router_settings'])\n"
        "print(*router.get_model_names())\n"
    )
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "GROQ_API_KEY": "made-up"}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.split("\n")[-2].split()) == {entry["model_name"] for entry in litellm_config()["model_list"]}
