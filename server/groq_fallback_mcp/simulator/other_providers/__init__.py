"""Stand-ins for providers besides Groq: their limits, errors and quirks, strictly, as the catalog and their documentation say."""

from groq_fallback_mcp.simulator.other_providers.app import base_path, create_provider_app, parse_planned
from groq_fallback_mcp.simulator.other_providers.state import Planned, ProviderOptions

__all__ = ["Planned", "ProviderOptions", "base_path", "create_provider_app", "parse_planned"]
