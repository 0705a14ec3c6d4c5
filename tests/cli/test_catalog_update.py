"""catalog update: what the live list says and the catalog does not becomes an overlay that loads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_line import command

from groq_fallback_mcp.catalog import Catalog, Kind, ModelRow, Stage, load_catalog
from groq_fallback_mcp.catalog.drift import drift
from groq_fallback_mcp.catalog.update import update_overlay
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

pytestmark = pytest.mark.anyio
CATALOG = load_catalog()
GONE, NEW, LINGERING = "qwen/qwen3.8-27b", "brand/new-model", "llama-3.1-8b-instant"


def altered() -> Catalog:
    """What another Groq than the shipped catalog's has: one model more, one less, one not shut down after all."""
    models: Mapping[str, ModelRow] = {name: row for name, row in CATALOG.models.items() if name != GONE}
    new = CATALOG.models["openai/gpt-oss-20b"].model_copy(update={"id": NEW, "context_window": 262_144})
    shutdowns = {name: row for name, row in CATALOG.shutdowns.items() if name != LINGERING}
    return replace(CATALOG, models={**models, NEW: new}, shutdowns=shutdowns)


@pytest.fixture
async def groq() -> AsyncIterator[str]:
    """The base URL of a simulator of that other Groq."""
    async with run_simulator(
        create_app(SimulatorOptions(latency_scale=0.0), catalog=altered(), clock=SystemClock())
    ) as running:
        yield running.base_url


async def test_an_overlay_is_written_that_loads_and_ends_the_drift(groq: str, tmp_path: Path) -> None:
    """The new model as preview, the missing one shut down."""
    done = await command("catalog", "update", base_url=groq, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"live but not in the catalog: {NEW}" in done.stdout
    assert f"in the catalog but not live: {GONE}" in done.stdout
    assert f"shut down but still live: {LINGERING}" in done.stdout

    catalog = load_catalog(tmp_path / "catalog-update.toml")
    today = datetime.now(tz=UTC).date()
    assert (catalog.models[NEW].stage, catalog.models[NEW].context_window) == (Stage.PREVIEW, 262_144)
    assert catalog.stage(GONE, today) is Stage.RETIRED

    again = await command(
        "catalog", "update", "--dry-run", base_url=groq, cwd=tmp_path, GROQ_FALLBACK_CATALOG="catalog-update.toml"
    )
    assert (again.returncode, again.stdout) == (0, "")
    assert "Nothing to write" in again.stderr


async def test_a_file_that_is_there_is_replaced_only_by_force(groq: str, tmp_path: Path) -> None:
    """Somebody may have reviewed it."""
    target = tmp_path / "mine.toml"
    target.write_text("# mine\n")
    refused = await command("catalog", "update", "--output", str(target), base_url=groq, cwd=tmp_path)
    assert (refused.returncode, target.read_text()) == (2, "# mine\n")
    assert "--force" in refused.stderr

    forced = await command("catalog", "update", "--output", str(target), "--force", base_url=groq, cwd=tmp_path)
    assert forced.returncode == 0
    assert NEW in load_catalog(target).models


async def test_a_dry_run_prints_the_overlay_and_writes_nothing(groq: str, tmp_path: Path) -> None:
    """Only TOML on stdout; what was found goes beside it."""
    done = await command("catalog", "update", "--dry-run", base_url=groq, cwd=tmp_path)
    assert done.returncode == 0
    assert list(tmp_path.glob("*.toml")) == []
    (tmp_path / "piped.toml").write_text(done.stdout)
    assert NEW in load_catalog(tmp_path / "piped.toml").models
    assert NEW in done.stderr


async def test_a_model_that_outlives_its_last_day_is_no_reason_to_write(tmp_path: Path) -> None:
    """It is used all the same, so nobody is sent to an update that has nothing to write."""
    lingering = replace(CATALOG, shutdowns={name: row for name, row in CATALOG.shutdowns.items() if name != LINGERING})
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=lingering, clock=SystemClock())
    async with run_simulator(app) as running:
        done = await command("catalog", "update", base_url=running.base_url, cwd=tmp_path)
        seen = await command("doctor", base_url=running.base_url, cwd=tmp_path)
    assert (done.returncode, list(tmp_path.glob("*.toml"))) == (0, [])
    assert f"shut down but still live: {LINGERING}" in done.stdout
    assert "Nothing to write: models are used as long as they are live." in done.stdout
    assert "catalog update" not in seen.stdout


OWN = """\
# mine, ask Ann
[[models]]
id = "own/model"
kind = "chat"
stage = "preview"
checked = 2026-01-01

[[shutdowns]]
model = "openai/gpt-oss-20b"  # announced to us alone
on = 2099-01-01
checked = 2026-01-01"""


