"""The catalog's rows with the seed as source are the seed's, row by row: none missing, added or different."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Kind, ModelRow, Price, Stage, load_catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

SEED = "groq-api-seed-2026-02-13"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "seed" / f"{SEED}.md"
CHECKOUT = Path(__file__).parents[2]
DOCUMENT = FIXTURE.read_text(encoding="utf-8")
CATALOG = load_catalog()

Table = list[dict[str, str]]
ModelFacts = tuple[Kind, Stage, int | None, int | None, int | None, int | None, Price]


def section(heading: str) -> str:
    """The text below a heading, up to the next heading of any depth."""
    found = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#{{1,6}} |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"the seed has {len(found)} sections {heading!r}"
    return str(found[0])


def table(heading: str) -> Table:
    """The one table below a heading, a dictionary a row, back-quotes removed from cells that are all code."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    names, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert rows, f"the seed's table {heading!r} is empty"
    return [dict(zip(names, (re.sub(r"^`([^`]*)`$", r"\1", cell) for cell in row), strict=True)) for row in rows]


def count(cell: str) -> int | None:
    """`131,072`, `500K`, `100 MB`, `7,200 sec/hour` as a number; None for a dash."""
    if cell == "-":
        return None
    match = re.fullmatch(r"([\d,]+)(K?)(?: MB| sec/hour)?", cell)
    assert match, cell
    return int(match[1].replace(",", "")) * (1000 if match[2] else 1)


def usd(cell: str, unit: str) -> Decimal:
    """`$0.05/1M` as a Decimal, when its unit is the expected one."""
    match = re.fullmatch(r"\$([\d.]+)/(.+)", cell)
    assert match, cell
    assert match[2] == unit, cell
    return Decimal(match[1])


def token_price(row: dict[str, str]) -> Price:
    """The two price columns; a table without them states no price."""
    if "Input Price" not in row:
        return Price()
    return Price(
        input_usd_per_mtok=usd(row["Input Price"], "1M"),
        output_usd_per_mtok=usd(row["Output Price"], "1M"),
    )


def seed_models() -> dict[str, ModelFacts]:
    """Every model of the seed's six tables with all that the table says of it."""
    read: list[tuple[str, ModelFacts]] = []
    for heading, kind, stage in (
        ("Text Generation Models", Kind.CHAT, Stage.PRODUCTION),
        ("Production Systems (Agentic AI)", Kind.SYSTEM, Stage.PRODUCTION),
        ("Preview Models", Kind.CHAT, Stage.PREVIEW),
        ("Guard Models (Preview)", Kind.GUARD, Stage.PREVIEW),
        ("Text-to-Speech Models (Preview)", Kind.TEXT_TO_SPEECH, Stage.PREVIEW),
    ):
        for row in table(heading):
            spoken = kind is Kind.TEXT_TO_SPEECH
            price = Price(speech_usd_per_mchar=usd(row["Price"], "1M chars")) if spoken else token_price(row)
            speed = count(row.get("Speed (T/s)", "-"))
            sizes = (count(row["Context Window"]), count(row["Max Completion"]))
            read.append((row["Model ID"], (kind, stage, speed, *sizes, None, price)))
    for row in table("Audio Models (Speech-to-Text)"):
        heard = Price(audio_usd_per_hour=usd(row["Price"], "hour"))
        file_mb = count(row["Max File Size"])
        read.append((row["Model ID"], (Kind.SPEECH_TO_TEXT, Stage.PRODUCTION, None, None, None, file_mb, heard)))
    assert len(dict(read)) == len(read), "the seed lists a model twice"
    return dict(read)


def stated(row: ModelRow) -> ModelFacts:
    """What the catalog says of a model, in the order of `ModelFacts`."""
    return (
        row.kind,
        row.stage,
        row.speed_tps,
        row.context_window,
        row.max_completion_tokens,
        row.max_file_mb,
        # what cached input costs came later
        row.price.model_copy(update={"cached_input_usd_per_mtok": None}),
    )


