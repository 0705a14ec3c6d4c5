"""`providers`: what is written into config.toml, where keys go, and what a test call finds."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from command_line import command
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from typer.testing import CliRunner

import groq_fallback_mcp.cli.providers as providers_module
from groq_fallback_mcp import credentials
from groq_fallback_mcp.call import Failure, FailureKind, Limit, LimitReading, Pool, QuotaSnapshot, Success
from groq_fallback_mcp.catalog import Kind, ModelRow, Stage, load_catalog
from groq_fallback_mcp.cli.commands import app
from groq_fallback_mcp.cli.provider_check import differences
from groq_fallback_mcp.cli.providers_file import names_in, with_order, with_preference, with_provider, without_provider
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.credentials import Credential
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.providers.base import LiveModel
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app, run_simulator
from groq_fallback_mcp.simulator.other_providers import ProviderOptions, create_provider_app

pytestmark = pytest.mark.anyio
SECRET = "sk-or-" + "v" * 30
NO_RING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
FILE = """\
# mine
plan = "developer"  # paid

[[providers]]
preset = "mistral"  # first

[[providers]]
name = "own"
base_url = "http://127.0.0.1:9/v1"

[other]
kept = 1
"""


COMMENTED = """\
[[providers]]
preset = "gemini"

# work account, ask Ann before changing
[[providers]]
preset = "mistral"
models = ["a"]
# local = "only"   (kept for travelling)

[providers.more]
b = 1

# of limits
[limits]
kept = 1
"""


def test_comments_stay_where_a_provider_is_removed_and_go_with_theirs_where_it_is_moved() -> None:
    """They are somebody's notes, and there is no other copy of them."""
    without_first = without_provider(COMMENTED, "gemini")
    assert without_first == COMMENTED.replace('[[providers]]\npreset = "gemini"\n\n', "")
    without_second = without_provider(COMMENTED, "mistral")
    for comment in ("# work account", "# of limits"):
        assert comment in without_second
    assert names_in(without_second) == ["gemini"]
    moved = with_order(COMMENTED, ["mistral"])
    assert names_in(moved) == ["mistral", "gemini"]
    assert moved.startswith('# work account, ask Ann before changing\n[[providers]]\npreset = "mistral"\n')
    assert moved.endswith("# of limits\n[limits]\nkept = 1\n")
    assert sorted(moved.split()) == sorted(COMMENTED.split())


@pytest.mark.parametrize("text", ['[[providers]]\nname = "a"\nprefix = """\n[[providers]]\n"""\n\n[[providers]]\nname = "b"\n'])
def test_a_text_that_looks_like_a_table_is_none(text: str) -> None:
    assert names_in(without_provider(text, "a")) == ["b"]
    assert names_in(with_order(text, ["b"])) == ["b", "a"]


def settings_of(home: Path) -> Path:
    """Where config.toml is, for commands whose home this is."""
    return home / "config.toml"


async def run_apart(home: Path, *arguments: str, stdin: str = "", **more: str) -> tuple[int, str]:
    """A command in a process of its own: its exit status and all that it said."""
    done = await command(
        "providers", *arguments, cwd=home, stdin=stdin, GROQ_FALLBACK_CONFIG=str(settings_of(home)), **NO_RING, **more
    )
    return done.returncode, done.stdout + done.stderr


def run(home: Path, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """The same in this process, which starts sooner."""
    environment = {"GROQ_FALLBACK_CONFIG": str(settings_of(home)), "GROQ_FALLBACK_LOCAL": "off", **NO_RING}
    done = CliRunner().invoke(app, ["providers", *arguments], input=stdin, env=environment)
    return done.exit_code, done.output


def test_a_provider_is_added_after_the_others_and_nothing_else_changes() -> None:
    """Comments and other tables stay."""
    text = with_provider(FILE, {"preset": "openrouter", "plan": "free"})
    assert names_in(text) == ["mistral", "own", "openrouter"]
    assert [line for line in FILE.splitlines() if line not in text.splitlines()] == []
    again = with_provider(text, {"preset": "openrouter", "plan": "paid"})
    assert names_in(again) == ["mistral", "own", "openrouter"]
    assert tomllib.loads(again)["providers"][2] == {"preset": "openrouter", "plan": "paid"}


def test_removing_what_was_added_leaves_what_was_there() -> None:
    """Each of them, and the last one."""
    assert names_in(without_provider(FILE, "mistral")) == ["own"]
    empty = without_provider(without_provider(FILE, "mistral"), "own")
    assert tomllib.loads(empty) == {"plan": "developer", "other": {"kept": 1}}
    assert without_provider("", "x") == ""


def test_adding_and_removing_leaves_no_empty_lines_behind() -> None:
    """Each round left one more."""
    text = ""
    for name in ("a", "b", "a", "c"):
        text = with_provider(without_provider(text, name), {"name": name, "base_url": "https://x.test/v1"})
    text = with_order(text, ["c", "a"])
    assert names_in(text) == ["c", "a", "b"]
    assert "\n\n\n" not in text


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.lists(st.sampled_from("abcdef"), unique=True))
def test_order_puts_the_named_ones_first_and_keeps_the_rest(present: list[str], wanted: list[str]) -> None:
    """No provider is lost, none is doubled."""
    text = ""
    for name in present:
        text = with_provider(text, {"name": name, "base_url": "https://x.test/v1"})
    wanted = [name for name in wanted if name in present]
    assert names_in(with_order(text, wanted)) == [*wanted, *(name for name in present if name not in wanted)]