async def test_an_update_of_an_overlay_in_use_keeps_what_it_has(groq: str, tmp_path: Path) -> None:
    """The new file alone is used then. What only the overlay has ended, too, is shut down."""
    (tmp_path / "own.toml").write_text(OWN)
    done = await command("catalog", "update", base_url=groq, cwd=tmp_path, GROQ_FALLBACK_CATALOG="own.toml")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "catalog-update.toml").read_text()
    assert text.startswith(OWN)
    catalog, today = load_catalog(tmp_path / "catalog-update.toml"), datetime.now(tz=UTC).date()
    assert {NEW, "own/model"} <= catalog.models.keys()
    assert [catalog.stage(name, today) for name in (GONE, "own/model")] == [Stage.RETIRED] * 2

    refused = await command("catalog", "update", base_url=groq, cwd=tmp_path, GROQ_FALLBACK_CATALOG="catalog-update.toml")
    assert refused.returncode == 2
    assert "--force" in refused.stderr


async def test_a_row_of_the_overlay_in_use_is_not_repeated(tmp_path: Path) -> None:
    """Such a file would not load: the row that is there is named, to be changed by hand."""
    gone = replace(CATALOG, models={name: row for name, row in CATALOG.models.items() if name != "openai/gpt-oss-20b"})
    (tmp_path / "own.toml").write_text(OWN)
    async with run_simulator(create_app(SimulatorOptions(latency_scale=0.0), catalog=gone, clock=SystemClock())) as running:
        done = await command(
            "catalog",
            "update",
            "--output",
            "own.toml",
            "--force",
            base_url=running.base_url,
            cwd=tmp_path,
            GROQ_FALLBACK_CATALOG="own.toml",
        )
    assert done.returncode == 0, done.stderr
    assert "own.toml ends openai/gpt-oss-20b on 2099-01-01. Change that row: the model is not live." in done.stdout
    catalog, today = load_catalog(tmp_path / "own.toml"), datetime.now(tz=UTC).date()
    assert catalog.shutdowns["openai/gpt-oss-20b"].on.year == 2099
    assert catalog.stage("own/model", today) is Stage.RETIRED
    assert "It is the overlay in use." in done.stdout


async def test_an_overlay_that_no_row_can_follow_is_refused_in_words(groq: str, tmp_path: Path) -> None:
    """Nothing is written that would not load."""
    (tmp_path / "own.toml").write_text(
        'models = [{ id = "own/model", kind = "chat", stage = "preview", checked = 2026-01-01 }]\n'
    )
    done = await command("catalog", "update", base_url=groq, cwd=tmp_path, GROQ_FALLBACK_CATALOG="own.toml")
    assert done.returncode == 2
    assert "[[models]]" in done.stderr
    assert not (tmp_path / "catalog-update.toml").exists()


async def test_without_a_live_list_it_says_why_and_writes_nothing(tmp_path: Path) -> None:
    """Such as without a key."""
    done = await command("catalog", "update", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "GROQ_API_KEY is not set" in done.stderr
    assert list(tmp_path.glob("*.toml")) == []


async def test_the_doctor_and_the_list_tell_the_same_drift(groq: str, tmp_path: Path) -> None:
    """With the way to write it down, and with successors."""
    seen = await command("doctor", base_url=groq, cwd=tmp_path)
    listed = await command("models", base_url=groq, cwd=tmp_path)
    for shown in (seen.stdout, listed.stdout):
        assert f"live but not in the catalog: {NEW}; in the catalog but not live: {GONE}" in shown
    assert "groq-fallback-mcp catalog update" in seen.stdout
    assert "retired models have successors" in seen.stdout
    assert "llama-3.3-70b-versatile (now openai/gpt-oss-120b)" in listed.stdout


def test_an_announced_successor_is_kept_and_odd_ids_cannot_break_the_file(tmp_path: Path) -> None:
    """Quotes are escaped; what cannot be printed is passed over."""
    day = CATALOG.shutdowns[LINGERING].on
    before = day.replace(day=day.day - 1)
    odd = ('a"b\\c', "line\nbreak = 1", "\x7f")
    template = CATALOG.models["openai/gpt-oss-20b"]
    rows = [template.model_copy(update={"id": name, "stage": Stage.PREVIEW, "kind": Kind.CHAT}) for name in odd]
    serving = frozenset(name for name in CATALOG.models if CATALOG.stage(name, before) is not Stage.RETIRED)
    found = drift(CATALOG, (serving - {LINGERING}) | set(odd), before)
    text = update_overlay(found, unknown=rows, catalog=CATALOG, day=before)
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")

    catalog = load_catalog(tmp_path / "c.toml")
    assert catalog.models.keys() - CATALOG.models.keys() == {odd[0]}
    assert catalog.successor(LINGERING, before) == "openai/gpt-oss-20b"