def unique(rows: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The rows as a set, once it is sure that none stands there twice."""
    listed = list(rows)
    assert len(set(listed)) == len(listed)
    return set(listed)


def test_the_fixture_is_the_document_the_project_started_from() -> None:
    """Where the reference folder lies beside the checkout, the copy is byte for byte the original."""
    original = CHECKOUT.parent / "shared" / "reference" / FIXTURE.name
    if not original.exists():
        pytest.skip("the folder with the original document is not beside this checkout")
    assert FIXTURE.read_bytes() == original.read_bytes()


def test_models_are_those_of_the_seed() -> None:
    """Kind, stage, speed, windows, file size and price of every model, in both directions."""
    assert {row.id: stated(row) for row in CATALOG.models.values() if row.source == SEED} == seed_models()


def test_the_seed_has_the_models_this_test_was_written_for() -> None:
    """A parser that finds nothing would agree with an empty catalog."""
    assert len(seed_models()) == 17


def test_confirmed_litellm_names_are_models_of_the_catalog() -> None:
    """The names the seed confirms are known, and differ from LiteLLM's by the prefix only."""
    for row in table("Current Configuration Status"):
        assert row["Official API Name"] in CATALOG.models
        assert row["Model Name in Config"] == f"groq/{row['Official API Name']}"


def test_limits_are_those_of_the_seeds_plan_table() -> None:
    """Every figure of the table, filed under the plan it really describes and under the name the seed gave it."""
    columns = {"RPM": "rpm", "RPD": "rpd", "TPM": "tpm", "TPD": "tpd", "ASH": "ash", "ASD": "asd"}
    expected = {
        row["Model ID"]: {Limit(limit): figure for name, limit in columns.items() if (figure := count(row[name]))}
        for row in table("Developer Plan Rate Limits")
    }
    rows = [row for row in CATALOG.limit_rows if row.source == SEED]
    assert len(expected) == 14
    assert len(rows) == len(expected)
    assert {row.model: row.figures() for row in rows} == expected
    assert {(row.plan, row.source_plan_name) for row in rows} == {("free", "Developer Plan")}


def test_audio_seconds_stated_with_the_models_are_those_of_the_limits() -> None:
    """The seed gives audio seconds per hour in two tables; the catalog holds one figure that fits both."""
    for row in table("Audio Models (Speech-to-Text)"):
        assert CATALOG.limits(row["Model ID"], "free")[Limit.ASH] == count(row["Rate Limit (ASH)"])


def test_every_limit_the_seed_explains_has_a_name_here() -> None:
    """RPM to ASD, with the same words for what they count."""
    explained = re.findall(r"^- \*\*(\w+)\*\*: (.+)$", section("Understanding Rate Limits"), re.MULTILINE)
    assert len(explained) == 6
    assert all(Limit(name.lower()).unit == words.lower() for name, words in explained)


def test_headers_are_those_of_the_seed() -> None:
    """Name, example and meaning of each rate-limit header."""
    expected = unique((row["Header"], row["Example Value"], row["Description"]) for row in table("Rate Limit Headers"))
    assert unique((row.header, row.example, row.meaning) for row in CATALOG.headers if row.source == SEED) == expected


def test_statuses_are_those_of_the_seed_and_each_has_an_action() -> None:
    """Status and meaning are the seed's; what is done about it is ours and never empty."""
    rows = [row for row in CATALOG.errors if row.source == SEED]
    expected = unique((row["Status Code"], row["Description"]) for row in table("HTTP Status Codes"))
    assert unique((str(row.status), row.meaning) for row in rows) == expected
    assert all(row.action for row in CATALOG.errors)


def test_error_codes_are_those_of_the_seeds_examples() -> None:
    """Heading, code, type and message of each JSON example, with the status that stands for that heading."""
    examples = re.findall(r"\*\*(.+?):\*\*\n\n```json\n(.+?)```", section("Common Error Responses"), re.DOTALL)
    assert len(examples) == 3
    expected = {(title, *(json.loads(body)["error"][key] for key in ("code", "type", "message"))) for title, body in examples}
    rows = [row for row in CATALOG.error_codes if row.source == SEED]
    assert unique((row.title, row.code, row.type, row.message) for row in rows) == expected
    assert {row.code: row.status for row in rows} == {
        "invalid_api_key": 401,
        "model_not_found": 404,
        "rate_limit_exceeded": 429,
    }


def test_practices_are_the_seeds_model_selection_table() -> None:
    """Use case, recommended model and reason in the seed's words, and in its order."""
    expected = [(row["Use Case"], row["Recommended Model"], row["Reason"]) for row in table("1. Model Selection")]
    rows = [row for row in CATALOG.practices.values() if row.source == SEED]
    assert [(row.title, row.model, row.reason) for row in rows] == expected
    assert [row.use_case for row in rows] == ["fast", "reasoning", "openai_compatible", "agentic", "audio"]


@pytest.mark.parametrize(
    ("heading", "topic"),
    [
        ("2. Rate Limit Management", "rate_limits"),
        ("3. Cost Optimization", "cost"),
        ("4. Context Window Management", "context_window"),
    ],
)
def test_advice_is_the_seeds_bullets(heading: str, topic: str) -> None:
    """Every bullet of the section, in its words and order; where it has a bold title, with that title."""
    bullets = re.findall(r"^- (?:\*\*(.+?)\*\*: )?(.+)$", section(heading), re.MULTILINE)
    rows = [row for row in CATALOG.advice if row.source == SEED and row.topic == topic]
    assert len(bullets) == 4
    assert [(row.title if title else "", row.text) for row, (title, _) in zip(rows, bullets, strict=True)] == bullets


def test_error_advice_is_what_the_seeds_handler_catches() -> None:
    """The exceptions in their order, each with what is printed before it is raised again."""
    code = section("5. Error Handling")
    caught = re.findall(r"except (\w+) as e:\n +print\(f\"(.+)\"\)\n +raise\n", code)
    plain = [
        (name, text.replace("{e.response.headers.get('retry-after')}", "{retry-after}").replace("{e}", "{error}"))
        for name, text in caught
    ]
    assert len(caught) == code.count("except ") == 3
    assert [(row.title, row.text) for row in CATALOG.advice if row.topic == "errors"] == plain


def test_no_advice_is_of_another_topic() -> None:
    """The sections above are all there are, so nothing can be added unseen."""
    rows = [row for row in CATALOG.advice if row.source == SEED]
    assert {row.topic for row in rows} == {"rate_limits", "cost", "context_window", "errors"}
    assert len(rows) == 15


def test_endpoints_are_those_the_seed_calls() -> None:
    """What its curl and SDK examples reach, no more and no less, under the heading that shows it."""
    reference = DOCUMENT.partition("\n## API Reference\n")[2].partition("\n## ")[0]
    curl = re.findall(r'curl -X (\w+) "https://api\.groq\.com/openai/v1/([^"]+)"', reference)
    methods = {"create": "POST", "list": "GET"}
    sdk = re.findall(r"(?:client|groq)\.((?:\w+\.)+)(create|list)\(", reference)
    expected = {*curl, *((methods[verb], path.rstrip(".").replace(".", "/")) for path, verb in sdk)}
    assert len(expected) == 3
    rows = [row for row in CATALOG.endpoints if row.source == SEED]
    assert unique((row.method, row.path) for row in rows) == expected
    assert all(f"### {row.purpose}\n" in reference for row in rows)
    assert all(row.reached_by for row in rows)


def test_sdks_are_those_of_the_seed() -> None:
    """Language, package and how to install it."""
    expected = unique((row["Language"], row["Package"], row["Installation"]) for row in table("Official SDKs"))
    assert unique((row.language, row.package, row.install) for row in CATALOG.sdks if row.source == SEED) == expected


def test_every_table_of_the_seed_is_compared_here() -> None:
    """A table this file does not know would be a table the catalog may lack."""
    separators = re.findall(r"^\| -[-| ]*\|$", DOCUMENT, re.MULTILINE)
    assert len(separators) == 12
