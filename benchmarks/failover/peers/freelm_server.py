"""freelm's endpoint over two providers a model: `python freelm_server.py CONFIGURATION PORT`, the first at its own address, the second at another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import freelm
from freelm import Groq, ModelSpec

NO_LIMIT = 1_000_000


def main() -> None:
    """Serve until it is killed."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))

    def provider(name: str, models: list[str], base_url: str, priority: int) -> Groq:
        specs = [ModelSpec(id=model) for model in models]
        return Groq("k", name=name, models=specs, rpm=NO_LIMIT, rpd=NO_LIMIT, base_url=base_url, priority=priority)

    first = [provider(model, [model], address, 0) for model, address in settings["first"].items()]
    next_one = provider("next", list(settings["first"]), settings["next"], 1)
    freelm.serve(
        [*first, next_one],
        port=int(sys.argv[2]),
        api_key=settings["token"],
        quiet=True,
        timeout=settings["timeout_s"],
        hedge=settings["hedge_s"],
    )


if __name__ == "__main__":
    main()
