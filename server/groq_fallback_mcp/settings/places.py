"""Where this user's files are."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_config_path, user_state_path

__all__ = ["CONFIG_VARIABLE", "config_path", "key_path", "provider_key_path", "state_folder"]

CONFIG_VARIABLE = "GROQ_FALLBACK_CONFIG"

APP = "groq-fallback-mcp"


def config_path() -> Path:
    """Where config.toml is looked for: GROQ_FALLBACK_CONFIG, else the user's config folder."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named).expanduser() if named else user_config_path(APP, appauthor=False) / "config.toml"


def state_folder() -> Path:
    """Where this user's state is kept between runs."""
    return user_state_path(APP, appauthor=False)


def key_path() -> Path:
    """The file that holds Groq's key for people who keep it neither in the environment nor in a key ring."""
    return config_path().with_name("groq-api-key")


def provider_key_path(key_env: str) -> Path:
    """The same for another provider, by the name of its variable."""
    return config_path().with_name(key_env.lower().replace("_", "-"))
