"""Reads the catalog's TOML files and lays a user's overlay over them; every mistake is named with file, row and fix.

An overlay's row with the key of a shipped one changes only what it states; any other row is added. It vouches for itself: the
source of a row that names none is "user", and `checked` is always its own. What rows say of each other must hold: every model
and source named is defined, no successor leads back.
"""

from __future__ import annotations

import tomllib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from groq_fallback_mcp.catalog.lookups import Catalog
from groq_fallback_mcp.catalog.provider_rows import ProviderRow
from groq_fallback_mcp.catalog.schema import CatalogFile
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.json_types import is_list, is_object

__all__ = ["load_catalog", "read_catalog_file"]

_FILES = ("sources.toml", "models.toml", "lifecycle.toml", "limits.toml", "practices.toml", "reference.toml")
_PROVIDERS = "providers.toml"
_SHOWN_CHARS = 120
# The tables, and what makes a row the same row.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "sources": ("id",),
    "models": ("id",),
    "shutdowns": ("model",),
    "limits": ("model", "plan", "checked"),
    "practices": ("use_case",),
    "advice": ("topic", "title"),
    "headers": ("header",),
    "errors": ("status",),
    "error_codes": ("status", "code"),
    "endpoints": ("method", "path"),
    "sdks": ("package",),
    "providers": ("name",),
}
Rows = Mapping[str, Sequence[BaseModel]]
# What an overlay's row replaces: with limits every row of that model and plan, whatever its date.
_OVERLAY_KEYS: Mapping[str, tuple[str, ...]] = {**_KEYS, "limits": ("model", "plan")}
# Never taken over from the row below: it would put the user's figure under another's name.
_PROVENANCE = frozenset({"source", "checked", "source_plan_name"})
# What was said of the old value and need not be true of the new one.
_SAID_OF: Mapping[tuple[str, str], frozenset[str]] = {
    ("models", "capabilities"): frozenset({"capabilities_source"}),
    ("models", "price"): frozenset({"cached_price_source"}),
    ("shutdowns", "on"): frozenset({"approximate", "note"}),
    ("practices", "model"): frozenset({"reason", "correction"}),
}
# The source of a row that the user vouches for; needs no [[sources]] row.
_USER = "user"


def load_catalog(overlay: Path | None = None) -> Catalog:
    """The shipped catalog, with the overlay's rows laid over it.

    Raises ConfigurationError when the overlay cannot be read, is not TOML, has a row that does not fit, or
    refers to a model or source that nothing defines.
    """
    if overlay is None:
        return _shipped_catalog()
    name = overlay.name
    given = _with_providers(_parse(name, _read_text(overlay)))
    shipped = (
        {**_shipped_rows(), "providers": tuple(_shipped_providers().values())} if "providers" in given else _shipped_rows()
    )
    read = _validate(name, _completed(given, shipped))
    own = {table: getattr(read, table) for table in _KEYS}
    for table, rows in own.items():
        _refuse_duplicates(name, table, rows, _OVERLAY_KEYS[table])
    catalog = _build_catalog(_laid_over(shipped, own))
    _check_references(catalog, name)
    return catalog


def _with_providers(given: dict[str, Any]) -> dict[str, Any]:
    """An overlay whose `[[presets]]`, as providers were once called, are `[[providers]]`. What fits neither is left to be refused."""
    presets, providers = given.get("presets"), given.get("providers", [])
    if not is_list(presets) or not is_list(providers) or not all(is_object(row) for row in presets):
        return given
    others = {table: rows for table, rows in given.items() if table != "presets"}
    return {**others, "providers": [*map(_of_preset, presets), *providers]}


def _of_preset(preset: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: value for key, value in preset.items() if key != "speech_models"}
    models, speech = preset.get("models"), preset.get("speech_models", [])
    if is_object(models):
        row["models"] = [{"id": id_, "wire": wire, "speech": is_list(speech) and id_ in speech} for id_, wire in models.items()]
    if preset.get("name") not in _ShippedProviders():
        # plain http is taken for this machine alone
        local = str(preset.get("base_url", "")).startswith("http://")
        row["plans"] = [{"name": "default", "cost": "local" if local else "paid"}]
    return row


