"""Blocks of generated Markdown: filled between their markers, complete, and the same on every day."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from groq_fallback_mcp.call import FailureKind
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import final_error
from groq_fallback_mcp.settings import Settings
from groq_fallback_mcp.settings.places import CONFIG_VARIABLE
from groq_fallback_mcp.tools import TOOLS
from project_docs.__main__ import all_blocks, read_sources
from project_docs.blocks import fill_blocks, table
from project_docs.failures import ADVICE, CODES
from project_docs.faults import faults_block
from project_docs.headline import HEADLINES, headline_block
from project_docs.measured import measured_block
from project_docs.mutation import code_hash, mutation_block
from project_docs.tables import SPEED_RESULTS, settings_block, speed_block

CATALOG = load_catalog()
ROOT = Path(__file__).parents[2]
BLOCKS = all_blocks(CATALOG, read_sources(ROOT))


def rows(block: str) -> list[list[str]]:
    """The cells of every body row of a block's tables."""
    lines = [line for line in block.split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_model_of_the_catalog_has_one_row() -> None:
    """None is missing, none stands twice."""
    first = [cells[0] for cells in rows(BLOCKS["models"])[1:]]

    assert sorted(first) == sorted(f"`{model}`" for model in CATALOG.models)


def test_every_shutdown_is_shown_with_its_date_and_successor() -> None:
    """So that a reader needs no other source to see who answers instead."""
    by_model = {cells[0]: cells for cells in rows(BLOCKS["models"])}

    for shutdown in CATALOG.shutdowns.values():
        cells = by_model[f"`{shutdown.model}`"]
        assert str(shutdown.on) in cells[3]
        assert cells[4] == (f"`{shutdown.successor}`" if shutdown.successor else "none")


def test_every_practice_is_shown_with_its_model_reason_and_correction() -> None:
    """The table's own words stay beside what serves now."""
    by_use_case = {cells[0]: cells for cells in rows(BLOCKS["practices"])}

    for practice in CATALOG.practices.values():
        cells = by_use_case[f"`{practice.use_case}`"]
        assert f"`{practice.model}`" in cells[2]
        assert practice.reason.rstrip(".") in cells[5]
        assert practice.correction in cells[5]


def test_no_practice_is_served_by_a_model_with_a_shutdown() -> None:
    """Successors stand in the place of models that end."""
    for cells in rows(BLOCKS["practices"])[1:]:
        for model in re.findall(r"`([^`]+)`", cells[3] + cells[4]):
            assert model in CATALOG.models
            assert model not in CATALOG.shutdowns


def test_an_image_is_only_offered_to_models_that_see() -> None:
    """A successor that sees no images does not serve the use case vision."""
    (cells,) = [cells for cells in rows(BLOCKS["practices"]) if cells[0] == "`vision`"]

    served = re.findall(r"`([^`]+)`", cells[3] + cells[4])
    assert served
    assert all(CATALOG.models[model].capabilities.vision for model in served)


def test_every_limit_row_in_force_is_shown_on_its_plan() -> None:
    """Each figure of the newest row of a model and plan stands in that model's row."""
    for plan, part in zip(("free", "developer"), BLOCKS["limits"].split("Developer plan:"), strict=True):
        headings, *body = rows(part)
        by_model = {cells[0]: dict(zip(headings, cells, strict=True)) for cells in body}
        named = {row.model for row in CATALOG.limit_rows if row.plan == plan}
        assert by_model.keys() == {f"`{model}`" for model in named}
        for model in named:
            shown = by_model[f"`{model}`"]
            for limit, figure in CATALOG.limits(model, plan).items():
                assert shown[limit.value.upper()] == f"{figure:,}"


def test_every_setting_is_shown_with_its_variable_and_meaning() -> None:
    """The table cannot miss a setting."""
    by_key = {cells[1]: cells for cells in rows(BLOCKS["settings"])}

    for name, field in Settings.model_fields.items():
        cells = by_key[f"`{name}`"]
        assert cells[0].startswith("`GROQ_")
        assert field.description is not None
        assert field.description in cells[3]


def test_every_preset_is_shown_with_its_address_key_and_models() -> None:
    """What a provider with that preset begins with."""
    by_name = {cells[0]: cells for cells in rows(BLOCKS["presets"])}

    for preset in CATALOG.providers.values():
        cells = by_name[f"`{preset.name}`"]
        assert cells[2] == f"`{preset.base_url}`"
        assert (preset.key_env or "-") in cells[3]
        assert all(f"`{model.id}`" in cells[4] for model in preset.models)
        assert all(f"`{preset.prefix}{model.wire_id}`" in cells[4] for model in preset.models)


def test_every_plan_of_a_provider_is_shown_with_its_limits_and_doubts() -> None:
    """A person sees what is not relied on, and what becomes of prompts."""
    shown = {(cells[0], cells[1]): cells for cells in rows(BLOCKS["provider-plans"])}

    for provider in CATALOG.providers.values():
        for plan in provider.plans:
            cells = shown[f"`{provider.name}`", f"`{plan.name}`"]
            limits = [limit for limit in provider.limits if limit.plan == plan.name]
            figures = [f"{figure:,}" for limit in limits for figure in limit.figures().values()]
            assert cells[2] == plan.cost
            assert all(figure in cells[3] for figure in figures)
            assert ("not relied on" in cells[3]) == any(limit.uncertain for limit in limits)
            assert all(row.uncertain in cells[6] for row in (plan, *limits))
            assert provider.warning in cells[5] or plan is not provider.plans[0]


def test_every_tool_is_shown_with_all_its_arguments() -> None:
    """In the order in which agents see them."""
    for tool in TOOLS:
        part = BLOCKS["tools"].split(f"`{tool.name}`: ", 1)[1]
        shown = [cells[0] for cells in rows(part)[1 : 1 + len(tool.arguments.model_fields)]]
        assert part.startswith(tool.description)
        assert shown == [f"`{name}`" for name in tool.arguments.model_fields]


def test_every_failure_kind_has_advice_and_stands_in_one_row() -> None:
    """A new kind without words for the agent is noticed here."""
    shown = re.findall(r"`(\w+)`", " ".join(cells[0] for cells in rows(BLOCKS["errors"])[len(CODES) + 2 :]))

    assert ADVICE.keys() == set(FailureKind)
    assert sorted(shown) == sorted(kind.value for kind in FailureKind)


def test_every_code_of_the_final_error_is_explained() -> None:
    """Those of calls nobody could answer, and the server's own."""
    assert {*get_args(final_error.Code), "invalid_arguments", "unknown_tool", "internal"} == set(CODES)


def test_every_status_and_code_of_the_api_is_shown() -> None:
    """The catalog's error rows, one each."""
    shown = [(cells[0], cells[1]) for cells in rows(BLOCKS["statuses"])]

    assert {str(row.status) for row in CATALOG.errors} <= {status for status, _ in shown}
    assert {(str(row.status), f"`{row.code}`") for row in CATALOG.error_codes} <= set(shown)


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    """Text around a block stays byte for byte, and filling again changes nothing."""
    text = "before\n<!-- generated: a -->\nold\n<!-- /generated: a -->\nafter \n"

    filled = fill_blocks(text, file="X.md", blocks={"a": "new"})

    assert filled == "before\n<!-- generated: a -->\n\nnew\n\n<!-- /generated: a -->\nafter \n"
    assert fill_blocks(filled, file="X.md", blocks={"a": "new"}) == filled


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n<!-- generated: modles -->\n<!-- /generated: modles -->", 2, "Write 'models'"),
        ("<!-- generated: models -->\ntable", 1, "no end marker"),
        ("\n\n<!-- /generated: models -->", 3, "no start marker"),
        ("<!-- generated: models -->\n<!-- generated: limits -->\n<!-- /generated: limits -->", 1, "no end marker"),
        ("<!-- generated: models -->\n<!-- /generated: limits -->", 1, "no end marker"),
    ],
)
def test_a_marker_that_is_not_understood_is_refused_with_file_and_line(text: str, line: int, words: str) -> None:
    """Unknown names, missing partners, blocks in blocks."""
    with pytest.raises(InputRefused) as refused:
        fill_blocks(text, file="X.md", blocks={"models": "m", "limits": "l"})

    assert f"X.md, line {line}" in str(refused.value)
    assert words in str(refused.value)