def test_prefer_stands_above_all_tables() -> None:
    """Below one it would be that table's."""
    text = with_preference(FILE, ["groq", "free"])
    assert tomllib.loads(text)["prefer"] == ["groq", "free"]
    assert tomllib.loads(with_preference(text, ["paid"]))["prefer"] == ["paid"]
    assert tomllib.loads(with_preference("", ["paid"])) == {"prefer": ["paid"]}


@pytest.mark.parametrize("text", ["a = ", "providers = 3\n", 'providers = [{ name = "x" }]\n'])
def test_a_file_that_cannot_be_changed_is_left_alone(text: str) -> None:
    """It says so, instead of writing over it."""
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        with_provider(text, {"preset": "mistral"})


def test_a_provider_is_added_with_its_key_and_removed_with_it(tmp_path: Path) -> None:
    """The key is in a file of its own that only its owner can read, and in no output."""
    status, said = run(tmp_path, "add", "openrouter", "--yes", stdin=f"{SECRET}\n")
    assert status == 0, said
    assert SECRET not in said
    kept = tmp_path / "openrouter-api-key"
    assert kept.read_text() == f"{SECRET}\n"
    if os.name == "posix":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    status, said = run(tmp_path, "list", "--json")
    listed = json.loads(said)
    assert [(one["name"], one["ready"]) for one in listed["providers"]] == [("openrouter", True)]
    assert "openrouter" not in listed["can_be_added"]
    status, said = run(tmp_path, "remove", "openrouter")
    assert status == 0, said
    assert not kept.exists()
    assert names_in(settings_of(tmp_path).read_text()) == []


def test_a_key_that_is_given_again_replaces_the_stored_one_and_none_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider may have refused the old one. A key of the environment would win over whatever is stored."""
    kept, newer = tmp_path / "openrouter-api-key", "sk-or-" + "w" * 30
    run(tmp_path, "add", "openrouter", "--yes", stdin=f"{SECRET}\n")
    for stdin in ("", "\n"):
        status, said = run(tmp_path, "add", "openrouter", "--yes", stdin=stdin)
        assert (status, kept.read_text()) == (0, f"{SECRET}\n")
        assert "The stored key was kept." in said
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-of-the-environment")
    status, said = run(tmp_path, "add", "openrouter", "--yes", stdin=f"{newer}\n")
    assert (status, kept.read_text()) == (0, f"{SECRET}\n")
    assert "Note: The key in OPENROUTER_API_KEY takes precedence" in said
    monkeypatch.delenv("OPENROUTER_API_KEY")
    status, said = run(tmp_path, "add", "openrouter", "--yes", stdin=f"{newer}\n")
    assert (status, kept.read_text()) == (0, f"{newer}\n")
    assert "takes precedence" not in said


def test_an_address_of_a_known_provider_takes_the_key_of_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is that key which is named, not a stored one, which there is not."""
    monkeypatch.setenv("GEMINI_API_KEY", "g" * 30)
    address = load_catalog().providers["gemini"].base_url
    status, said = run(tmp_path, "add", "mine", "--url", address, "--model", "m", "--yes", stdin=f"{SECRET}\n")
    assert status == 0, said
    assert "Note: The key in GEMINI_API_KEY takes precedence" in said
    assert "stored key was kept" not in said


