"""Models that judge instead of answering.

llama-prompt-guard-2 gives the probability of an attack as a text; its 512 tokens of context are the catalog's. That the text
is a bare number with four digits is unverified.

openai/gpt-oss-safeguard-20b judges by a policy in the system message. Its form of answer is whatever the policy asks for; here
it is `{"violation": 0 or 1, "category": ..., "rationale": ...}` for policies with lines such as

    VIOLATES: bomb, weapon
    VIOLATES (fraud): scam, phishing

where one of the words in the last user message violates. Without such a line it answers like any other model. All of this is
the simulator's own rule.
"""

from __future__ import annotations

import json
import re

from groq_fallback_mcp.simulator.wire import Messages, text_of

__all__ = ["attack_score", "verdict"]

_ATTACK = re.compile(
    r"(ignore|disregard|forget) (all |any )?(of )?(your |the |my )?(previous|prior|above|earlier) (instructions|prompts?|rules)"
    r"|(reveal|print|repeat) (your |the )?system prompt|developer mode|jailbreak|do anything now",
    re.IGNORECASE,
)
_RULE = re.compile(r"^\s*VIOLATES(?: \((?P<category>[^)]+)\))?:(?P<words>.+)$", re.MULTILINE)


def attack_score(messages: Messages) -> str:
    """The score of the last message as prompt-guard gives it."""
    return "0.9993" if _ATTACK.search(text_of(messages[-1].get("content"))) else "0.0008"


def verdict(model: str, messages: Messages) -> str | None:
    """The judgment of a safeguard model as JSON; None for other models and where no policy has a line with VIOLATES."""
    policy = "\n".join(text_of(row.get("content")) for row in messages if row.get("role") in ("system", "developer"))
    rules = list(_RULE.finditer(policy))
    if "safeguard" not in model or not rules:
        return None
    said = [text_of(row.get("content")) for row in messages if row.get("role") == "user"]
    judged = said[-1] if said else ""
    for rule in rules:
        for word in rule["words"].split(","):
            if word.strip() and re.search(rf"\b{re.escape(word.strip())}\b", judged, re.IGNORECASE):
                category = rule["category"] or "policy"
                rationale = f"simulated: the content has the word {word.strip()!r}"
                return json.dumps({"violation": 1, "category": category, "rationale": rationale})
    return json.dumps({"violation": 0, "category": None, "rationale": "simulated: no word of the policy"})
