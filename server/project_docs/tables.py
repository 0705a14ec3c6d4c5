"""The tables of the documents that come from the catalog, the settings, the tools and the benchmark's figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import (
    Capabilities,
    Catalog,
    ModelRow,
    Plan,
    Practice,
    Price,
    ProviderLimit,
    ProviderPlan,
    ProviderRow,
)
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.settings import Settings
from groq_fallback_mcp.tools import TOOLS, TOOLSETS, Tool
from groq_fallback_mcp.tools.chat import GROQ_CHAT
from groq_fallback_mcp.tools.input_schema import input_schema
from project_docs.blocks import code, figure, table
from project_docs.headline import speed_cells

__all__ = [
    "SPEED_RESULTS",
    "current_chain",
    "current_model",
    "limits_block",
    "models_block",
    "not_retiring",
    "practices_block",
    "presets_block",
    "provider_plans_block",
    "settings_block",
    "speed_block",
    "tools_block",
    "toolsets_block",
    "use_cases_block",
]


_MODEL_HEADINGS = (
    "Model", "Kind", "Stage", "Shut down", "Successor", "Tokens/s", "Context", "Max output", "Price (US$)", "Takes",
)  # fmt: skip


def models_block(catalog: Catalog) -> str:
    """A row a model. The stage is its source's; from the shut-down date on the model no longer answers."""
    rows = sorted(catalog.models.values(), key=lambda row: not not_retiring(row.id, catalog))
    return table(_MODEL_HEADINGS, (_model_cells(row, catalog) for row in rows))


def _model_cells(row: ModelRow, catalog: Catalog) -> tuple[str, ...]:
    shutdown = catalog.shutdowns.get(row.id)
    ends, after = "", ""
    if shutdown is not None:
        ends = f"about {shutdown.on}" if shutdown.approximate else str(shutdown.on)
        after = "none" if shutdown.successor is None else code(shutdown.successor)
    return (
        code(row.id),
        row.kind.value.replace("_", " "),
        row.stage.value,
        ends,
        after,
        figure(row.speed_tps),
        figure(row.context_window),
        figure(row.max_completion_tokens),
        ", ".join(_prices(row.price)),
        ", ".join(_abilities(row.capabilities)),
    )


def _prices(price: Price) -> Iterator[str]:
    if price.input_usd_per_mtok is not None:
        cached = price.cached_input_usd_per_mtok
        yield f"{_usd(price.input_usd_per_mtok)} in" + ("" if cached is None else f" ({_usd(cached)} cached)")
    if price.output_usd_per_mtok is not None:
        yield f"{_usd(price.output_usd_per_mtok)} out / M tokens"
    if price.audio_usd_per_hour is not None:
        yield f"{_usd(price.audio_usd_per_hour)} / hour of audio"
    if price.speech_usd_per_mchar is not None:
        yield f"{_usd(price.speech_usd_per_mchar)} / M characters"


def _usd(amount: Decimal) -> str:
    cents = amount.quantize(Decimal("0.01"))
    return f"{cents if cents == amount else amount.normalize()}"


def _abilities(takes: Capabilities) -> Iterator[str]:
    if takes.vision:
        yield "images" if takes.max_images is None else f"images (up to {takes.max_images})"
    if takes.tools:
        yield "tools"
    if takes.json_schema:
        yield "JSON schema"
    elif takes.json_object:
        yield "JSON"
    if takes.reasoning:
        yield f"reasoning {'/'.join(takes.reasoning)}"
    if takes.builtin_tools:
        yield f"built-in {', '.join(takes.builtin_tools)}"
    if takes.translation:
        yield "translation to English"
    if takes.voices:
        yield f"voices {', '.join(takes.voices)}"
    if takes.max_input_chars is not None:
        yield f"up to {takes.max_input_chars} characters a call"


_SEED = "groq-api-seed-2026-02-13"
_PRACTICE_HEADINGS = ("Use case", "For", "Named by Groq in February 2026", "Served by", "Then", "Why", "Tool")


def practices_block(catalog: Catalog) -> str:
    """A row a use case. `Served by` and `Then` name the successors of models that were shut down."""
    return table(_PRACTICE_HEADINGS, (_practice_cells(practice, catalog) for practice in catalog.practices.values()))


def use_cases_block(catalog: Catalog) -> str:
    """What an agent needs of it in each session: the values of `use_case` that groq_chat takes, and who serves them."""
    rows = [
        (
            code(practice.use_case),
            practice.title,
            "nobody" if (first := current_model(practice, catalog)) is None else code(first),
        )
        for practice in catalog.practices.values()
        if practice.tool == GROQ_CHAT.name
    ]
    return table(("`use_case`", "For", "Served by"), rows)


def _tool_of(practice: Practice) -> str:
    """The tool that serves it, with its toolset where it is not listed by default."""
    toolset = next((one.name for one in TOOLSETS.values() if practice.tool in {tool.name for tool in one.tools}), None)
    return code(practice.tool) if toolset is None else f"{code(practice.tool)} (toolset {code(toolset)})"