def read_catalog_file(name: str, text: str) -> CatalogFile:
    """Validate one file's text by itself. `name` is only for messages."""
    return _validate(name, _parse(name, text))


class _ShippedProviders(Mapping[str, ProviderRow]):
    """The providers of the shipped catalog, read once they are needed: their file takes longer to read than all others."""

    def __getitem__(self, name: str) -> ProviderRow:
        return _shipped_providers()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_shipped_providers())

    def __len__(self) -> int:
        return len(_shipped_providers())


@cache
def _shipped_providers() -> Mapping[str, ProviderRow]:
    return {row.name: row for row in _shipped_file(_PROVIDERS).providers}


@cache
def _shipped_rows() -> Rows:
    """All shipped rows but those of providers."""
    read = [_shipped_file(name) for name in _FILES]
    return {table: [row for file in read for row in getattr(file, table)] for table in _KEYS}


def _shipped_file(name: str) -> CatalogFile:
    text = (files("groq_fallback_mcp.catalog") / "data" / name).read_text(encoding="utf-8")
    return read_catalog_file(name, text)


@cache
def _shipped_catalog() -> Catalog:
    catalog = _build_catalog(_shipped_rows())
    _check_references(catalog, "the shipped catalog")
    return catalog


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the catalog overlay {path} cannot be read: {error}",
            next_step="make it a readable UTF-8 file, or remove the setting that names it",
        ) from error


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError, and so is an overlong number
        fix = f"fix that line of {name}"
        raise ConfigurationError(f"{name} is not valid TOML: {error}", next_step=fix) from error


def _validate(name: str, data: Mapping[str, Any]) -> CatalogFile:
    try:
        read = CatalogFile.model_validate(data)
    except ValidationError as error:
        raise _refusal(name, data, error) from None
    for table, key in _KEYS.items():
        _refuse_duplicates(name, table, getattr(read, table), key)
    return read


def _refuse_duplicates(name: str, table: str, rows: Sequence[BaseModel], key: tuple[str, ...]) -> None:
    first: dict[Hashable, int] = {}
    for number, row in enumerate(rows, start=1):
        if (earlier := first.setdefault(_key_of(row, key), number)) != number:
            what = ", ".join(f"{field} {getattr(row, field)!s}" for field in key)
            raise ConfigurationError(
                f"{name}: [[{table}]] row {number} repeats row {earlier} ({what})",
                next_step=f"keep one of the two rows of {name}",
            )


def _refusal(name: str, data: Mapping[str, Any], error: ValidationError) -> ConfigurationError:
    """The first mistake of a file: where it is, what is wrong, and which keys or values would do."""
    mistakes = error.errors(include_url=False)
    # A misspelt key is also a missing one: the misspelling is what to mend.
    first = next((mistake for mistake in mistakes if mistake["type"] != "missing"), mistakes[0])
    table, *rest = first["loc"]
    where = f"[[{table}]]"
    if rest and isinstance(rest[0], int):
        number, *rest = rest
        row: object = data[str(table)][number]
        stated = _stated(row, str(table)) if is_object(row) else []
        where += f" row {int(number) + 1}" + (f" ({', '.join(stated)})" if stated else "")
    path = [str(part) for part in rest]
    key = f", key {'.'.join(path)!r}" if path else ""
    got = "" if first["type"] == "missing" else f" (got {_shortened(first['input'])})"
    match first["type"]:
        case "extra_forbidden":
            known = _known_keys(str(table), path)
            near = get_close_matches(path[-1] if path else str(table), known, n=1)
            fix = f"write {near[0]!r} or remove it" if near else "remove it"
            fix += f". Valid keys are {', '.join(known)}"
        case "missing":
            absent = [str(mistake["loc"][-1]) for mistake in mistakes if mistake["loc"][:-1] == first["loc"][:-1]]
            fix = f"add {', '.join(absent)} to that row of {name}"
        case "tuple_type" if not path:
            fix = f"write the table in {name} as [[{table}]], with double brackets"
        case _:
            fix = f"fix that value in {name}"
    return ConfigurationError(f"{name}, {where}{key}: {first['msg']}{got}", next_step=fix)


