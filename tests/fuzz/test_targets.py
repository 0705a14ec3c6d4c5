"""Every reader of foreign bytes, with what hypothesis thinks of; `make fuzz` looks longer."""

from __future__ import annotations

import pytest
from fuzz_targets import SAMPLES, TARGETS
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Something real with a piece replaced."""
    whole = draw(st.sampled_from(SAMPLES))
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, len(whole)))
    return whole[:start] + draw(st.binary(max_size=30)) + whole[end:]


@pytest.mark.parametrize("name", list(TARGETS))
def test_no_reader_of_foreign_bytes_breaks_its_promise(name: str) -> None:
    """Whatever comes."""

    @given(damaged() | st.binary(max_size=300))
    def feed(data: bytes) -> None:
        TARGETS[name](data)

    feed()
