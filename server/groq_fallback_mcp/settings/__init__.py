"""Every setting, its name, default and meaning; docs/configuration.md is generated from here.

Order of precedence, later wins: `config.toml` in the user's config folder, environment, flags of the command. A
key, where none of them has one, is looked for in the key ring and in a file beside config.toml.
"""

from groq_fallback_mcp.settings.mistakes import reason, unknown_variables
from groq_fallback_mcp.settings.model import TOOLSETS, EndpointSettings, Settings, Toolset, secrets_in, split_names
from groq_fallback_mcp.settings.places import config_path, key_path, provider_key_path, state_folder
from groq_fallback_mcp.settings.sources import key_sources, load_settings

__all__ = [
    "TOOLSETS",
    "EndpointSettings",
    "Settings",
    "Toolset",
    "config_path",
    "key_path",
    "key_sources",
    "load_settings",
    "provider_key_path",
    "reason",
    "secrets_in",
    "split_names",
    "state_folder",
    "unknown_variables",
]