def _known_keys(table: str, path: Sequence[str]) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    if not path:
        return list(_KEYS)
    row = _row_type(CatalogFile.model_fields[table].annotation)
    # a number is the place of a row among others
    for part in (part for part in path[:-1] if row is not None and part in row.model_fields):
        row = _row_type(row.model_fields[part].annotation) if row is not None else None
    return [] if row is None else list(row.model_fields)


def _row_type(annotation: object) -> type[BaseModel] | None:
    """The row in an annotation such as `tuple[Row, ...]` or `Row | None`."""
    found = (one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, BaseModel))
    return next(found, None)


def _shortened(value: object) -> str:
    shown = str(value) if isinstance(value, Decimal) else repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "..."


def _stated(row: Mapping[str, object], table: str) -> list[str]:
    return [str(row[field]) for field in _KEYS[table] if field in row]


def _completed(data: Mapping[str, Any], shipped: Rows) -> dict[str, Any]:
    """The overlay's data with what its rows leave unsaid. What is no row is left for validation to refuse."""
    return {table: _completed_table(table, rows, shipped.get(table, ())) for table, rows in data.items()}


def _laid_over(shipped: Rows, own: Rows) -> Rows:
    """The shipped rows with the overlay's in the place of those they stand in for, and the new ones after them."""
    merged: dict[str, Sequence[BaseModel]] = {}
    for table, fields in _OVERLAY_KEYS.items():
        replacing = {_key_of(row, fields): row for row in own[table]}
        placed: dict[Hashable, BaseModel] = {}
        for row in shipped[table]:
            place = _key_of(row, fields)
            if place in replacing:
                placed[place] = replacing[place]
            else:
                placed[_key_of(row, _KEYS[table])] = row
        merged[table] = [*placed.values(), *(row for place, row in replacing.items() if place not in placed)]
    return merged


def _completed_table(table: str, rows: object, shipped: Sequence[BaseModel]) -> object:
    if table not in _KEYS or not is_list(rows):
        return rows
    fields = _OVERLAY_KEYS[table]
    # The newest row comes last and is the one that stays.
    oldest_first = sorted(shipped, key=lambda row: str(getattr(row, "checked", "")))
    below = {_key_of(row, fields): row for row in oldest_first}
    return [_completed_row(table, row, below) if is_object(row) else row for row in rows]


def _completed_row(table: str, row: dict[str, Any], below: Mapping[tuple[Hashable, ...], BaseModel]) -> dict[str, Any]:
    place = tuple(row.get(field) for field in _OVERLAY_KEYS[table])
    shipped = below.get(place) if all(isinstance(part, str | int) for part in place) else None
    unsaid = set(_PROVENANCE).union(*(_SAID_OF.get((table, key), ()) for key in row))
    base = {} if shipped is None else shipped.model_dump(exclude_unset=True, exclude=unsaid)
    source = {} if table == "sources" else {"source": _USER}
    nested: dict[str, Any] = {
        key: {**value, **row[key]} for key, value in base.items() if isinstance(value, dict) and isinstance(row.get(key), dict)
    }
    return {**source, **base, **row, **nested}