def test_the_question_for_a_key_tells_that_one_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only wants another plan presses Enter."""
    questions: list[str] = []

    def typed(prompt: str, **_: object) -> str:
        questions.append(prompt)
        return SECRET

    monkeypatch.setattr(providers_module, "typed_secret", typed)
    for _ in range(2):
        run(tmp_path, "add", "openrouter", "--yes")
    assert [question.rpartition(", ")[2] for question in questions] == ["empty for none yet", "empty to keep the stored one"]


def test_a_key_in_a_file_is_reported_unused_beside_one_of_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring goes before the file."""
    ring = Credential(key=SecretStr("sk-or-of-the-keyring"), source="the system keyring")
    monkeypatch.setattr(credentials, "_in_ring", lambda account: ring)
    status, said = run(tmp_path, "add", "openrouter", "--yes", "--file", stdin=f"{SECRET}\n")
    assert status == 0, said
    assert "Note: The key in the system keyring takes precedence over the stored one." in said


def test_a_provider_that_must_be_chosen_knowingly_is_offered_last(tmp_path: Path) -> None:
    """With what a person should know of it."""
    status, said = run(tmp_path, "list")
    assert status == 0, said
    offers = [line for line in said.splitlines() if line.startswith("- ")]
    assert offers[-1] == "- kilo: Kilo Gateway, free. Prompts may be logged and used for training."


def test_a_provider_that_is_added_again_keeps_what_the_user_said_of_it(tmp_path: Path) -> None:
    """To store a key, as the note of the first time says: it must not come to serve what it was kept from. Comments and ends of lines stay."""
    before = '[[providers]]\r\npreset = "openrouter"  # mine\r\nuse_cases = ["fast"]\r\ncontext_window = 9000\r\n'
    settings_of(tmp_path).write_bytes(before.encode())
    status, said = run(tmp_path, "add", "openrouter", "--plan", "free", "--yes", stdin=f"{SECRET}\n")
    assert status == 0, said
    after = settings_of(tmp_path).read_bytes().decode()
    assert tomllib.loads(after)["providers"] == [{**tomllib.loads(before)["providers"][0], "plan": "free"}]
    assert all(line in after for line in before.splitlines(keepends=True))


def test_a_provider_is_removed_though_the_environment_replaces_the_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command changes the file."""
    monkeypatch.setenv("GROQ_FALLBACK_PROVIDERS", "[]")
    settings_of(tmp_path).write_text('[[providers]]\npreset = "openrouter"\n')
    kept = tmp_path / "openrouter-api-key"
    kept.write_text(f"{SECRET}\n")
    kept.chmod(0o600)
    status, said = run(tmp_path, "remove", "openrouter")
    assert status == 0, said
    assert not kept.exists()
    assert names_in(settings_of(tmp_path).read_text()) == []


def test_groq_s_own_key_stays_when_a_proxy_that_used_it_is_removed(tmp_path: Path) -> None:
    """Its variable is that of Groq."""
    kept = tmp_path / "groq-api-key"
    kept.write_text("gsk_secret_of_groq\n")
    kept.chmod(0o600)
    settings_of(tmp_path).write_text('[[providers]]\nname = "mine"\nbase_url = "https://x.test/v1"\nkey_env = "GROQ_API_KEY"\n')
    status, said = run(tmp_path, "remove", "mine")
    assert status == 0, said
    assert kept.exists()


def test_nothing_is_added_that_may_be_trained_on_without_consent(tmp_path: Path) -> None:
    """A pipe cannot agree."""
    status, said = run(tmp_path, "add", "mine", "--url", "https://models.example/v1")
    assert status == 2
    assert "what becomes of prompts is not known" in said
    assert "--yes" in said
    assert not settings_of(tmp_path).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "nowhere"], ["'nowhere'", "--url"]),
        (["add", "groq", "--url", "https://models.example/v1", "--yes"], ["reserved"]),
        (["add", "Mine", "--url", "https://models.example/v1", "--yes"], ["'Mine'", "lowercase"]),
        (["add", "mine", "--url", "http://models.example/v1", "--yes"], ["https"]),
        (
            ["add", "mine", "--url", "https://models.example/v1", "--key-env", "../key", "--yes"],
            ["--key-env", "never the key itself"],
        ),
        (["add", "cloudflare", "--url", "https://models.example/v1"], ["what becomes of prompts is not known"]),
        (["add", "openrouter", "--plan", "gold", "--yes"], ["'gold'", "use "]),
        (["remove", "nowhere"], ["'nowhere'", "providers add"]),
        (["order", "nowhere"], ["'nowhere'"]),
        (["order"], ["--prefer"]),
        (["order", "--prefer", "groq,cheap"], ["'cheap'", "paid"]),
        (["test", "nowhere", "--yes"], ["'nowhere'", "groq"]),
    ],
)
def test_what_cannot_be_done_says_why_and_what_can(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    """And changes nothing."""
    status, said = run(tmp_path, *arguments)
    assert status == 2
    assert all(word.lower() in said.lower() for word in words), said
    assert not settings_of(tmp_path).exists()


@pytest.mark.parametrize("command", [["order", "x"], ["remove", "x"], ["list"]])
def test_providers_that_are_no_tables_are_an_error_in_words(tmp_path: Path, command: list[str]) -> None:
    """Not a traceback."""
    settings_of(tmp_path).write_text("providers = 3\n")
    status, said = run(tmp_path, *command)
    assert status == 2
    assert "Traceback" not in said


def test_a_link_to_config_toml_stays_a_link(tmp_path: Path) -> None:
    """Settings that are kept in another folder."""
    (tmp_path / "elsewhere").mkdir()
    kept = tmp_path / "elsewhere" / "kept.toml"
    kept.write_text('plan = "developer"\n')
    settings_of(tmp_path).symlink_to(kept)
    status, said = run(tmp_path, "order", "--prefer", "groq,paid")
    assert status == 0, said
    assert settings_of(tmp_path).is_symlink()
    assert tomllib.loads(kept.read_text()) == {"plan": "developer", "prefer": ["groq", "paid"]}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A simulated endpoint."""
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock())
    async with run_simulator(app) as running:
        yield running.base_url


