"""What is known about models, limits, prices and practices. Data in data/*.toml, one row a fact, dated."""

from groq_fallback_mcp.catalog.catalog import Catalog
from groq_fallback_mcp.catalog.load import load_catalog
from groq_fallback_mcp.catalog.schema import (
    Capabilities,
    Kind,
    LimitRow,
    ModelRow,
    Plan,
    Practice,
    Preset,
    Price,
    Shutdown,
    Stage,
)

__all__ = [
    "Capabilities",
    "Catalog",
    "Kind",
    "LimitRow",
    "ModelRow",
    "Plan",
    "Practice",
    "Preset",
    "Price",
    "Shutdown",
    "Stage",
    "load_catalog",
]