def _named_models(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Every mention of a model outside its own row: where, and which."""
    for limits in catalog.limit_rows:
        yield f"[[limits]] of {limits.model!r}", limits.model
    for shutdown in catalog.shutdowns.values():
        yield f"[[shutdowns]] of {shutdown.model!r}", shutdown.model
        if shutdown.successor is not None:
            yield f"[[shutdowns]] of {shutdown.model!r}, key 'successor'", shutdown.successor
    for practice in catalog.practices.values():
        yield f"[[practices]] {practice.use_case!r}, key 'model'", practice.model
        for model in practice.chain:
            yield f"[[practices]] {practice.use_case!r}, key 'chain'", model


def _named_sources(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for model in catalog.models.values():
        if model.capabilities_source is not None:
            yield f"[[models]] {model.id!r}, key 'capabilities_source'", model.capabilities_source
        if model.cached_price_source is not None:
            yield f"[[models]] {model.id!r}, key 'cached_price_source'", model.cached_price_source
    # a test looks at the shipped ones, which would have to be read for it
    own = () if isinstance(catalog.providers, _ShippedProviders) else catalog.providers.values()
    for provider in own:
        yield from ((f"[[providers]] of {provider.name!r}", source) for source in provider.sources)
    for table, rows in (
        ("models", catalog.models.values()),
        ("shutdowns", catalog.shutdowns.values()),
        ("limits", catalog.limit_rows),
        ("practices", catalog.practices.values()),
        ("advice", catalog.advice),
        ("headers", catalog.headers),
        ("errors", catalog.errors),
        ("error_codes", catalog.error_codes),
        ("endpoints", catalog.endpoints),
        ("sdks", catalog.sdks),
    ):
        for row in rows:
            yield f"[[{table}]] of {', '.join(str(part) for part in _key_of(row, _KEYS[table]))!r}", row.source


def _check_successors(catalog: Catalog, name: str) -> None:
    for start in catalog.shutdowns:
        line = [start]
        while (shutdown := catalog.shutdowns.get(line[-1])) is not None and shutdown.successor is not None:
            line.append(shutdown.successor)
            if shutdown.successor in line[:-1]:
                raise ConfigurationError(
                    f"{name}: [[shutdowns]] of {start!r} forms a cycle ({' -> '.join(line)})",
                    next_step="make the last one name a live model, or no successor",
                )


def _check_references(catalog: Catalog, name: str) -> None:
    """Refuse a catalog whose rows name a model or source that is not there, or succeed each other in a circle."""
    for where, model in _named_models(catalog):
        if model not in catalog.models:
            near = get_close_matches(model, catalog.models, n=1)
            raise ConfigurationError(
                f"{name}: {where} names the model {model!r}, which no [[models]] row defines",
                next_step=(f"write {near[0]!r}, or " if near else "") + "add a [[models]] row with that id",
            )
    for where, source in _named_sources(catalog):
        if source not in catalog.sources and source != _USER:
            raise ConfigurationError(
                f"{name}: {where} gives the source {source!r}, which no [[sources]] row defines",
                next_step='add a [[sources]] row with that id, or write source = "user"',
            )
    _check_successors(catalog, name)


def _key_of(row: BaseModel, fields: tuple[str, ...]) -> tuple[Hashable, ...]:
    """The row's values of these fields."""
    return tuple(getattr(row, field) for field in fields)


def _build_catalog(rows: Rows) -> Catalog:
    """A catalog of these rows, which must hold every table of _KEYS; without rows of providers, with those that are shipped."""

    def keyed(table: str) -> dict[Any, Any]:
        key = _KEYS[table][0]
        return {getattr(row, key): row for row in rows[table]}

    def listed(table: str) -> tuple[Any, ...]:
        return tuple(rows[table])

    return Catalog(
        sources=keyed("sources"),
        models=keyed("models"),
        shutdowns=keyed("shutdowns"),
        limit_rows=listed("limits"),
        practices=keyed("practices"),
        advice=listed("advice"),
        headers=listed("headers"),
        errors=listed("errors"),
        error_codes=listed("error_codes"),
        endpoints=listed("endpoints"),
        sdks=listed("sdks"),
        providers=keyed("providers") or _ShippedProviders(),
    )