def _practice_cells(practice: Practice, catalog: Catalog) -> tuple[str, ...]:
    first = current_model(practice, catalog)
    rest = current_chain(practice, catalog)[1:]
    added = "" if practice.source == _SEED else " (added)"
    why = practice.reason.rstrip(".")
    if practice.correction:
        why = f"{why}. Correction: {practice.correction}" if why else practice.correction
    return (
        code(practice.use_case),
        practice.title,
        code(practice.model) + added,
        "nobody" if first is None else code(first),
        ", ".join(code(name) for name in rest),
        why,
        _tool_of(practice),
    )


_PLANS: tuple[Plan, ...] = get_args(Plan)


def limits_block(catalog: Catalog) -> str:
    """The newest row of each model and plan, models without a shutdown first."""
    return "\n\n".join(f"{plan.capitalize()} plan:\n\n{_plan_table(plan, catalog)}" for plan in _PLANS)


def _plan_table(plan: Plan, catalog: Catalog) -> str:
    models = dict.fromkeys(row.model for row in catalog.limit_rows if row.plan == plan)
    ordered = sorted(models, key=lambda model: not not_retiring(model, catalog))
    stated = [limit for limit in Limit if any(limit in catalog.limits(model, plan) for model in models)]
    headings = ("Model", *(limit.value.upper() for limit in stated), "Upload (MB)", "Shut down")
    return table(headings, (_limit_cells(model, plan, stated, catalog) for model in ordered))


def _limit_cells(model: str, plan: Plan, stated: Sequence[Limit], catalog: Catalog) -> tuple[str, ...]:
    figures = catalog.limits(model, plan)
    shutdown = catalog.shutdowns.get(model)
    return (
        code(model),
        *(figure(figures.get(limit)) for limit in stated),
        figure(catalog.upload_mb(model, plan)),
        "" if shutdown is None else str(shutdown.on),
    )


_PRESET_HEADINGS = ("Preset", "Endpoint", "Base URL", "Key from", "Models", "Note")


def presets_block(catalog: Catalog) -> str:
    """One row a preset, in the catalog's order."""
    return table(_PRESET_HEADINGS, (_preset_cells(preset) for preset in catalog.providers.values()))


def _preset_cells(preset: ProviderRow) -> Sequence[str]:
    names = () if preset.key_env is None else (preset.key_env, *preset.key_env_also)
    key = " or ".join(map(code, names)) + (", if it wants one" if preset.key_optional else "")
    key += "" if preset.account_env is None else f" and {code(preset.account_env)}"
    models = ", ".join(
        code(model.id)
        if model.id == model.wire_id and not preset.prefix
        else f"{code(model.id)} as {code(preset.prefix + model.wire_id)}"
        for model in preset.models
    )
    return (code(preset.name), preset.title, code(preset.base_url), key, models, preset.note)


_PLAN_HEADINGS = ("Preset", "Plan", "Cost", "Limits", "Prompts", "Good to know", "Uncertain", "Checked")
_PROMPTS = {"no-training": "not trained on", "trains": "trained on or logged", "unknown": ""}


def provider_plans_block(catalog: Catalog) -> str:
    """One row a plan of a provider, the default first."""
    plans = ((provider, plan) for provider in catalog.providers.values() for plan in provider.plans)
    return table(_PLAN_HEADINGS, (_plan_cells(provider, plan) for provider, plan in plans))


def _plan_cells(provider: ProviderRow, plan: ProviderPlan) -> Sequence[str]:
    default = plan is provider.plans[0]
    limits = [limit for limit in provider.limits if limit.plan == plan.name]
    doubts = [plan.uncertain, *(limit.uncertain for limit in limits)]
    if default:
        doubts += [f"{code(model.id)}: {model.uncertain}" for model in provider.models if model.uncertain]
        doubts.append(provider.dialect.uncertain)
    notes = (provider.warning if default else "", plan.note, *(limit.note for limit in limits))
    prompts = "stay on this machine" if plan.cost == "local" else _PROMPTS[plan.data_policy]
    return (
        code(provider.name),
        code(plan.name),
        plan.cost,
        "; ".join(map(_stated_limits, limits)),
        prompts,
        " ".join(dict.fromkeys(filter(None, notes))),
        " ".join(dict.fromkeys(filter(None, doubts))),
        str(max([plan.checked, *(limit.checked for limit in limits)])),
    )


def _stated_limits(limit: ProviderLimit) -> str:
    figures = " + ".join(
        f"{figure:,} at once" if name is Limit.CONCURRENT else f"{figure:,} {name.value.upper()}"
        for name, figure in limit.figures().items()
    )
    models = "" if limit.models == ("*",) else " of " + ", ".join(map(code, limit.models))
    pool = "" if limit.pool is None else f" shared ({limit.pool})"
    return figures + models + pool + (", not relied on" if limit.uncertain else "")