def test_nothing_in_a_cell_can_end_it() -> None:
    """Pipes are escaped and line breaks become spaces."""
    assert table(("A",), [("x | y\nz",)]).split("\n")[-1] == "| x \\| y z |"


def test_every_target_of_the_benchmark_is_shown_with_what_was_reached() -> None:
    """Those that were missed too."""
    kept = json.loads((ROOT / SPEED_RESULTS).read_text(encoding="utf-8"))
    aimed = [row for figures in kept["figures"].values() for row in figures if row["limit"] is not None]

    assert [cells[0] for cells in rows(BLOCKS["speed"])[1:]] == [row["figure"] for row in aimed]
    assert [cells[-1] == "yes" for cells in rows(BLOCKS["speed"])[1:]] == [row["met"] for row in aimed]


@pytest.mark.parametrize("text", ["[", "[]", '{"measured": "x", "figures": {"calls": [{}]}}'])
def test_figures_that_the_benchmark_did_not_write_are_refused(text: str) -> None:
    """With the command that writes them."""
    with pytest.raises(InputRefused, match="is not what the benchmark writes"):
        speed_block(text)


def test_without_a_run_of_the_benchmark_its_command_is_shown() -> None:
    """A copy of the documents alone can be made anew too."""
    assert "make bench" in speed_block("")


