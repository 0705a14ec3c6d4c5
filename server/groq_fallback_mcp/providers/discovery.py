"""What endpoints really serve: servers on this machine looked at every two seconds, lists of models elsewhere every ten minutes.

Endpoints far away are asked for their list where config.toml names no models of theirs, and after a model turned out to be gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.catalog import FREE, Catalog, Kind, LocalServer, ProviderRow
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.providers.endpoints import Endpoint, endpoint_models
from groq_fallback_mcp.providers.json_fields import json_object
from groq_fallback_mcp.providers.local_servers import LocalEndpoint, ServerWatch, quoting_no_key
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.served_models import ServedModel, read_listed

__all__ = ["Discovery", "FoundServer"]

LOOK_EVERY_S = 2.0
LIST_LIFE_S = 600.0
LIST_RETRY_S = 10.0
LIST_TIMEOUT_S = 10.0
# For a list without which an endpoint has no models at all.
LIST_WAIT_S = 2.0
# Of a list of hundreds: the others serve where a call names them.
MOST_UNASKED = 8
# What a server on this machine fails with when what it runs has changed.
MAY_HAVE_CHANGED = frozenset(
    {FailureKind.UNREACHABLE, FailureKind.CONNECTION_LOST, FailureKind.MODEL_GONE, FailureKind.CONTEXT_TOO_LONG}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundServer:
    """A server that runs on this machine. `configured`: config.toml names it."""

    name: str
    row: ProviderRow | None
    base_url: str
    models: tuple[ServedModel, ...]
    configured: bool

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name if self.row is None else self.row.title


@dataclass(slots=True, kw_only=True)
class _Source:
    """Where the models of an endpoint are read. `named`: the user named them, so they stay whatever is read."""

    endpoint: Endpoint
    named: bool
    watch: ServerWatch | None = None
    listed: _ModelList | None = None
    built: tuple[object, ProviderModels] | None = None
    learnt: dict[str, tuple[int | None, int]] = field(default_factory=dict[str, tuple[int | None, int]])
    """Windows that refusals named, by model on the wire, with what was stated then."""

    @property
    def server(self) -> LocalServer | None:
        """The server of this machine that it is."""
        return None if self.watch is None else self.watch.server

    @property
    def served(self) -> tuple[ServedModel, ...] | None:
        if self.watch is not None:
            return self.watch.models
        return None if self.listed is None else self.listed.models


class Discovery:
    """Keeps what endpoints serve up to date. `open_endpoint` makes the provider of a server that was found."""

    def __init__(self, *, catalog: Catalog, clock: Clock, open_endpoint: Callable[[Endpoint], LocalEndpoint]) -> None:
        self._catalog = catalog
        self._clock = clock
        self._open = open_endpoint
        self._sources: dict[str, _Source] = {}
        self._unclaimed: list[tuple[ProviderRow, ServerWatch]] = []
        self._besides: frozenset[int] | None = None
        self._looked_at: float | None = None
        self._looks = 0
        self._looking = anyio.Lock()
        self._seen: set[str] = set()
        self.found: dict[str, LocalEndpoint] = {}
        """The providers of the servers that were found so far, by name."""

    def add(self, endpoint: Endpoint, provider: OpenAICompatible, *, named: bool) -> None:
        """Read what a configured endpoint serves. `named`: the user named its models."""
        source = _Source(endpoint=endpoint, named=named)
        row = endpoint.row
        if isinstance(provider, LocalEndpoint):
            kinds = _kinds(self._catalog) if row is None else [row.server] if row.server is not None else []
            source.watch = provider.watch = ServerWatch(
                endpoint.base_url, kinds=kinds, clock=self._clock, configured=True, key=endpoint.key or None
            )
        elif not named:
            source.listed = _ModelList(provider, self._clock, needed=not endpoint.models)
        self._sources[endpoint.name] = source

    def find(self, *, besides: Iterable[int] = ()) -> None:
        """Look for servers at the catalog's ports, except at those of `besides`, and for none that is configured elsewhere."""
        self._besides = frozenset(besides)

    def warm_up(self) -> None:
        """Read what the first look needs. Blocking: 24 ms, which the start must not take."""
        if self._besides is not None:
            _kinds(self._catalog)

    async def refresh(self, *, at_once: bool = False, lists: bool = False, local: bool = False, patient: bool = False) -> None:
        """Look again where the last look is older than two seconds, or `at_once`.

        `lists`: also read lists that no call needs. `local`: send nothing beyond this machine. `patient`: give slow servers more
        time, as no call waits.
        """
        listed = [source.listed for source in self._sources.values() if source.listed is not None and not local]
        for each in listed:
            each.begin(lists=lists)
        await asyncio.gather(*(each.wait(lists=lists) for each in listed))
        if self._besides is not None:
            await anyio.to_thread.run_sync(self.warm_up)
            self._watch_ports()
        watches = self._watches
        if not watches or (self._is_fresh() and not at_once):
            return
        looks = self._looks
        async with self._looking:
            # another call may have looked meanwhile
            if self._looks > looks if at_once else self._is_fresh():
                return
            self._looks += 1
            # most ports of most machines are closed: nothing is started for them
            looking = [watch.look(patient=patient) for watch in watches if not watch.is_closed()]
            if looking:
                await asyncio.gather(*looking)
                self._claim()
            # a call that was cancelled meanwhile has seen nothing
            self._looked_at = self._clock.monotonic()

    def models(self, provider: ProviderModels) -> ProviderModels:
        """What a configured endpoint can be asked for now."""
        source = self._sources.get(provider.name)
        if source is None:
            return provider
        served = source.served
        seen = (served, tuple(source.learnt.items()))
        if source.built is None or source.built[0] != seen:
            source.built = (seen, _learnt(_offered(provider, source, served, self._catalog), source))
            if source.watch is not None:
                self._seen |= source.built[1].models.keys()
        return source.built[1]

    def found_models(self) -> tuple[ProviderModels, ...]:
        """What the servers that were found can be asked for now."""
        offers = [
            self.models(endpoint_models(self._sources[name].endpoint, self._catalog))
            for name in self.found
            if self._sources[name].served
        ]
        return tuple(offers)

    def servers(self) -> tuple[FoundServer, ...]:
        """The servers that answer on this machine now."""
        return tuple(
            FoundServer(
                name=name,
                row=_row_of(source.server, self._catalog),
                base_url=source.endpoint.base_url,
                models=source.watch.models,
                configured=name not in self.found,
            )
            for name, source in self._sources.items()
            if source.watch is not None and source.watch.models is not None
        )

    def is_known_by_looking(self, provider: str, kind: FailureKind) -> bool:
        """Whether each call looks anew if a failure of this kind still holds, so that nothing need rest after it."""
        source = self._sources.get(provider)
        if source is None or source.watch is None:
            return False
        return kind is FailureKind.UNREACHABLE or (kind is FailureKind.MODEL_GONE and not source.named)

    def has_served(self, model: str) -> bool:
        """Whether a server of this machine has served a model."""
        return model in self._seen

    async def learn_from(self, provider: str, wire_model: str, failure: Failure) -> frozenset[str]:
        """Take from a failed attempt what it says of a model; the servers of this machine, where they were looked at anew."""
        source = self._sources.get(provider)
        if source is None:
            return frozenset()
        if failure.kind is FailureKind.CONTEXT_TOO_LONG and failure.context_window is not None:
            source.learnt[wire_model] = (_stated(source, wire_model), failure.context_window)
        if source.listed is not None and failure.kind is FailureKind.MODEL_GONE:
            source.listed.expire()
        if source.watch is None or failure.kind not in MAY_HAVE_CHANGED:
            return frozenset()
        await self.refresh(at_once=True)
        return frozenset(server.name for server in self.servers())

    async def aclose(self) -> None:
        """Stop reading."""
        for source in self._sources.values():
            if source.listed is not None:
                source.listed.cancel()
        for watch in self._watches:
            await watch.aclose()

    @property
    def _watches(self) -> list[ServerWatch]:
        claimed = [source.watch for source in self._sources.values() if source.watch is not None]
        return [*claimed, *(watch for _, watch in self._unclaimed)]

    def _watch_ports(self) -> None:
        if self._besides is None:
            # another call was first
            return
        taken = {
            *self._besides,
            *(urlsplit(source.endpoint.base_url).port for source in self._sources.values() if source.watch),
        }
        self._besides = None
        for row in self._catalog.providers.values():
            source = self._sources.get(row.name)
            # its usual address alone rules out none of its other ports: llama.cpp's changed
            elsewhere = source is not None and source.endpoint.base_url != row.base_url
            if row.server is None or elsewhere:
                continue
            for port in row.server.ports:
                if port not in taken:
                    url = f"http://127.0.0.1:{port}/v1"
                    self._unclaimed.append((row, ServerWatch(url, kinds=[row.server], clock=self._clock)))

    def _is_fresh(self) -> bool:
        return self._looked_at is not None and self._clock.monotonic() - self._looked_at < LOOK_EVERY_S

    def _claim(self) -> None:
        """Make providers of the servers that answer for the first time."""
        for row, watch in [one for one in self._unclaimed if one[1].models is not None]:
            self._unclaimed.remove((row, watch))
            port = urlsplit(watch.base_url).port
            name = row.name if row.name not in self._sources else f"{row.name}-{port}"
            plan = row.plans[0]
            endpoint = Endpoint(
                name=name,
                base_url=watch.base_url,
                key="",
                key_hint=None,
                prefix="",
                models={},
                speech_models=(),
                context_window=None,
                use_cases=None,
                row=row,
                plan=plan,
                cost="local",
                data_policy="no-training",
            )
            provider = self._open(endpoint)
            provider.watch = watch
            self.found[name] = provider
            self._sources[name] = _Source(endpoint=endpoint, named=False, watch=watch)