def not_retiring(model: str, catalog: Catalog) -> bool:
    """Whether no end of this model is on record, past or announced."""
    return model in catalog.models and model not in catalog.shutdowns


def current_model(practice: Practice, catalog: Catalog) -> str | None:
    """The practice's model, or its successor once every recorded shutdown has come."""
    return next(iter(current_chain(practice, catalog)), None)


def current_chain(practice: Practice, catalog: Catalog) -> Sequence[str]:
    """The practice's model and chain, each retiring one replaced by its successor, without those that cannot do the use case."""
    names = [practice.model, *practice.chain]
    resolved = [name if not_retiring(name, catalog) else catalog.successor(name, date.max) for name in names]
    able = [name for name in resolved if name is not None and _able(name, practice, catalog)]
    return tuple(dict.fromkeys(able))


def _able(model: str, practice: Practice, catalog: Catalog) -> bool:
    if practice.use_case == "vision":
        return catalog.models[model].capabilities.vision
    if practice.use_case == "translation":
        return catalog.models[model].capabilities.translation
    return True


_SETTING_HEADINGS = ("Environment variable", "In config.toml", "Default", "Meaning")
# where config.toml itself is found is no field of Settings: it is read before there are any
_CONFIG_ROW = (
    code("GROQ_FALLBACK_CONFIG"), "", "", "Path of config.toml. Default: `groq-fallback-mcp/config.toml` in the user's config folder.",
)  # fmt: skip


def settings_block() -> str:
    """A row a setting."""
    return table(
        _SETTING_HEADINGS, [*(_setting_cells(name, field) for name, field in Settings.model_fields.items()), _CONFIG_ROW]
    )


def _setting_cells(name: str, field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    variable = alias if isinstance(alias, str) else f"GROQ_FALLBACK_{name.upper()}"
    default = _default(field.default)
    values = _values(field.annotation)
    one_of = f" One of {', '.join(code(str(value)) for value in values)}." if values else ""
    return (code(variable), code(name), default, f"{field.description or ''}{one_of}")


def _default(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return code(f"{value:g}" if isinstance(value, float) else str(value))


def _values(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((_values(part) for part in get_args(annotation) if part is not NoneType and get_origin(part) is Literal), ())


def tools_block() -> str:
    """Each tool with its words for the agent and a table of its arguments."""
    return "\n\n".join(f"{code(tool.name)}: {tool.description}\n\n{_arguments(tool)}" for tool in TOOLS)


def toolsets_block() -> str:
    """What each toolset adds, and what that costs an agent in tokens with every request."""
    rows = (
        (
            code(toolset.name),
            ", ".join(code(tool.name) for tool in toolset.tools) or "-",
            toolset.title,
            f"{toolset.tokens:,}",
        )
        for toolset in TOOLSETS.values()
    )
    described = "\n\n".join(
        f"{code(tool.name)}: {tool.description}\n\n{_arguments(tool)}"
        for toolset in TOOLSETS.values()
        for tool in toolset.tools
    )
    return f"{table(('Toolset', 'Tools', 'For', 'Tokens more'), rows)}\n\n{described}"


def _arguments(tool: Tool) -> str:
    properties = input_schema(tool.arguments).get("properties", {})
    return table(("Argument", "Takes", "Default", "Meaning"), _argument_rows(tool, properties))


def _argument_rows(tool: Tool, properties: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for name, schema in properties.items():
        field = tool.arguments.model_fields[name]
        default = "required" if field.is_required() else "" if field.default is None else code(json.dumps(field.default))
        yield code(name), _takes(schema), default, str(schema.get("description", ""))


def _takes(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(code(str(value)) for value in schema["enum"])
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = f" {least:,} to {most:,}" if least is not None and most is not None else ""
    longest = f" up to {schema['maxLength']:,} characters" if "maxLength" in schema else ""
    return f"{schema.get('type', 'any')}{bounds}{longest}"


SPEED_RESULTS = "benchmarks/speed/results.json"


def speed_block(results: str) -> str:
    """Every figure that has a target, and whether it was reached. `results` is the text of SPEED_RESULTS, empty without a run.

    Raises InputRefused where it is not what the benchmark writes.
    """
    if not results:
        return "Not measured in this checkout: `make bench`."
    try:
        kept = json.loads(results)
        rows = [row for figures in kept["figures"].values() for row in figures if row["limit"] is not None]
        lines = [speed_cells(row) for row in rows]
        met = sum(row["met"] for row in rows)
        head = f"{kept['measured']}. {met} of {len(rows)} targets are met."
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputRefused(
            f"{SPEED_RESULTS} is not what the benchmark writes: {error!r}", next_step="run: python -m benchmarks.speed --write"
        ) from None
    return f"{head}\n\n{table(('What', 'Ours', 'Beside', 'Theirs', 'Ratio', 'Target', 'Met'), lines)}"