RESULTS = "# Title\n\n<!-- results -->\n{}<!-- end of results -->\n\n| other |\n"


@pytest.mark.parametrize(
    ("results", "shown"),
    [
        ("on a day\n\n| a |\n|---|\n\nof that\n\n| b |\n|---|\n", "on a day\n\n| a |\n|---|"),
        ("on a day\n", "on a day"),
        ("", "Not measured in this checkout."),
    ],
)
def test_of_what_a_benchmark_keeps_its_head_and_first_tables_are_shown(results: str, shown: str) -> None:
    """The rest is in its own README."""
    assert measured_block(RESULTS.format(results), path="x/README.md", tables=1) == shown


@pytest.mark.parametrize("text", ["# Title", "<!-- results -->", "<!-- end of results -->"])
def test_a_benchmark_without_marks_is_refused(text: str) -> None:
    """Its figures would silently be missing from the page."""
    with pytest.raises(InputRefused, match=re.escape("x/README.md has no <!-- results -->")):
        measured_block(text, path="x/README.md", tables=1)


FAULT = '[[fault]]\nrow = "A1"\nfault = "f"\nbefore = "b"\nafter = "a"\n'
MARKED = {"tests/test_x.py": '@pytest.mark.fault("A1")\ndef test_it() -> None: ...\n'}


def test_each_fault_is_shown_with_its_tests_and_what_came_out() -> None:
    """From the markers, and from the rows of the corpus."""
    corpus = {"tests/corpus/upstream.json": '{"cases": [{"row": "A1"}, {"row": "A1"}]}'}

    assert "[test_it](tests/test_x.py); 2 rows of [upstream.json]" in faults_block(FAULT, MARKED, corpus)
    whole_module = {
        "tests/test_x.py": 'pytestmark = [pytest.mark.fault("A1")]\ndef test_it() -> None: ...\ndef no_test() -> None: ...\n'
    }
    assert "| [test_it](tests/test_x.py) |" in faults_block(FAULT, whole_module, {})


