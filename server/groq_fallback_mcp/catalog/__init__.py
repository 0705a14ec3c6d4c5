"""What is known about models, limits, prices and practices. Data in data/*.toml, one row a fact, dated."""

from groq_fallback_mcp.catalog.lookups import Catalog
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
from groq_fallback_mcp.catalog.toml_files import load_catalog

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
