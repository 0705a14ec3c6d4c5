"""Settings: where they come from, which win, and what a mistake says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from groq_fallback_mcp import settings as settings_package
from groq_fallback_mcp.application import allowed_folders
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings import EndpointSettings, Settings, config_path, load_settings, unknown_variables


def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> Path:
    """A config.toml with this text."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(path))
    return path


@pytest.mark.parametrize(
    "line",
    [
        'http_token = ["my-Very-Secret-1"]',
        "http_token = 1234567890123456789",
        'state = ["my-Very-Secret-1"]',
        'proxy = "me:my-Very-Secret-1@h"',
        'providers = ["https://u:my-Very-Secret-1@h/v1"]',
        'providers = "https://u:my-Very-Secret-1@h"',
        'plan = "https://u:my-Very-Secret-1@h"',
        'plan = "gsk_my-Very-Secret-1"',
        '[[providers]]\nname = "mine"\nbase_url = "https://h.test/v1"\nkey_env = "gsk_myVerySecret1"',
        '[[providers]]\nname = "https://u:my-Very-Secret-1@h/v1"',
        '[[providers]]\nname = "gsk_my-Very-Secret-1"',
        '[[providers]]\nname = "https://u:my-Very-Secret-1@h/v1"\nbase_url = "https://h.test/v1"\ncost = "none"',
        '[[providers]]\nname = "mine"\nbase_url = "https://u:My-Secret/x@h/v1"',
        '[[providers]]\nname = "mine"\nbase_url = "https://u:my@secret/x@h/v1"',
        '[[providers]]\nname = "mine"\nbase_url = "http://my-secret/x@h/v1"',
        '[[providers]]\nname = "mine"\nbase_url = "h.test/v1?api_key=My-Secret"',
        '[[providers]]\nname = "mine"\nbase_url = "ftp://u:my@Secret@h.test/v1"',
        '[[providers]]\nname = "mine"\nbase_url = "https://u:my-Secret@h\u2100.test/v1"',
        'base_url = "https://u:My-Secret/x@h/v1"',
    ],
)
def test_what_may_be_a_secret_is_not_shown_where_it_is_wrong(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also an address or a key in the place of something else."""
    monkeypatch.delenv("GROQ_FALLBACK_STATE", raising=False)
    configured(monkeypatch, tmp_path, f"{line}\n").chmod(0o600)
    with pytest.raises(ConfigurationError, match="Invalid ") as caught:
        load_settings()
    told = str(caught.value).replace(str(tmp_path), "").lower()
    assert not any(secret in told for secret in ("secret", "123456"))


@pytest.mark.parametrize("text", [f"deadline_s = {'9' * 5_000}", f"prefer = {'[' * 5_000}"])
def test_a_file_with_endless_numbers_or_lists_is_told_as_that(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python's reader of TOML gives up on them in ways of its own."""
    path = configured(monkeypatch, tmp_path, text)
    with pytest.raises(ConfigurationError, match=f"{path}"):
        load_settings()


@pytest.mark.parametrize("name", ["xai_api_key", "sk_proxy_key", "org_token", "MY_KEY"])
def test_a_variable_s_name_may_look_like_a_key_as_long_as_it_is_words(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keys have digits or capital letters after such a beginning."""
    configured(monkeypatch, tmp_path, f'[[providers]]\nname = "mine"\nbase_url = "https://h.test/v1"\nkey_env = "{name}"')
    assert load_settings().providers[0].key_env == name


def test_without_anything_set_the_defaults_hold() -> None:
    """And there is no key."""
    settings = load_settings()
    assert (settings.api_key, settings.base_url, settings.plan, settings.deadline_s) == (
        None,
        "https://api.groq.com",
        "free",
        50.0,
    )


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Later wins."""
    configured(monkeypatch, tmp_path, 'plan = "developer"\ndeadline_s = 10\nmax_wait_s = 1\n')
    monkeypatch.setenv("GROQ_FALLBACK_DEADLINE_S", "20")
    monkeypatch.setenv("GROQ_FALLBACK_MAX_WAIT_S", "3")
    settings = load_settings(max_wait_s=5, plan=None)
    assert (settings.plan, settings.deadline_s, settings.max_wait_s) == ("developer", 20.0, 5.0)


@pytest.mark.parametrize(
    "url",
    [
        "https://proxy.test/groq",
        "https://proxy.test/groq/",
        "https://proxy.test/groq/openai/v1",
        "https://proxy.test/groq/openai/v1/",
    ],
)
def test_the_base_url_may_have_the_path_or_not(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Both forms mean the same."""
    monkeypatch.setenv("GROQ_BASE_URL", url)
    assert load_settings().base_url == "https://proxy.test/groq"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8787", "http://localhost:1", "http://[::1]:5", "https://api.groq.com"])
def test_http_is_taken_on_loopback_only(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """And https anywhere."""
    monkeypatch.setenv("GROQ_BASE_URL", url)
    assert load_settings().base_url == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.groq.com", "clear text; use https"),
        ("http://10.0.0.5", "clear text; use https"),
        ("http://localhost.evil.test", "clear text; use https"),
        ("ftp://api.groq.com", "not an http(s) address"),
        ("api.groq.com", "not an http(s) address"),
        ("https://user:s3cret@api.groq.com", "user info"),
        ("https://api.groq.com?x=1", "user info, a query"),
        ("https://api.groq.com:abc", "not a valid address"),
    ],
)
def test_a_base_url_that_would_leak_the_key_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    """By name, without its secrets."""
    monkeypatch.setenv("GROQ_BASE_URL", url)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert words in str(refusal.value)
    assert "GROQ_BASE_URL" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_state_file_in_the_home_folder_of_nobody_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a traceback when the file is first wanted."""
    monkeypatch.setenv("GROQ_FALLBACK_STATE", "sqlite:///~nobody-here/x.db")
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert "~nobody-here/x.db cannot be expanded" in str(refusal.value)
    assert "GROQ_FALLBACK_STATE" in str(refusal.value)


@pytest.mark.parametrize("key", ["gsk_abc def", "gsk_abc\n", "gsk_abc\r\nX: y", "gsk_ünïcode", " gsk_abc"])
def test_a_key_with_white_space_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """It would leak into an exception of the HTTP library."""
    monkeypatch.setenv("GROQ_API_KEY", key)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert "GROQ_API_KEY" in str(refusal.value)
    assert "spaces or non-ASCII" in str(refusal.value)
    assert "abc" not in str(refusal.value)


def test_a_key_never_shows_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """SecretStr."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_canary")
    settings = load_settings()
    assert "canary" not in repr(settings)
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "gsk_canary"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plan = free", ["is not valid TOML", "line 1", "config.toml"]),
        ("plam = 'free'", ["plam", "config.toml"]),
        ("deadline_s = -1", ["deadline_s", "(got -1"]),
        ("[[providers]]\nname = 'groq'\nbase_url = 'https://x.test/v1'\nmodels = ['m']", ["groq and local are reserved"]),
        (
            "[[providers]]\nname = 'mine'\nbase_url = 'http://x.test/v1'\nmodels = ['m']",
            ["Invalid base_url of provider 'mine' in ", "use https", "Fix base_url and restart"],
        ),
        ("groq_key = 'gsk_s3cret'", ["Unknown setting 'groq_key'", "see docs/configuration.md"]),
        ("deadline = 5", ["Unknown setting 'deadline'", "Use deadline_s"]),
        ("files = ['~nobody-here/x']", ["files", "cannot be expanded"]),
        (
            "[[providers]]\nname = 'a'\nbase_url = 'https://x.test/v1'\nmodels = ['m']\n" * 2,
            ["two providers are named 'a'"],
        ),
        ("[[providers]]\nname = 'mine'\nmodels = ['m']", ["Invalid provider 'mine'", "base_url or a preset"]),
        (
            "[[providers]]\nname = 'mine'\nbase_url = 'https://x.test/v1'\nmodels = ['m']\nkey = 'x'",
            ["'key' of provider 'mine'", "Use key_env"],
        ),
        ("[[providers]]\nbase_url = 'https://x.test/v1'", ["No name of provider 1 in ", "Add name and restart"]),
        (
            "[[providers]]\nname = 'Mine'\nbase_url = 'https://x.test/v1'",
            ["(got 'Mine'): use lowercase letters, digits, - and _"],
        ),
        (
            "[[providers]]\nname = 'mine'\nbase_url = 'https://x.test/v1'\nkey_env = 'gsk_s3cret-0'",
            ["Invalid key_env of provider 'mine'", "never the key itself"],
        ),
        ("[[providers]]\npreset = 'gemini'\nmodels = 'x'", ["Invalid models of provider 'gemini'", "a list or a table"]),
        (
            "providers = 'gemini'",
            [
                "(got 'gemini'): it must be [[providers]] tables. Run groq-fallback-mcp providers add gemini",
                'preset = "gemini"',
            ],
        ),
        ("providers = ['gemini']", ["Invalid provider 1 in ", "(got 'gemini'): it must be a table"]),
        (
            "prefer = ['groq', 'cheap']",
            ["Invalid prefer in ", "(got 'cheap'): it must be groq, local, free or paid", "Fix prefer"],
        ),
        (
            "toolsets = 'speach'",
            ["Invalid toolsets in ", "(got 'speach')", "full, speech, safety, batch or all", "Fix toolsets"],
        ),
        ("toolsets = 5", ["Invalid toolsets in ", "(got 5): it must be a list"]),
        ("plan = 5", ["(got 5): it must be free or developer"]),
        ("deadline_s = 'long'", ["(got 'long'): it must be a number"]),
        ("budget_tokens_per_day = 1.5", ["(got 1.5): it must be a whole number"]),
        ("history = 'maybe'", ["(got 'maybe'): it must be true or false"]),
        ("attempt_timeout_s = 0", ["(got 0): it must be more than 0"]),
        ("line_mib = 2000", ["(got 2000): it must be at most 1024"]),
        ("log_file = 5", ["(got 5): it must be text"]),
        ("organisation = 5", ["Invalid organisation in ", "Fix organisation"]),
        ("GROQ_FALLBACK_PLAN = 'free'", ["Unknown setting 'GROQ_FALLBACK_PLAN'", "Use plan"]),
    ],
)
def test_a_mistake_in_the_file_names_file_key_and_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: list[str]
) -> None:
    """Nothing is silently passed over."""
    configured(monkeypatch, tmp_path, text)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    for word in words:
        assert word in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert not re.search(r"Input should|tuple|[a-z]\.\d", str(refusal.value).replace(str(tmp_path), "")), refusal.value


def test_a_file_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With its path."""
    configured(monkeypatch, tmp_path, "").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="Cannot read"):
        load_settings()


def test_a_bad_variable_is_named_as_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by our internal name."""
    monkeypatch.setenv("GROQ_FALLBACK_PLAN", "gold")
    with pytest.raises(ConfigurationError, match=r"GROQ_FALLBACK_PLAN.*'gold'"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "GROQ_FALLBACK_PREFER",
            "groq,cheap",
            "(got 'cheap'): it must be groq, local, free or paid. Fix GROQ_FALLBACK_PREFER ",
        ),
        ("groq_fallback_plan", "gold", "(got 'gold'): it must be free or developer. Fix groq_fallback_plan "),
        ("GROQ_FALLBACK_DEADLINE_S", "fast", "(got 'fast'): it must be a number"),
        ("GROQ_FALLBACK_DEADLINE_S", "0", "(got '0'): it must be at least 1"),
        ("GROQ_FALLBACK_OTEL", "maybe", "(got 'maybe'): it must be true or false"),
        ("GROQ_FALLBACK_LINE_MIB", "1.5", "(got '1.5'): it must be a whole number"),
        ("GROQ_FALLBACK_BUDGET_USD_PER_DAY", "ten", "(got 'ten'): it must be a number"),
    ],
)
def test_a_mistake_in_a_variable_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, words: str
) -> None:
    """By the name that was given, though the file has settings too."""
    configured(monkeypatch, tmp_path, 'toolsets = ["speech"]\n')
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(toolsets="batch")
    assert str(refusal.value).startswith(f"Invalid {variable} in the environment {words}")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            {"toolsets": "speach"},
            "Invalid --toolsets (got 'speach'): it must be full, speech, safety, batch or all. Fix --toolsets ",
        ),
        ({"log_level": "loud"}, "Invalid --log-level (got 'loud'): it must be debug, info, warning or error."),
        ({"log_file": "~nobody-here/x"}, "Invalid --log-file (got '~nobody-here/x'): ~nobody-here/x cannot be expanded"),
    ],
)
def test_a_mistake_in_an_option_is_not_blamed_on_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: dict[str, str], words: str
) -> None:
    """Nor on the environment, though both have settings, also this one."""
    configured(monkeypatch, tmp_path, 'toolsets = ["speech"]\nlog_level = "info"\n')
    monkeypatch.setenv("GROQ_FALLBACK_LOG_LEVEL", "debug")
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(**flags)
    assert str(refusal.value).startswith(words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[not json", "GROQ_FALLBACK_PROVIDERS in the environment is not valid JSON. Give it as JSON, or use [[providers]]"),
        ('[{"name": "mine"}]', "Invalid provider 1 in GROQ_FALLBACK_PROVIDERS"),
        (
            '[{"preset": "gemini", "key": "s3cret"}]',
            "Unknown setting 'key' of provider 1 in GROQ_FALLBACK_PROVIDERS. Use key_env",
        ),
        ('"gemini"', "Invalid GROQ_FALLBACK_PROVIDERS in the environment (got 'gemini'): it must be [[providers]] tables"),
    ],
)
def test_a_mistake_in_the_providers_of_a_variable_names_it(monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    """It must be JSON."""
    monkeypatch.setenv("GROQ_FALLBACK_PROVIDERS", value)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert str(refusal.value).startswith(words)
    assert "s3cret" not in str(refusal.value)


def test_the_config_file_is_looked_for_in_the_user_s_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a variable names another."""
    monkeypatch.delenv("GROQ_FALLBACK_CONFIG")
    assert config_path().parts[-2:] == ("groq-fallback-mcp", "config.toml")


def test_folders_are_separated_like_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And a list in the file."""
    monkeypatch.setenv("GROQ_FALLBACK_FILES", f"{tmp_path}:/tmp")
    assert load_settings().files == (tmp_path, Path("/tmp"))
    monkeypatch.delenv("GROQ_FALLBACK_FILES")
    configured(monkeypatch, tmp_path, 'files = ["/tmp"]')
    assert load_settings().files == (Path("/tmp"),)


def test_by_default_the_folder_the_server_started_in_may_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """But not the root, nor the home folder."""
    monkeypatch.chdir(tmp_path)
    assert allowed_folders(Settings()) == (tmp_path.resolve(),)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert allowed_folders(Settings()) == ()
    monkeypatch.chdir("/")
    assert allowed_folders(Settings()) == ()


@pytest.mark.parametrize("proxy", ["http://proxy.test:3128", "https://proxy.test", "http://user:s3cret@10.0.0.1:8080/"])
def test_a_proxy_is_on_the_way_to_the_outside_only(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A loopback address is reached directly, whatever is set."""
    monkeypatch.setenv("GROQ_FALLBACK_PROXY", proxy)
    settings = load_settings()
    assert settings.proxy_to("https://api.groq.com") == proxy
    for here in ("http://127.0.0.1:8787", "http://localhost:1/v1", "http://[::1]:5", "https://127.1.2.3"):
        assert settings.proxy_to(here) is None
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.test:3128",
        "socks5://u:s3cret@proxy.test",
        "http://",
        "http://u:s3cret@proxy.test:port",
        "http://u:s3cret@proxy.test:0",
        "http://u:s3cret@proxy.test/path",
        "http://u:s3cret@proxy.test\r\nX: y",
    ],
)
def test_an_odd_proxy_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """It may hold a password."""
    monkeypatch.setenv("GROQ_FALLBACK_PROXY", proxy)
    with pytest.raises(ConfigurationError) as refusal:
        load_settings()
    assert "GROQ_FALLBACK_PROXY" in str(refusal.value)
    assert "http://HOST:PORT" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_the_password_of_a_proxy_is_a_secret_in_both_its_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in the address, and as it is sent."""
    monkeypatch.setenv("GROQ_FALLBACK_PROXY", "http://user:p%40ssw0rd@proxy.test:1")
    assert {"p%40ssw0rd", "p@ssw0rd"} <= set(load_settings().secrets())


def test_the_former_spelling_of_a_setting_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade must not shut a user out; the present spelling wins where both are set."""
    monkeypatch.setenv("GROQ_FALLBACK_ORGANISATION", "acme")
    assert load_settings().organization == "acme"
    monkeypatch.delenv("GROQ_FALLBACK_ORGANISATION")
    monkeypatch.setenv("groq_fallback_organisation", "lower")
    assert load_settings().organization == "lower"
    monkeypatch.setenv("GROQ_FALLBACK_ORGANIZATION", "apex")
    assert load_settings().organization == "apex"


