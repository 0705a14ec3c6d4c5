"""The ledger: who has spent how much of which limit, and which models are out of the running until when.

`transactions.py` decides, purely; a store keeps records (memory, a SQLite file, a Redis server); `store_ledger.py` brings the
two together off the event loop, and `degrading.py` carries on when a store fails.
"""

from groq_fallback_mcp.quota.caller import OWNER, Caller, caller_day
from groq_fallback_mcp.quota.ledger import (
    ANY_MODEL,
    Claim,
    ConversationModel,
    Granted,
    Ledger,
    ModelQuota,
    QuotaKey,
    Refused,
    Reservation,
    Settlement,
    SettleResult,
    StoreStatus,
    Wait,
    obstacle,
    pool_model,
)
from groq_fallback_mcp.quota.open_ledger import default_path, memory_ledger, open_ledger

__all__ = [
    "ANY_MODEL",
    "OWNER",
    "Caller",
    "Claim",
    "ConversationModel",
    "Granted",
    "Ledger",
    "ModelQuota",
    "QuotaKey",
    "Refused",
    "Reservation",
    "SettleResult",
    "Settlement",
    "StoreStatus",
    "Wait",
    "caller_day",
    "default_path",
    "memory_ledger",
    "obstacle",
    "open_ledger",
    "pool_model",
]
