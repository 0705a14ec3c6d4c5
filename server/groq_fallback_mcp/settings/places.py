"""Where this user's files are."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from platformdirs.api import PlatformDirsABC

from groq_fallback_mcp.system import on_macos, on_windows

__all__ = ["CONFIG_VARIABLE", "config_path", "key_path", "provider_key_path", "state_folder"]

CONFIG_VARIABLE = "GROQ_FALLBACK_CONFIG"

APP = "groq-fallback-mcp"


def config_path() -> Path:
    """Where config.toml is looked for: GROQ_FALLBACK_CONFIG, else the user's config folder."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named).expanduser() if named else _folders().user_config_path / "config.toml"


def state_folder() -> Path:
    """Where this user's state is kept between runs."""
    return _folders().user_state_path


def key_path() -> Path:
    """The file that holds Groq's key for people who keep it neither in the environment nor in a key ring."""
    return config_path().with_name("groq-api-key")


def provider_key_path(key_env: str) -> Path:
    """The same for another provider, by the name of its variable."""
    return config_path().with_name(key_env.lower().replace("_", "-"))


def _folders() -> PlatformDirsABC:
    if on_windows():
        from platformdirs.windows import Windows

        return Windows(APP, appauthor=False)
    if on_macos():
        from platformdirs.macos import MacOS

        return MacOS(APP, appauthor=False)
    # of Unix, or of Android
    return platformdirs.PlatformDirs(APP, appauthor=False)
