"""What this project raises. Expected API failures are values (`call.Failure`), not exceptions.

    GroqFallbackError
    ├── ConfigurationError   a setting, key, file or row that cannot be used; found at load
    └── InputRefused         arguments that cannot be served; found before anything is sent
        └── ModelNotAllowed  a model that this caller may not use

Each message names the cause and the offending value (never a secret), and ends with the next step.
"""

from __future__ import annotations

from groq_fallback_mcp.render import capitalized, sentence

__all__ = ["ConfigurationError", "GroqFallbackError", "InputRefused", "ModelNotAllowed"]


class GroqFallbackError(Exception):
    """Base of everything this project raises on purpose.

    `cause` says what is wrong and with which value, `next_step` what to do about it.
    """

    def __init__(self, cause: str, *, next_step: str) -> None:
        self.cause = capitalized(cause.rstrip("."))
        self.next_step = capitalized(next_step.rstrip("."))
        super().__init__(f"{sentence(self.cause)} {sentence(self.next_step)}")


class ConfigurationError(GroqFallbackError):
    """A setting, key, file or row that cannot be used."""


class InputRefused(GroqFallbackError):
    """Arguments that cannot be served; nothing has been sent anywhere."""


class ModelNotAllowed(InputRefused):
    """A model that exists, and that this caller may not use."""
