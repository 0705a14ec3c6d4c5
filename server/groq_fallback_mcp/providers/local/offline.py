"""Keeps the libraries of local models from the network: they would report their use, or ask a hub for what is missing."""

from __future__ import annotations

import os

__all__ = ["keep_offline"]

# ONNX Runtime sends events to Microsoft unless it is told not to before it is loaded.
_SILENCE = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def keep_offline() -> None:
    """To be called before such a library is imported."""
    os.environ.update(_SILENCE)
