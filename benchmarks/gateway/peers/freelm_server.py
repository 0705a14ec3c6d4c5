"""freelm's endpoint over models of one upstream: `python freelm_server.py BASE_URL PORT`."""

from __future__ import annotations

import os
import sys

import freelm
from freelm import Groq, ModelSpec

NO_LIMIT = 1_000_000


def main() -> None:
    """Serve until it is killed."""
    base_url, port = sys.argv[1:]
    # each a provider of its own: a 503 of one model puts its whole provider into a cooldown
    providers = [
        Groq("k", name=model, models=[ModelSpec(id=model)], rpm=NO_LIMIT, rpd=NO_LIMIT, base_url=base_url, priority=number)
        for number, model in enumerate(os.environ["MODELS"].split(","))
    ]
    freelm.serve(providers, port=int(port), api_key=os.environ["TOKEN"], quiet=True)


if __name__ == "__main__":
    main()
