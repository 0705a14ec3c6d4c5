"""The workflows: pinned, without rights they do not need, and made of make's own targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = {name: rest.split() for name, rest in re.findall(r"^([a-z][a-z-]*):(.*)$", MAKEFILE, re.MULTILINE)}


def read(path: Path) -> dict[str, Any]:
    """A workflow."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of all its jobs."""
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_and_no_right_is_given_to_all(path: Path) -> None:
    """A tag can be moved to other code."""
    assert read(path)["permissions"] == {}
    for job in read(path)["jobs"].values():
        assert job["timeout-minutes"] <= 360
        writes = any("gh release create" in step.get("run", "") for step in job["steps"])
        assert job["permissions"]["contents"] == ("write" if writes else "read")
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_whatever_a_workflow_makes_is_a_target(path: Path) -> None:
    """And no script reads an expression, which could hold what somebody else wrote."""
    for step in steps(path):
        run = step.get("run", "")
        assert "${{" not in run
        for line in re.findall(r"\bmake ((?:[a-z][a-z-]*\s?)+)", run):
            assert set(line.split()) <= set(TARGETS), run


def test_a_release_is_written_and_published_by_jobs_that_run_nobody_s_code() -> None:
    """Only the job without rights checks the repository out, tests and builds."""
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs.items() if "id-token" in job["permissions"]] == ["publish"]
    assert (jobs["publish"]["needs"], jobs["release"]["needs"]) == ("build", "publish")
    for name in ("publish", "release"):
        shown = str(jobs[name]["steps"])
        assert "actions/checkout" not in shown
        assert "make " not in shown
    assert "actions/attest-build-provenance@" in str(jobs["publish"]["steps"])


def test_a_release_has_a_wheel_its_source_a_bundle_a_bill_of_materials_and_checksums() -> None:
    """All of them are in the checksums, which the release checks."""
    assert TARGETS["release-files"] == ["$(VENV)/.dev", "bundle", "sbom"]
    assert "sha256sum *.whl *.tar.gz *.mcpb sbom.cdx.json > SHA256SUMS" in MAKEFILE
    runs = [step.get("run", "") for step in steps(ROOT / ".github" / "workflows" / "release.yml")]
    assert "make release-files" in runs
    assert "cd dist && sha256sum --check SHA256SUMS" in runs


def test_the_night_s_parts_are_those_of_make_nightly() -> None:
    """So that a finding can be had again on a machine of one's own."""
    matrix = read(ROOT / ".github" / "workflows" / "nightly.yml")["jobs"]["nightly"]["strategy"]["matrix"]
    (rule,) = re.findall(r"^nightly:.*\n(?:\t.*\n)*", MAKEFILE, re.MULTILINE)
    assert sorted(matrix["part"]) == sorted(set(re.findall(r"(?<![.\w-])[a-z][a-z-]*", rule)) & set(TARGETS) - {"nightly"})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_where_the_network_is_whole_nothing_is_passed_over_for_want_of_it(path: Path) -> None:
    """On a machine without Redis, or whose registry tells no vulnerabilities, that is said and passes; in a workflow it fails."""
    for job in read(path)["jobs"].values():
        for step in job["steps"]:
            part = step.get("run", "").replace('"$PART"', " ".join(job.get("strategy", {}).get("matrix", {}).get("part", [])))
            if "audit" in part:
                assert step["env"]["REQUIRE_AUDIT"] == "1", part
            if "nightly-rounds" in part:
                assert step["env"]["REQUIRE_REDIS"] == "1", part
