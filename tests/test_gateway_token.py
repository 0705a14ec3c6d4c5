"""The gateway's token is made once, is private, and is in no output."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.gateway_token import TOKEN_FILE, gateway_token
from groq_fallback_mcp.redaction import sanitize

posix = pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
GOOD = "a-token-of-enough-characters"


def test_a_token_is_made_once_and_found_again(tmp_path: Path) -> None:
    """256 bits, in a folder that is made for it."""
    folder = tmp_path / "state"
    made = gateway_token(folder)
    assert len(made) == 43
    assert gateway_token(folder) == made
    assert [path.name for path in folder.iterdir()] == [TOKEN_FILE]


@posix
def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Neither the file nor the folder that was made for it."""
    folder = tmp_path / "state"
    gateway_token(folder)
    assert (folder / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_it_is_in_no_output(tmp_path: Path) -> None:
    """Whether it was made or found."""
    made = gateway_token(tmp_path)
    assert made not in sanitize(f"the token is {made}.")


def test_processes_that_make_it_at_once_get_the_same_one(tmp_path: Path) -> None:
    """As when an agent and a service start together."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        found = pool.map(gateway_token, [tmp_path] * 16, chunksize=1)
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [TOKEN_FILE]


def test_one_that_appears_while_another_is_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loser of the race takes the winner's."""
    link = Path.hardlink_to

    def late(self: Path, target: Path) -> None:
        self.write_text(GOOD)
        self.chmod(0o600)
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", late)
    assert gateway_token(tmp_path) == GOOD


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"short", "is shorter than 16 characters"),
        (b"two words in a line of text", "does not contain a token"),
        (b"\xff" * 40, "does not contain a token"),
        (b"x" * 5_000, "does not contain a token"),
    ],
)
def test_a_file_without_a_token_is_refused(content: bytes, fault: str, tmp_path: Path) -> None:
    """And left as it is; the error names it and the next step, and no content."""
    file = tmp_path / TOKEN_FILE
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=fault) as refused:
        gateway_token(tmp_path)
    assert (str(file) in str(refused.value), "Remove it" in refused.value.next_step) == (True, True)
    assert file.read_bytes() == content


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_token_that_others_can_read_or_write_is_refused(mode: int, tmp_path: Path) -> None:
    """Somebody may know it already, so a new one is the next step."""
    file = tmp_path / TOKEN_FILE
    file.write_text(GOOD)
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"is accessible to others \\(mode {mode:04o}\\)") as refused:
        gateway_token(tmp_path)
    assert GOOD not in str(refused.value)


@posix
def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A FIFO would be read for ever."""
    os.mkfifo(tmp_path / TOKEN_FILE, 0o600)
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        gateway_token(tmp_path)


@posix
def test_a_folder_that_cannot_be_used_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    """Here there is a file in its place."""
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigurationError, match=r"Cannot use the gateway's token file .*\. Check the permissions"):
        gateway_token(tmp_path / "state")
