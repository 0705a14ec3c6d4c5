"""The providers of this process, in order of preference, and what each of them can be asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar
from urllib.parse import urlsplit

from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.call.refusals import NO_API_KEY, refusal
from groq_fallback_mcp.catalog import FREE, Capabilities, Catalog, Kind, ModelRow, Stage
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.providers.base import LiveModel, Provider
from groq_fallback_mcp.providers.batches import Batches
from groq_fallback_mcp.providers.discovery import Discovery, FoundServer
from groq_fallback_mcp.providers.endpoints import Endpoint, endpoint_models, endpoint_of
from groq_fallback_mcp.providers.local.provider import LocalProvider
from groq_fallback_mcp.providers.local.voice import VOICE, VOICE_MODEL
from groq_fallback_mcp.providers.local_servers import LocalEndpoint
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.settings import Settings

__all__ = ["KEY_HINT", "FoundServer", "LiveList", "ProviderRegistry", "build_registry"]

KEY_HINT = f"{NO_API_KEY}: GROQ_API_KEY is not set"
LIVE_LIST_LIFE_S = 600.0
# Who watches limits asks every second: a list that cannot be read is not asked for each time.
REFUSED_LIFE_S = 10.0
LOCAL = "local"
EndpointT = TypeVar("EndpointT", bound=OpenAICompatible)
LONGEST_SPOKEN_CHARS = 2_000
# As earlier releases spelled it: it names the organizations of existing ledgers.
_SALT = b"groq-fallback-mcp organisation"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveList:
    """Groq's own model list as last read. `failure` says why the newest reading failed, None when it did not."""

    models: tuple[LiveModel, ...] | None
    read_at: float | None
    failure: Failure | None

    @property
    def ids(self) -> frozenset[str] | None:
        """The ids that can be asked, None when the list was never read."""
        return None if self.models is None else frozenset(model.id for model in self.models if model.active)

    @property
    def refused(self) -> FailureKind | None:
        """How Groq refuses the key or its organization; None where the newest reading failed otherwise or not at all."""
        return _refused(self.failure)


def _refused(found: object) -> FailureKind | None:
    kind = found.kind if isinstance(found, Failure) else None
    return kind if kind is not None and refusal(kind, "groq") is not None else None