@pytest.mark.parametrize(
    ("rows_", "tests", "corpus", "words"),
    [
        (FAULT, {}, {}, "A1 has no test"),
        (FAULT.replace('after = "a"', 'after = ""'), MARKED, {}, "A1 has no test or no result"),
        (FAULT, {**MARKED, "tests/y.py": MARKED["tests/test_x.py"].replace("A1", "Z9")}, {}, "'Z9' is not a row"),
        (FAULT, MARKED, {"c.json": '{"cases": [{"row": "Z9"}]}'}, "'Z9' is not a row"),
    ],
)
def test_a_fault_without_a_test_or_a_result_is_refused(
    rows_: str, tests: dict[str, str], corpus: dict[str, str], words: str
) -> None:
    """And a marker of none."""
    with pytest.raises(InputRefused, match=words):
        faults_block(rows_, tests, corpus)


def test_each_module_whose_tests_were_tested_has_a_row_and_all_of_them_one() -> None:
    """One that was never measured has none."""
    counts = "mutants = 600\nkilled = 599\nsurvived = 1\nmeasured = 2026-11-30\n"
    code = "# why\n\nx = 1\n"
    modules = f'["a.py"]\ntests = []\n{counts}left = "text"\ncode = "{code_hash(code)}"\n["b.py"]\ntests = []\n{counts}["c.py"]\ntests = []\n'
    sources = {f"server/groq_fallback_mcp/{name}.py": f"# other reasons\n{code}" for name in "abc"}
    assert rows(mutation_block(modules, sources))[1:] == [
        ["`a.py`", "600", "599", "1", "99.8 %", "text", "2026-11-30"],
        ["`b.py`", "600", "599", "1", "99.8 %", "-", "2026-11-30, changed since"],
        ["all", "1,200", "1,198", "2", "99.8 %", "-", "-"],
    ]


def test_the_row_of_config_toml_names_the_variable_that_is_read() -> None:
    """It is no field of Settings, so nothing else holds the two together."""
    assert f"`{CONFIG_VARIABLE}`" in settings_block()


def goodput_results(ours: float) -> dict[str, str]:
    """What the goodput benchmark keeps, where LiteLLM served 80 % at every load."""
    found = [
        {
            "scenario": "base",
            "load": load,
            "contender": contender,
            "processes": 4,
            "mean": {"served": served, "refused": refused},
        }
        for load in (0.85, 1.28, 1.85)
        for contender, served, refused in (("ours", ours, 0), ("LiteLLM: shuffle", 0.5, 9), ("LiteLLM: fallbacks", 0.8, 1234))
    ]
    return {"benchmarks/goodput/results.json": json.dumps({"results": found})}


@pytest.mark.parametrize(("ours", "is_met"), [(0.9, "yes"), (0.8, "yes"), (0.79, "**no**")])
def test_a_headline_compares_with_the_best_peer_and_says_where_it_is_better(ours: float, is_met: str) -> None:
    """The peer in a row is the one that did best in it."""
    _, *found = rows(headline_block(goodput_results(ours)))

    assert len(found) == 3
    for cells in found:
        assert cells[1:4] == [f"{ours * 100:.1f} %", "LiteLLM: fallbacks, 1,234 refused by Groq (ours 0)", "80.0 %"]
        assert cells[6] == is_met


def test_headlines_count_what_is_met_and_leave_out_what_was_not_measured() -> None:
    """A checkout has the figures of those benchmarks that were kept."""
    assert headline_block(goodput_results(0.9)).startswith("3 of 3 are met.")
    assert headline_block({}).startswith("0 of 0 are met.")


def test_every_benchmark_of_the_headlines_is_one_and_has_rows_where_it_was_measured() -> None:
    """A figure that a benchmark no longer writes would be left out without a word."""
    sources = read_sources(ROOT)
    for name, (rows_of, _) in HEADLINES.items():
        assert (ROOT / "benchmarks" / name / "__main__.py").is_file()
        kept = sources.get(f"benchmarks/{name}/results.json")
        if kept is not None:
            assert list(rows_of(json.loads(kept)))


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", '{"results": 1}'])
def test_results_that_are_not_a_benchmarks_are_named(text: str) -> None:
    """With the command that writes them anew."""
    with pytest.raises(InputRefused) as refused:
        headline_block({"benchmarks/goodput/results.json": text})

    assert "benchmarks/goodput/results.json" in str(refused.value)
    assert "python -m benchmarks.goodput" in str(refused.value)
