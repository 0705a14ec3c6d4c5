"""Earlier releases of this project, as tests need them that let several share one ledger."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import pytest

__all__ = ["CHECKOUT", "RELEASES", "records_of", "source_of"]

CHECKOUT = Path(__file__).parents[2]
# Nothing has a tag yet: the last commit before the ledger kept a history of calls, and the last one before buckets kept
# how unsure they are.
RELEASES: Mapping[str, str] = MappingProxyType(
    {
        "2026-11-29": "614bd59538bad551cf1361125d59a7f600224f2f",
        "2026-11-30": "0e7b36a656eb40c028de514d0199aad3be36f1c1",
    }
)


def records_of(release: str) -> Path:
    """What that release wrote into a ledger, and the shape of the records that it reads; see tests/support/ledger_records.py."""
    return CHECKOUT / "tests" / "fixtures" / f"ledger-records-{release}.json"


def source_of(release: str, folder: Path) -> Path:
    """The folder to import that release from. The test is skipped where there is no such commit, as in a shallow clone."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    archive = subprocess.run(
        [git, "-C", str(CHECKOUT), "archive", RELEASES[release], "server"], capture_output=True, check=False
    )
    if archive.returncode != 0:
        pytest.skip(f"this checkout does not have the commit {RELEASES[release]} of the release of {release}")
    target = folder / f"release-{release}"
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as packed:
        packed.extractall(target, filter="data")
    return target / "server"