class ProviderRegistry:
    """Holds the providers; `providers` is in order of preference, the local one last.

    `cataloged` holds the ids the catalog knows: only other ones are taken from the live list.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        models: Sequence[ProviderModels],
        organizations: Mapping[str, str],
        clock: Clock,
        groq: OpenAICompatible | None,
        cataloged: Container[str] = (),
        discovery: Discovery | None = None,
    ) -> None:
        self._providers = providers
        self._models = tuple(models)
        self._organizations = organizations
        self._clock = clock
        self._groq = groq
        self._cataloged = cataloged
        self._discovery = discovery
        self._live = LiveList(models=None, read_at=None, failure=None)
        self._accepted_at: float | None = None
        self._not_accepted: tuple[float, FailureKind | None] | None = None

    def models(self) -> tuple[ProviderModels, ...]:
        """What each provider can be asked for, as last looked at; Groq's with models that only its live list knows."""
        offers = [self._with_live(provider) if provider.cataloged else self._discovered(provider) for provider in self._models]
        found = () if self._discovery is None else self._discovery.found_models()
        last = [provider for provider in offers if provider.name == LOCAL]
        return (*(provider for provider in offers if provider.name != LOCAL), *found, *last)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The providers by name. A server that was found stays, also after it has gone."""
        return self._providers if self._discovery is None else {**self._providers, **self._discovery.found}

    @property
    def servers(self) -> Sequence[FoundServer]:
        """The servers that answer on this machine, as last looked at."""
        return () if self._discovery is None else self._discovery.servers()

    async def refresh(self, *, lists: bool = False, local: bool = False, patient: bool = False) -> None:
        """Look at this machine's servers again where the last look is older than two seconds.

        `lists`: read all lists of models. `local`: send nothing beyond this machine. `patient`: give slow servers more time, as
        no call waits.
        """
        if self._discovery is not None:
            await self._discovery.refresh(lists=lists, local=local, patient=patient)

    async def learn_from(self, provider: str, wire_model: str, failure: Failure) -> frozenset[str]:
        """Take from a failed attempt what it says of a model; the servers of this machine, where they were looked at anew."""
        return frozenset() if self._discovery is None else await self._discovery.learn_from(provider, wire_model, failure)

    def is_known_by_looking(self, provider: str, kind: FailureKind) -> bool:
        """Whether a failure of this kind needs no cooldown there: each call looks anew whether it still holds."""
        return self._discovery is not None and self._discovery.is_known_by_looking(provider, kind)

    def has_gone(self, model: str) -> bool:
        """Whether a server of this machine served a model that nobody offers now."""
        if self._discovery is None or model in self._cataloged:
            return False
        # the offers first: what a server runs now is only known to them
        offered = any(model in provider.models for provider in self.models())
        served = (model, model.partition("/")[2])
        return not offered and any(map(self._discovery.has_served, served))

    def organization(self, provider: str) -> str:
        """Whose quota is spent there: a salted hash of the key, never the key."""
        return self._organizations.get(provider, "-")

    async def live_list(self, *, timeout_s: float = 10.0) -> LiveList:
        """Groq's own list, read at most every ten minutes; an older reading stays when a new one fails."""
        now = self._clock.monotonic()
        fresh = self._live.read_at is not None and now - self._live.read_at < LIVE_LIST_LIFE_S
        if self._groq is None or (fresh and self._live.failure is None):
            return self._live
        found = await self._groq.live_models(timeout_s=timeout_s)
        if isinstance(found, Failure):
            self._live = LiveList(models=self._live.models, read_at=self._live.read_at, failure=found)
        else:
            self._live = LiveList(models=found, read_at=now, failure=None)
            self._accepted_at = now
        return self._live

    @property
    def batches(self) -> Batches | None:
        """Groq's batches; None where Groq is not asked at all."""
        return None if self._groq is None else Batches(self._groq)

    async def peek_live_list(self, *, timeout_s: float) -> LiveList:
        """A reading that is not kept: what can be asked stays as it is."""
        if self._groq is None:
            return LiveList(models=None, read_at=None, failure=None)
        found = await self._groq.live_models(timeout_s=timeout_s)
        if isinstance(found, Failure):
            return LiveList(models=None, read_at=None, failure=found)
        return LiveList(models=found, read_at=self._clock.monotonic(), failure=None)

    async def refused(self, *, timeout_s: float) -> FailureKind | None:
        """How Groq refuses the key or its organization, as its live list shows at no charge; None where it is not known to.

        An accepted key is believed for as long as the list, any other result for some seconds. What can be asked stays as it is.
        """
        if self._groq is None or self._groq.unready is not None:
            return None
        if (known := self._live.refused) is not None:
            return known
        now = self._clock.monotonic()
        if self._accepted_at is None or now - self._accepted_at >= LIVE_LIST_LIFE_S:
            if self._not_accepted is not None and now - self._not_accepted[0] < REFUSED_LIFE_S:
                return self._not_accepted[1]
            found = await self._groq.live_models(timeout_s=timeout_s)
            if not isinstance(found, Failure):
                self._accepted_at = now
                return None
            self._not_accepted = (self._clock.monotonic(), _refused(found))
            return _refused(found)
        return None

    def warm_up(self) -> None:
        """Load what the first call needs. Blocking: a tenth of a second."""
        if self._discovery is not None:
            self._discovery.warm_up()
        if self._groq is not None and self._groq.unready is None:
            self._groq.warm_up()

    async def aclose(self) -> None:
        """Close every provider."""
        if self._discovery is not None:
            await self._discovery.aclose()
        for provider in self.providers.values():
            await provider.aclose()

    def _discovered(self, provider: ProviderModels) -> ProviderModels:
        return provider if self._discovery is None else self._discovery.models(provider)

    def _with_live(self, provider: ProviderModels) -> ProviderModels:
        ids = self._live.ids
        # an empty list, or one of other names such as a proxy's, says nothing of the models that are asked here
        if ids is None or ids.isdisjoint(provider.models):
            return provider
        unknown = {
            model.id: ProviderModel(row=_unlisted_row(model), wire_model=model.id)
            for model in self._live.models or ()
            if model.id in ids and model.id not in provider.models and model.id not in self._cataloged
        }
        return replace(provider, models={**provider.models, **unknown}, live=ids)