async def test_a_test_call_says_what_came_back(tmp_path: Path, url: str) -> None:
    """One short message, and the limits it stated."""
    settings_of(tmp_path).write_text(
        f'[[providers]]\nname = "mine"\nbase_url = "{url}/openai/v1"\nkey_env = "MINE"\nmodels = ["openai/gpt-oss-20b", "gone"]\n'
    )
    status, said = await run_apart(tmp_path, "test", "mine", "--yes", MINE="gsk_simulated")
    assert status == 0, said
    assert "openai/gpt-oss-20b answered in" in said
    assert "It does not list gone." in said
    status, said = await run_apart(tmp_path, "test", "mine", "--yes", "--json", MINE="not_a_key")
    assert status == 1
    assert json.loads(said)["answered"] is False
    status, said = await run_apart(tmp_path, "test", "mine", MINE="gsk_simulated", stdin="y\n")
    assert (status, "--yes" in said) == (0, False)


async def test_a_test_call_compares_the_list_with_the_catalog(tmp_path: Path) -> None:
    """And not with what was read of that list meanwhile."""
    overlay = tmp_path / "catalog.toml"
    overlay.write_text(
        '[[providers]]\nname = "openrouter"\nchecked = 2026-11-29\n'
        'models = [{ id = "qwen/qwen3.8-27b", wire = "qwen/qwen3.8-27b:free", context_window = 9000, cost = "free" }]\n'
    )
    app = create_provider_app("openrouter", ProviderOptions(), catalog=load_catalog(), clock=SystemClock())
    async with run_simulator(app) as running:
        settings_of(tmp_path).write_text(f'[[providers]]\npreset = "openrouter"\nbase_url = "{running.base_url}/api/v1"\n')
        status, said = await run_apart(
            tmp_path, "test", "openrouter", "--yes", OPENROUTER_API_KEY="k", GROQ_FALLBACK_CATALOG=str(overlay)
        )
    assert status == 0, said
    assert "qwen/qwen3.8-27b:free has a context window of 262,000; the catalog says 9,000." in said


async def test_a_test_call_sends_one_message_to_one_model(tmp_path: Path) -> None:
    """Nothing is tried again, and no other model: the person agreed to one message."""
    faults = {"openai/gpt-oss-20b": [Fault(kind="500", count=1)]}
    app = create_app(SimulatorOptions(latency_scale=0.0, faults=faults), catalog=load_catalog(), clock=SystemClock())
    async with run_simulator(app) as running:
        settings_of(tmp_path).write_text(
            f'[[providers]]\nname = "mine"\nbase_url = "{running.base_url}/openai/v1"\nkey_env = "MINE"\n'
            'models = ["openai/gpt-oss-20b", "openai/gpt-oss-120b"]\n'
        )
        status, said = await run_apart(tmp_path, "test", "mine", "--yes", MINE="gsk_simulated")
    assert status == 1, said
    assert "no answer from openai/gpt-oss-20b. " in said