def test_the_former_spelling_of_a_setting_is_taken_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As config.toml had it before."""
    configured(monkeypatch, tmp_path, 'organisation = "acme"\n')
    assert load_settings().organization == "acme"


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("GROQ_FALLBACK_DEDLINE_S", "use GROQ_FALLBACK_DEADLINE_S"),
        ("groq_fallback_tool_sets", "use GROQ_FALLBACK_TOOLSETS"),
        ("GROQ_FALLBACK_API_KEY", "use GROQ_API_KEY"),
        ("GROQ_FALLBACK_BASE_URL", "use GROQ_BASE_URL"),
        ("GROQ_FALLBACK_CONFG", "use GROQ_FALLBACK_CONFIG"),
        ("GROQ_FALLBACK_XYZZY", "see docs/configuration.md for all settings"),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one(name: str, step: str) -> None:
    """A typo in one is ignored otherwise."""
    assert unknown_variables([name, "PATH", "GROQ_API_KEY"]) == [f"{name} is not a setting and is ignored; {step}"]


def test_each_variable_that_is_read_is_known() -> None:
    """Those of settings, a former spelling, the place of the file, and a provider's key; in any case of letters."""
    fields = [f"GROQ_FALLBACK_{name.upper()}" for name in Settings.model_fields if name not in {"api_key", "base_url"}]
    assert unknown_variables([*fields, *map(str.lower, fields), "GROQ_FALLBACK_CONFIG", "GROQ_FALLBACK_ORGANISATION"]) == []
    own = EndpointSettings(name="mine", base_url="https://x.test/v1", key_env="GROQ_FALLBACK_MY_KEY")
    assert unknown_variables(["GROQ_FALLBACK_MY_KEY"], providers=[own]) == []
    written = "".join(file.read_text() for file in Path(settings_package.__file__).parents[1].rglob("*.py"))
    assert unknown_variables(re.findall(r"\bGROQ_FALLBACK_[A-Z][A-Z_]*\b", written)) == []
