"""How a provider that refuses every call from this user is named to people."""

from __future__ import annotations

from groq_fallback_mcp.call.outcomes import FailureKind

__all__ = ["LOCAL_ONLY", "NO_API_KEY", "provider_name", "refusal"]

# What a provider says of itself that needs a key and has none.
NO_API_KEY = "no API key"
# Why a provider elsewhere is not asked.
LOCAL_ONLY = "this call may not leave this machine (local_only)"


def refusal(kind: FailureKind, provider: str) -> str | None:
    """That a provider refuses every call from this user, in a clause; None for kinds that say nothing of the kind."""
    name = provider_name(provider)
    match kind:
        case FailureKind.AUTHENTICATION:
            return "Groq refused the API key (401)" if provider == "groq" else f"{name} refused the API key"
        case FailureKind.ORGANIZATION_REFUSED:
            return f"{name} refuses this organization"
        case FailureKind.NO_CREDIT:
            return f"{name} requires payment"
        case _:
            return None


def provider_name(provider: str) -> str:
    """What people call a provider."""
    return "Groq" if provider == "groq" else f"the provider {provider}"
