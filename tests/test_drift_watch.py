"""The look at the live list after the start: one warning, no delay, no noise."""

from __future__ import annotations

import logging

import anyio
import pytest
from fake_clock import FakeClock
from fakes import CATALOG, provider_models

from groq_fallback_mcp.application import open_context, warn_of_drift
from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.catalog import Stage
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.providers.base import LiveModel
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.settings import Settings

pytestmark = pytest.mark.anyio


class Groq:
    """Only its live list; raises what it is told to."""

    unready: str | None = None

    def __init__(self, found: tuple[LiveModel, ...] | Failure | Exception) -> None:
        self.found = found
        self.calls = 0

    async def live_models(self, *, timeout_s: float) -> tuple[LiveModel, ...] | Failure:
        """The same each time."""
        self.calls += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def live(*ids: str) -> tuple[LiveModel, ...]:
    """Rows of a live list."""
    return tuple(LiveModel(id=id_, active=True, context_window=None, max_completion_tokens=None) for id_ in ids)


def serving(clock: FakeClock) -> list[str]:
    """What the catalog says is live."""
    return [model for model in CATALOG.models if CATALOG.stage(model, today(clock)) is not Stage.RETIRED]


async def watched(groq: Groq, caplog: pytest.LogCaptureFixture, clock: FakeClock | None = None) -> list[logging.LogRecord]:
    """What a look leaves in the log, from warnings on."""
    clock = clock or FakeClock()
    registry = ProviderRegistry(
        providers={"groq": groq},  # type: ignore[dict-item]
        models=[provider_models("groq", CATALOG.models)],
        organizations={},
        clock=clock,
        groq=groq,  # type: ignore[arg-type]
    )
    await warn_of_drift(registry, catalog=CATALOG, clock=clock)
    assert registry.models()[0].live is None, "a look changes nothing that is asked"
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_difference_is_one_warning_with_the_next_step(caplog: pytest.LogCaptureFixture) -> None:
    """After a pause, so that first calls are not behind it."""
    clock = FakeClock()
    (record,) = await watched(Groq(live(*serving(clock), "brand/new")), caplog, clock)

    assert "live but not in the catalog: brand/new." in record.getMessage()
    assert "catalog update" in record.getMessage()
    assert clock.slept == [5.0]


async def test_a_model_that_outlives_its_last_day_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It is used all the same, and `catalog update` has nothing to write."""
    assert await watched(Groq(live(*serving(FakeClock()), "llama-3.1-8b-instant")), caplog) == []


async def test_a_list_as_the_catalog_has_it_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """Read once all the same."""
    groq = Groq(live(*serving(FakeClock())))
    assert await watched(groq, caplog) == []
    assert groq.calls == 1


@pytest.mark.parametrize("found", [Failure(kind=FailureKind.UNREACHABLE, message="no way"), RuntimeError("a bug")])
async def test_a_list_that_cannot_be_read_disturbs_nobody(found: Failure | Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Neither an outage nor a fault of ours."""
    assert await watched(Groq(found), caplog) == []


async def test_without_a_key_nothing_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    """It could only be refused."""
    groq = Groq(live("brand/new"))
    groq.unready = "no key is set"
    assert await watched(groq, caplog) == []
    assert groq.calls == 0


async def test_closing_ends_a_look_that_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serving neither waits for it at the start nor at the end."""
    ended: list[str] = []

    async def endless(*_: object, **__: object) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    monkeypatch.setattr("groq_fallback_mcp.application.warn_of_drift", endless)
    with anyio.fail_after(5):
        async with open_context(Settings.model_validate({"local": "off"}), clock=FakeClock(), watch_drift=True):
            await anyio.lowlevel.checkpoint()
            assert ended == []
    assert ended == ["cancelled"]


async def test_a_command_that_runs_once_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only serving does."""
    monkeypatch.setattr("groq_fallback_mcp.application.warn_of_drift", lambda *_, **__: pytest.fail("it looked"))
    async with open_context(Settings.model_validate({"local": "off"}), clock=FakeClock()):
        await anyio.lowlevel.checkpoint()
