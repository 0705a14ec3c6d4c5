"""What is known about models, limits, prices and practices. Data in data/*.toml, one row a fact, dated."""

from groq_fallback_mcp.catalog.lookups import Catalog
from groq_fallback_mcp.catalog.price import FREE, Price
from groq_fallback_mcp.catalog.provider_rows import (
    Cost,
    DataPolicy,
    Dialect,
    LimitHeader,
    LocalServer,
    ProviderError,
    ProviderLimit,
    ProviderModelRow,
    ProviderPlan,
    ProviderRow,
)
from groq_fallback_mcp.catalog.schema import (
    Capabilities,
    Kind,
    LimitRow,
    ModelRow,
    Plan,
    Practice,
    Shutdown,
    Stage,
)
from groq_fallback_mcp.catalog.toml_files import load_catalog

__all__ = [
    "FREE",
    "Capabilities",
    "Catalog",
    "Cost",
    "DataPolicy",
    "Dialect",
    "Kind",
    "LimitHeader",
    "LimitRow",
    "LocalServer",
    "ModelRow",
    "Plan",
    "Practice",
    "Price",
    "ProviderError",
    "ProviderLimit",
    "ProviderModelRow",
    "ProviderPlan",
    "ProviderRow",
    "Shutdown",
    "Stage",
    "load_catalog",
]
