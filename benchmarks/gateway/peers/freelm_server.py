"""freelm's endpoint over two models of one upstream: `python freelm_server.py BASE_URL PORT`."""

from __future__ import annotations

import os
import sys

import freelm
from freelm import Groq, ModelSpec

NO_LIMIT = 1_000_000


def main() -> None:
    """Serve until it is killed."""
    base_url, port = sys.argv[1:]
    models = [ModelSpec(id=model) for model in os.environ["MODELS"].split(",")]
    provider = Groq("k", models=models, rpm=NO_LIMIT, rpd=NO_LIMIT, base_url=base_url)
    freelm.serve([provider], port=int(port), api_key=os.environ["TOKEN"], quiet=True)


if __name__ == "__main__":
    main()
