"""The file of the gateway's named tokens: hashes alone, whole or not at all, read again when it changes, refused when damaged."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from contextlib import suppress
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from effort import times
from hypothesis import given, settings
from hypothesis import strategies as st

from groq_fallback_mcp import gateway_tokens
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.gateway_tokens import (
    LOOK_EVERY_S,
    MOST_TOKENS,
    GatewayToken,
    TokensFile,
    add_token,
    change_token,
    checked_name,
    read_tokens,
    remove_token,
    rotate_token,
    token_hash,
)
from groq_fallback_mcp.redaction import sanitize

HASH = "ab" * 32
ROW = f'[[tokens]]\nname = "ann"\nsha256 = "{HASH}"\ncreated = 2026-11-29\n'
posix = pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")


def row(sha256: str, name: str = "ann") -> GatewayToken:
    """A token without bounds."""
    return GatewayToken(name=name, sha256=sha256, created=date(2026, 11, 29))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file would be, in a folder that does not exist."""
    return tmp_path / "state" / "tokens.toml"


def written(path: Path, content: str | bytes) -> Path:
    """A file as somebody left it."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return path


def test_a_token_is_random_returned_once_and_kept_as_its_hash(path: Path) -> None:
    """Nothing in the file, and no output, tells it."""
    secret = add_token(path, row)
    (found,) = read_tokens(path)
    assert len(secret) == 43
    assert bytes.fromhex(found.sha256) == token_hash(secret.encode())
    assert secret not in path.read_text()
    assert secret not in sanitize(f"it is {secret}.")
    assert secret != add_token(path, partial(row, name="ben"))


@posix
def test_only_its_owner_can_read_it(path: Path) -> None:
    """The folder that was made for it, too."""
    add_token(path, row)
    assert [one.stat().st_mode & 0o777 for one in (path, path.parent)] == [0o600, 0o700]


def test_what_is_written_is_read_again(path: Path) -> None:
    """Every field; zeros are bounds."""
    whole = GatewayToken(
        name="ann",
        sha256=HASH,
        created=date(2026, 11, 29),
        budget_usd_per_day=Decimal("0.000001"),
        tokens_per_day=0,
        models=('odd "model"\\', "ü"),
        rpm=1,
        batch=True,
    )
    add_token(path, lambda sha256: whole.model_copy(update={"sha256": sha256}))
    (found,) = read_tokens(path)
    assert found == whole.model_copy(update={"sha256": found.sha256})


def test_a_name_exists_once_and_can_be_removed(path: Path) -> None:
    """What is wrong is said with the next step."""
    add_token(path, row)
    with pytest.raises(ConfigurationError, match=r"'ann' already exists\. Choose another name, or run"):
        add_token(path, row)
    with pytest.raises(ConfigurationError, match=r"Unknown gateway token 'ben'\. Use one of ann"):
        remove_token(path, "ben")
    remove_token(path, "ann")
    assert read_tokens(path) == ()
    with pytest.raises(ConfigurationError, match="Add one with"):
        remove_token(path, "ann")


def test_a_token_is_changed_and_rotated_with_its_name_and_the_rest(path: Path) -> None:
    """The former secret ends, and another's stays as it is."""
    former, other = add_token(path, row), add_token(path, lambda sha256: row(sha256).model_copy(update={"name": "ben"}))
    change_token(path, "ann", lambda token: token.model_copy(update={"rpm": 7}))
    new = rotate_token(path, "ann")
    ann, ben = read_tokens(path)
    assert (ann.name, ann.rpm, ann.sha256) == ("ann", 7, token_hash(new.encode()).hex())
    assert ben.sha256 == token_hash(other.encode()).hex()
    assert former not in {new, other}
    with pytest.raises(ConfigurationError, match="Use one of ann, ben"):
        rotate_token(path, "eve")


def test_the_file_behind_a_link_is_changed_and_the_link_stays(path: Path, tmp_path: Path) -> None:
    """Gateways read the file that it leads to."""
    target = tmp_path / "shared.toml"
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    add_token(path, row)
    assert path.is_symlink()
    assert [one.name for one in read_tokens(target)] == ["ann"]
    remove_token(path, "ann")
    assert (path.is_symlink(), read_tokens(target)) == (True, ())