def build_registry(settings: Settings, *, catalog: Catalog, clock: Clock) -> ProviderRegistry:
    """Groq, the endpoints of config.toml in their order, then local models, as the settings allow."""
    providers: dict[str, Provider] = {}
    listed: list[ProviderModels] = []
    organizations: dict[str, str] = {}
    groq: OpenAICompatible | None = None
    discovery = Discovery(
        catalog=catalog, clock=clock, open_endpoint=lambda endpoint: _opened(LocalEndpoint, endpoint, settings, clock)
    )
    if settings.local != "only":
        key = None if settings.api_key is None else settings.api_key.get_secret_value()
        groq = OpenAICompatible(
            "groq",
            base_url=f"{settings.base_url}/openai/v1",
            key=key,
            clock=clock,
            key_hint=KEY_HINT,
            proxy=settings.proxy_to(settings.base_url),
        )
        providers["groq"] = groq
        listed.append(_groq_models(settings, catalog))
        organizations["groq"] = _organization(settings.organization or key, settings.base_url)
        for given in settings.providers:
            endpoint = endpoint_of(given, catalog)
            kind = LocalEndpoint if endpoint.on_loopback else OpenAICompatible
            providers[endpoint.name] = provider = _opened(kind, endpoint, settings, clock)
            discovery.add(endpoint, provider, named=bool(given.models))
            listed.append(endpoint_models(endpoint, catalog))
            # what an account may do is another matter on another plan
            plan = "" if endpoint.plan is None else f"\n{endpoint.plan.name}"
            organizations[endpoint.name] = _organization(endpoint.key + plan, endpoint.base_url)
        if settings.find_local_servers:
            discovery.find(besides=[port for port in (urlsplit(settings.base_url).port,) if port is not None])
    if settings.local != "off":
        local = LocalProvider(gguf=settings.local_text_model)
        models = {
            name: ProviderModel(row=_local_row(name), wire_model=name, languages=("en",), links=False, price=FREE)
            for name in local.available_models()
        }
        if models:
            providers["local"] = local
            text = frozenset(name for name, offered in models.items() if offered.row.kind is Kind.CHAT)
            on_request = text if settings.local == "auto" else frozenset[str]()
            listed.append(ProviderModels(name="local", models=models, on_this_machine=True, on_request=on_request))
    return ProviderRegistry(
        providers=providers,
        models=listed,
        organizations=organizations,
        clock=clock,
        groq=groq,
        cataloged=catalog.models,
        discovery=discovery,
    )


def _opened(kind: type[EndpointT], endpoint: Endpoint, settings: Settings, clock: Clock) -> EndpointT:
    return kind(
        endpoint.name,
        base_url=endpoint.base_url,
        # where the account is missing, the key alone does not do
        key=None if endpoint.key_hint is not None else endpoint.key or None,
        clock=clock,
        key_hint=endpoint.key_hint,
        groq=False,
        row=endpoint.row,
        proxy=settings.proxy_to(endpoint.base_url),
    )


def _groq_models(settings: Settings, catalog: Catalog) -> ProviderModels:
    models = {
        row.id: ProviderModel(
            row=row,
            wire_model=row.id,
            documented=catalog.limits(row.id, settings.plan),
            upload_mb=catalog.upload_mb(row.id, settings.plan),
            languages=row.capabilities.languages,
        )
        for row in catalog.models.values()
    }
    return ProviderModels(name="groq", models=models, cataloged=True)


def _unlisted_row(model: LiveModel) -> ModelRow:
    """A model the catalog does not know yet: it is asked only by name, and its kind is told by its id."""
    return ModelRow(
        id=model.id,
        kind=_kind_by_id(model.id),
        stage=Stage.PREVIEW,
        context_window=model.context_window or None,
        max_completion_tokens=model.max_completion_tokens or None,
        capabilities=Capabilities(tools=True, json_object=True),
        source="live list",
        checked=date.min,
    )


def _kind_by_id(model: str) -> Kind:
    name = model.lower()
    if "whisper" in name:
        return Kind.SPEECH_TO_TEXT
    if "orpheus" in name or "tts" in name:
        return Kind.TEXT_TO_SPEECH
    return Kind.GUARD if "guard" in name else Kind.CHAT


def _local_row(name: str) -> ModelRow:
    if name == VOICE_MODEL:
        voice = Capabilities(voices=(VOICE,), max_input_chars=LONGEST_SPOKEN_CHARS)
        return ModelRow(
            id=name,
            kind=Kind.TEXT_TO_SPEECH,
            stage=Stage.PRODUCTION,
            capabilities=voice,
            source="user",
            checked=date.min,
        )
    speech = "whisper" in name
    return ModelRow(
        id=name,
        kind=Kind.SPEECH_TO_TEXT if speech else Kind.CHAT,
        stage=Stage.PRODUCTION,
        context_window=None if speech else 4_096,
        max_completion_tokens=None if speech else 512,
        capabilities=Capabilities(json_object=not speech),
        source="user",
        checked=date.min,
    )


def _organization(key: str | None, base_url: str) -> str:
    """Where the requests go counts too: a simulator has its own limits."""
    return hashlib.blake2s(f"{key or ''}\n{base_url}".encode(), key=_SALT).hexdigest()[:16]
