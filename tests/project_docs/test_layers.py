"""The picture of the layers: true to the imports, and no more than they need."""

from __future__ import annotations

import re
from pathlib import Path

import grimp

from project_docs.__main__ import read_sources
from project_docs.layers import imported_names, layers_block

SOURCES = read_sources(Path(__file__).parents[2])
PACKAGE = "groq_fallback_mcp"
PYPROJECT = """
[[tool.importlinter.contracts]]
type = "layers"
layers = ["cli", "tools", "files | images", "call"]
"""


def package(**modules: str) -> dict[str, str]:
    """Sources of a package whose folders and modules (`files_py`) import these, separated by spaces."""
    return {
        f"server/{PACKAGE}/" + (f"{name.removesuffix('_py')}.py" if name.endswith("_py") else f"{name}/__init__.py"): (
            f'"""{name}: its words."""\n' + "".join(f"from {PACKAGE}.{lower} import x\n" for lower in imported.split())
        )
        for name, imported in modules.items()
    }


def arrows(block: str) -> set[tuple[str, str]]:
    """Who imports whom in a picture."""
    return set(re.findall(r"(\w+)_ --> (\w+)_", block))


def test_what_is_read_from_the_sources_is_what_the_import_linter_s_graph_holds() -> None:
    """Else the picture would show a package that does not exist."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    known: dict[str, set[str]] = {}
    for module in graph.modules - {PACKAGE}:
        name = module.split(".")[1]
        imported = {found.split(".")[1] for found in graph.find_modules_directly_imported_by(module) if found != PACKAGE}
        known.setdefault(name, set()).update(imported - {name})

    assert {name: found for name, found in imported_names(SOURCES).items() if name != "__init__"} == known


def test_what_follows_from_other_arrows_is_not_drawn() -> None:
    """Also where it follows by way of a module that is not drawn."""
    block = layers_block(PYPROJECT, package(cli="tools call", tools="files call", files_py="call", images_py="", call=""))

    assert arrows(block) == {("cli", "tools"), ("tools", "call")}
    assert "Modules beside the folders: `files`, `images`." in block


def test_a_folder_that_is_reached_through_a_module_is_joined_by_an_arrow() -> None:
    """The module itself is too small to be drawn."""
    assert arrows(layers_block(PYPROJECT, package(cli="", tools="files", files_py="call", images_py="", call=""))) == {
        ("tools", "call")
    }


def test_each_folder_is_drawn_with_the_first_words_of_its_docstring() -> None:
    """In the order of the layers."""
    block = layers_block(PYPROJECT, package(call="", tools="call", cli="", files_py="", images_py=""))

    assert re.findall(r"<b>(\w+)</b><br/>(\w+)", block) == [("cli", "cli"), ("tools", "tools"), ("call", "call")]
