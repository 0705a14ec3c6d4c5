"""The ledger: who has spent how much of which limit, and which models are out of the running until when."""

from groq_fallback_mcp.quota.ledger import (
    ANY_MODEL,
    Claim,
    Cooldown,
    Granted,
    Ledger,
    ModelQuota,
    QuotaKey,
    Refused,
    Reservation,
    Wait,
    obstacle,
)
from groq_fallback_mcp.quota.memory import MemoryLedger

__all__ = [
    "ANY_MODEL",
    "Claim",
    "Cooldown",
    "Granted",
    "Ledger",
    "MemoryLedger",
    "ModelQuota",
    "QuotaKey",
    "Refused",
    "Reservation",
    "Wait",
    "obstacle",
]