def _kinds(catalog: Catalog) -> list[LocalServer]:
    """The catalog's servers, which are told by what they answer without a key."""
    return [row.server for row in catalog.providers.values() if row.server is not None]


class _ModelList:
    """The list of models of an endpoint far away. `needed`: without it the endpoint has none."""

    def __init__(self, provider: OpenAICompatible, clock: Clock, *, needed: bool) -> None:
        self.models: tuple[ServedModel, ...] | None = None
        self._provider = provider
        self._clock = clock
        self._needed = needed
        self._due_at: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self._late = False

    def begin(self, *, lists: bool) -> None:
        """Begin to read a list that is due."""
        wanted = lists or self._needed or self._due_at is not None
        due = self._due_at is None or self._clock.monotonic() >= self._due_at
        if self._reading is None and wanted and due and self._provider.unready is None:
            self._reading = asyncio.create_task(self._read())

    async def wait(self, *, lists: bool) -> None:
        """Wait for a list that is needed, though not for long, and not again after it was late: most calls do without it."""
        if self._reading is not None and (lists or (self._needed and self.models is None and not self._late)):
            _, late = await asyncio.wait({self._reading}, timeout=LIST_WAIT_S)
            self._late = bool(late)

    def expire(self) -> None:
        """Read it again with the next call."""
        self._due_at = self._clock.monotonic()

    def cancel(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> None:
        try:
            reply = await self._provider.send("GET", "/models", timeout_s=LIST_TIMEOUT_S)
            body = reply if isinstance(reply, Failure) else json_object(reply.body)
            found = None if isinstance(body, Failure) else read_listed(body)
            self.models = (quoting_no_key(found) if found else ()) or self.models
            self._due_at = self._clock.monotonic() + (LIST_RETRY_S if found is None else LIST_LIFE_S)
        finally:
            self._reading = None


def _offered(
    provider: ProviderModels, source: _Source, served: Sequence[ServedModel] | None, catalog: Catalog
) -> ProviderModels:
    """An endpoint's models with what was read of them."""
    if served is None:
        return provider
    endpoint, local = source.endpoint, source.server is not None
    by_wire = {model.wire: model for model in served}
    only = served[0] if len(served) == 1 and _any_name_serves(source) else None
    named: dict[str, ProviderModel] = {}
    for model, offered in provider.models.items():
        known = by_wire.get(offered.wire_model, by_wire.get(f"{offered.wire_model}:latest", only))
        if known is not None or source.named:
            named[model] = offered if known is None else _with_facts(offered, known, source)
    if source.named or (not local and provider.models):
        # a list that has none of them is one of other names, such as a proxy's
        return replace(provider, models=named) if named else provider
    read: dict[str, ProviderModel] = {}
    for one in _best_first(served):
        name, offered = _as_listed(endpoint, one, catalog)
        read.setdefault(name, _with_facts(offered, one, source))
    chats = [name for name, offered in read.items() if offered.row.kind is Kind.CHAT]
    # names of the catalog that a server takes for whatever it has loaded
    standing_in = {name for name in named if name not in read and only is not None}
    models = {name: offered for name, offered in named.items() if name not in standing_in} | read
    return replace(
        provider,
        models=models | {name: named[name] for name in standing_in},
        by_name_only=frozenset((*standing_in, *(() if local else chats[MOST_UNASKED:]))),
    )


def _any_name_serves(source: _Source) -> bool:
    """llama.cpp answers with what it has loaded, whatever a request names."""
    return source.server is not None and source.server.kind == "llamacpp"


def _best_first(served: Sequence[ServedModel]) -> Sequence[ServedModel]:
    """Free ones and those with tools first, else as listed."""
    return sorted(served, key=lambda model: (model.free is not True, model.tools is False))


def _as_listed(endpoint: Endpoint, model: ServedModel, catalog: Catalog) -> tuple[str, ProviderModel]:
    """A model of a list under the name it has in plans: the catalog's where the catalog knows it there."""
    wire = model.wire.removeprefix(endpoint.prefix)
    rows = () if endpoint.row is None else endpoint.row.models
    name = next((row.id for row in rows if row.wire_id == wire), model.id.removeprefix(endpoint.prefix))
    speech = (name,) if model.speech else ()
    alone = endpoint_models(replace(endpoint, models={name: wire}, speech_models=speech), catalog)
    return name, replace(alone.models[name], wire_model=model.wire)


def _with_facts(offered: ProviderModel, served: ServedModel, source: _Source) -> ProviderModel:
    """The model with what its server states of it."""
    row, able = offered.row, offered.row.capabilities
    server = source.server
    stated = {"tools": served.tools, "vision": served.vision, "json_schema": _holds_schemas(source) if server else None}
    capabilities = able.model_copy(update={name: flag for name, flag in stated.items() if flag is not None})
    update: dict[str, object] = {"capabilities": capabilities}
    if served.context_window is not None:
        update["context_window"] = served.context_window
    if served.max_completion_tokens is not None or server is not None:
        update["max_completion_tokens"] = served.max_completion_tokens
    free = served.free is True and server is None
    return replace(
        offered,
        row=row.model_copy(update=update),
        wire_model=served.wire,
        strict_window=server is not None and (server.cuts_prompts or server.kind == "vllm"),
        cost="free" if free else offered.cost,
        price=FREE if free else offered.price,
    )


def _holds_schemas(source: _Source) -> bool:
    row = source.endpoint.row
    return row.json_schema if row is not None else _any_name_serves(source)


def _learnt(provider: ProviderModels, source: _Source) -> ProviderModels:
    """The models with the windows that refusals named, as long as their servers state the same as then."""
    if not source.learnt:
        return provider
    models = dict(provider.models)
    for name, offered in provider.models.items():
        stated, window = source.learnt.get(offered.wire_model, (None, None))
        known = offered.row.context_window
        if window is not None and stated == _stated(source, offered.wire_model) and (known is None or window < known):
            models[name] = replace(offered, row=offered.row.model_copy(update={"context_window": window}))
    return replace(provider, models=models)


def _stated(source: _Source, wire_model: str) -> int | None:
    return next((model.context_window for model in source.served or () if model.wire == wire_model), None)


def _row_of(server: LocalServer | None, catalog: Catalog) -> ProviderRow | None:
    return next((row for row in catalog.providers.values() if server is not None and row.server == server), None)