def test_tokens_stay_when_their_file_is_gone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A volume that is not mounted must not turn a team away; an empty file does."""
    now = [0.0]
    add_token(path, row)
    found = TokensFile(path, lambda: now[0])
    path.unlink()
    now[0] += 2
    assert len(found.current()) == 1
    assert "is gone" in caplog.text
    path.write_text("")
    path.chmod(0o600)
    now[0] += 2
    assert len(found.current()) == 0


def test_there_are_not_too_many(path: Path) -> None:
    """Each is looked at with every change."""
    many = "".join(ROW.replace("ann", f"t{n}").replace(HASH, f"{n:064x}") for n in range(MOST_TOKENS))
    assert len(read_tokens(written(path, many))) == MOST_TOKENS
    with pytest.raises(ConfigurationError, match="the most there can be"):
        add_token(path, row)


@pytest.mark.parametrize("name", ["", "Ann", "a b", "a" * 41, "owner", "ä", "a/b", "a\n"])
def test_a_name_is_short_and_plain(name: str) -> None:
    """It is part of records and headers; the owner's is taken."""
    with pytest.raises(ConfigurationError, match="Invalid token name"):
        checked_name(name)
    assert checked_name("ci-2") == "ci-2"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("tokens = 1", "must have"),
        ("other = 1", "must have"),
        ("[[tokens]]", "invalid token number 1"),
        ("tokens = [1]", "invalid token number 1"),
        (ROW + "rmp = 5", "rmp, Extra inputs"),
        (ROW + "rpm = 0", "rpm"),
        (ROW + "rpm = true", "rpm"),
        (ROW + 'tokens_per_day = "5"', "tokens_per_day"),
        (ROW + "tokens_per_day = -1", "tokens_per_day"),
        (ROW + "budget_usd_per_day = nan", "budget_usd_per_day"),
        (ROW + "budget_usd_per_day = inf", "budget_usd_per_day"),
        (ROW + "budget_usd_per_day = -0.01", "budget_usd_per_day"),
        (ROW + 'models = "all"', "models"),
        (ROW + "batch = 1", "batch"),
        (ROW.replace("2026-11-29", '"2026-11-29"'), "created"),
        (ROW.replace(HASH, HASH[:-1]), "sha256"),
        (ROW.replace("ann", "Ann"), "name"),
        (ROW.replace("ann", "owner"), "reserved name"),
        (ROW + ROW.replace(HASH, "cd" * 32), "one name or hash"),
        (ROW + ROW.replace("ann", "ben"), "one name or hash"),
        (ROW.replace("[[tokens]]", "[tokens]"), "must have"),
        (ROW[:-5], "is not valid TOML"),
        (b"\xff\xfe\x00", "is not valid TOML"),
        (ROW.encode("utf-16"), "is not valid TOML"),
        ("a = " + "[" * 9_999, "is not valid TOML"),
        ("tokens = [" + "{}," * (MOST_TOKENS + 1) + "]", "more than 1,000"),
        ("[[tokens]]\n" * 1_000_000, "is larger than"),
    ],
    ids=lambda value: repr(value[-40:]),
)
def test_a_file_that_cannot_be_right_is_refused(content: str | bytes, fault: str, path: Path) -> None:
    """With what is wrong; a limit that is misspelled would be none. It is left as it is, and a command does not touch it."""
    written(path, content)
    before = path.read_bytes()
    for act in (read_tokens, lambda path: add_token(path, row), lambda path: TokensFile(path, time.monotonic)):
        with pytest.raises(ConfigurationError, match=fault) as refused:
            act(path)
        assert str(path) in str(refused.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [ROW, ROW.replace("\n", "\r\n"), "\ufeff" + ROW, "", "# nothing\n"])
def test_what_editors_make_of_it_is_read(content: str, path: Path) -> None:
    """Line ends of Windows, and a byte order mark."""
    assert len(read_tokens(written(path, content))) == (1 if "ann" in content else 0)


@posix
@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o444, False), (0o640, False), (0o660, True), (0o606, True)])
def test_a_file_that_others_can_change_is_refused(mode: int, refused: bool, path: Path) -> None:
    """They could let themselves in; to read the hashes gives nobody access."""
    written(path, ROW).chmod(mode)
    if not refused:
        assert len(read_tokens(path)) == 1
        return
    with pytest.raises(ConfigurationError, match=r"can be changed by other users\. Run chmod 600"):
        read_tokens(path)


@posix
def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A FIFO would be read for ever, and a folder not at all."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("fifo", "."):
        with pytest.raises(ConfigurationError, match=r"is not a regular file|cannot be read"):
            read_tokens(tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be"):
        add_token(tmp_path / "file" / "tokens.toml", row)


def added(path: Path, name: str) -> str:
    """In another process."""
    return add_token(path, partial(row, name=name))


def test_processes_that_add_at_once_lose_none(path: Path) -> None:
    """Nor does one that removes meanwhile."""
    add_token(path, partial(row, name="gone"))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        adding = pool.starmap_async(added, [(path, f"t{n}") for n in range(12)], chunksize=1)
        remove_token(path, "gone")
        secrets = adding.get(timeout=60)
    assert {one.name for one in read_tokens(path)} == {f"t{n}" for n in range(12)}
    assert {bytes.fromhex(one.sha256) for one in read_tokens(path)} == {token_hash(one.encode()) for one in secrets}
    assert [one.name for one in path.parent.iterdir() if one.suffix not in {".toml", ".lock"}] == []


def test_a_lock_that_is_not_given_back_is_not_waited_for_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command hangs."""
    from filelock import FileLock

    monkeypatch.setattr(gateway_tokens, "LOCK_S", 0.05)
    path.parent.mkdir()
    with FileLock(f"{path}.lock"), pytest.raises(ConfigurationError, match="is being changed by another command"):
        add_token(path, row)


def test_a_running_gateway_reads_the_file_again_when_it_has_changed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At most once a second; where it is damaged then, who was in stays in, and the log says so once."""
    now = 0.0
    tokens = TokensFile(path, lambda: now)
    assert tokens.current() == {}
    written(path, ROW)
    assert tokens.current() == {}
    now += LOOK_EVERY_S
    found = tokens.current()
    assert [one.name for one in found.values()] == ["ann"]
    now += LOOK_EVERY_S
    assert tokens.current() is found
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            written(path, "damaged") if not caplog.records else None
            now += LOOK_EVERY_S
            assert tokens.current() is found
    assert ["tokens stay as they were" in record.message for record in caplog.records] == [True]
    written(path, "")
    now += LOOK_EVERY_S
    assert tokens.current() == {}


@settings(max_examples=times(20), deadline=None)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (ROW + text).encode("utf-8", "replace")))
def test_no_content_raises_anything_but_the_error(content: bytes, tmp_path: Path) -> None:
    """Whatever it is."""
    with suppress(ConfigurationError):
        read_tokens(written(tmp_path / "tokens.toml", content))
