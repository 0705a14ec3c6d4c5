"""`python tests/fuzz TARGET [libFuzzer options]`: fuzz one target, guided by coverage."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["groq_fallback_mcp"]):
    from fuzz_targets import SAMPLES, TARGETS

if __name__ == "__main__":
    if sys.argv[1:2] == ["--list"]:
        print("\n".join(TARGETS))
        raise SystemExit
    target = TARGETS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as corpus:
        for number, sample in enumerate(SAMPLES):
            (Path(corpus) / str(number)).write_bytes(sample)
        atheris.Setup([*sys.argv, corpus], target)
        atheris.Fuzz()
