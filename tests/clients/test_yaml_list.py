"""One entry of a YAML list is added and removed, and every other line stays."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from groq_fallback_mcp.clients.yaml_list import YamlFault, has_entry, with_entry, without_entry

ENTRY: dict[str, Any] = {"name": "ours", "key": 'with "quotes": and # signs', "roles": ["chat"], "options": {"maxTokens": 5}}

MODELS = [
    "name: x\n",
    "name: x",
    "models:\n",
    "models: # mine\n  - name: a # this too\n    model: b\n\n# below\nrules:\n  - be nice\n",
    "models:\n- name: a\n  model: b\n- name: c\nrules: []\n",
    "models:\n    - name: a\n      prompt: |\n        models:\n          - not one\n\nname: x\n",
    "name: x\r\nmodels:\r\n  - name: a\r\n",
    "models:\n  # only a comment\nname: x\n",
    "rules:\n  - models: nothing\n",
]


@pytest.mark.parametrize("text", MODELS)
def test_an_entry_is_added_at_the_end_and_taken_out_again(text: str) -> None:
    """A YAML parser reads what was meant, and the first text comes back but for a line end at its end."""
    after = with_entry(text, "models", ENTRY)
    before = yaml.safe_load(text)
    assert yaml.safe_load(after) == {**before, "models": [*(before.get("models") or []), ENTRY]}
    assert has_entry(after)
    assert with_entry(after, "models", ENTRY) == after
    rest = without_entry(after)
    assert not has_entry(rest)
    if before.get("models"):
        assert rest == text
    assert (yaml.safe_load(rest) or {}).get("models") == before.get("models")


@pytest.mark.parametrize(
    "text",
    [
        "models: []\n",
        "models: [{name: a}]\n",
        "models: &all\n  - name: a\n",
        '"models":\n  - name: a\n',
        "models:\n  name: a\n",
        "models:\n  - a\nmodels:\n  - b\n",
        "{models: [a]}\n",
        "name: x\n---\nname: y\n",
        "models:\n\t- a\n",
        "# groq-fallback-mcp: begin\nmodels:\n",
        "# groq-fallback-mcp: end\n# groq-fallback-mcp: begin\n",
    ],
)
def test_what_is_not_a_plain_list_is_refused(text: str) -> None:
    """Rather than guessed at."""
    with pytest.raises(YamlFault):
        with_entry(text, "models", ENTRY)