def model(**more: object) -> ProviderModel:
    """What the catalog says."""
    row = ModelRow(id="m", kind=Kind.CHAT, stage=Stage.PRODUCTION, context_window=131_000, source="user", checked=date.min)
    return ProviderModel(row=row, wire_model="m", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "address", "words"),
    [
        ("wrong", "{url}/openai/v1", ["Invalid API Key", "Check its key", "--key-env"]),
        ("gsk_simulated", "{url}/elsewhere", ["Check its address", "--model"]),
        ("gsk_simulated", "http://127.0.0.1:9/v1", ["Check its address, and that it runs"]),
    ],
)
async def test_a_provider_without_a_readable_list_is_said_to_need_what_it_needs(
    tmp_path: Path, url: str, key: str, address: str, words: list[str]
) -> None:
    """In one line, and the next step."""
    settings_of(tmp_path).write_text(
        f'[[providers]]\nname = "mine"\nbase_url = "{address.format(url=url)}"\nkey_env = "MINE"\n'
    )
    status, said = await run_apart(tmp_path, "test", "mine", "--yes", MINE=key)
    assert status == 1, said
    assert "its list of models cannot be read" in said
    assert all(word in said for word in words), said


def test_an_address_may_end_as_its_documentation_has_it(tmp_path: Path) -> None:
    """With the path of chat completions."""
    status, said = run(tmp_path, "add", "mine", "--url", "https://models.example/v1/chat/completions", "--yes")
    assert status == 0, said
    assert tomllib.loads(settings_of(tmp_path).read_text())["providers"][0]["base_url"] == "https://models.example/v1"


def test_the_key_of_an_endpoint_by_address_is_kept_under_its_name(tmp_path: Path) -> None:
    """Where one is given; without, it is called without."""
    status, said = run(tmp_path, "add", "my-own", "--url", "https://models.example/v1", "--yes", stdin=f"{SECRET}\n")
    assert status == 0, said
    assert (tmp_path / "my-own-api-key").read_text() == f"{SECRET}\n"
    assert tomllib.loads(settings_of(tmp_path).read_text())["providers"][0]["key_env"] == "MY_OWN_API_KEY"
    status, said = run(tmp_path, "add", "open", "--url", "https://open.example/v1", "--yes", stdin="\n")
    assert "key_env" not in tomllib.loads(settings_of(tmp_path).read_text())["providers"][1]


def answer(model: str, *, usage_reported: bool = True, quota: QuotaSnapshot | None = None) -> Success:
    """An answer of a model."""
    return Success(model=model, text="OK", usage_reported=usage_reported, quota=quota or QuotaSnapshot())


def reading(limit: Limit, capacity: float) -> QuotaSnapshot:
    """What an answer said."""
    return QuotaSnapshot(readings=(LimitReading(limit=limit, capacity=capacity),))


@pytest.mark.parametrize(
    ("used", "success", "listed", "words"),
    [
        (model(), answer(model="m"), (), []),
        (model(), answer(model="provider/m-2026"), (), []),
        (model(), answer(model="other"), (), ["other answered instead of m"]),
        (model(), answer(model="m", usage_reported=False), (), ["does not report"]),
        (model(), answer(model="m", quota=reading(Limit.RPM, 40)), (), ["40 requests per minute", "no such limit"]),
        (model(documented={Limit.RPM: 40}), answer(model="m", quota=reading(Limit.RPM, 40)), (), []),
        (
            model(pool=Pool(name="p", documented={Limit.RPD: 50})),
            answer(model="m", quota=reading(Limit.RPD, 1000)),
            (),
            ["1,000 requests per day", "says 50"],
        ),
        (model(), None, Failure(kind=FailureKind.AUTHENTICATION, message="no"), ["cannot be read (no)"]),
        (model(), None, (LiveModel(id="x", active=True, context_window=None, max_completion_tokens=None),), ["not list m"]),
        (model(), None, (LiveModel(id="m", active=True, context_window=131_072, max_completion_tokens=None),), []),
        (
            model(),
            None,
            (LiveModel(id="m", active=True, context_window=8_192, max_completion_tokens=None),),
            ["window of 8,192", "says 131,000"],
        ),
    ],
)
def test_what_differs_from_the_catalog_is_said(
    used: ProviderModel, success: Success | None, listed: tuple[LiveModel, ...] | Failure, words: list[str]
) -> None:
    """And nothing where nothing does."""
    offer = ProviderModels(name="p", models={"m": used})
    found = " ".join(differences(offer, used, success, listed))
    assert all(word in found for word in words), found
    assert bool(found) is bool(words)
