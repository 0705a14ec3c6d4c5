"""The branches of Windows, run here: no modes, no signal handlers of the loop, files that cannot be replaced while they are open."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from fake_clock import FakeClock
from platformdirs import windows
from pydantic import SecretStr
from systems import be_windows, refuse_replacing

from groq_fallback_mcp import atomic_file
from groq_fallback_mcp.atomic_file import write_atomically
from groq_fallback_mcp.cli.serving import end_in_order
from groq_fallback_mcp.clients.client import _under
from groq_fallback_mcp.clients.config_file import write_text
from groq_fallback_mcp.credentials import find_key, keep_in_file, make_in_file, require_private
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.files import write_allowed
from groq_fallback_mcp.gateway_tokens import read_tokens
from groq_fallback_mcp.quota.open_ledger import _path
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store import Record, StoreUnusable, Writes
from groq_fallback_mcp.settings import config_path, state_folder
from groq_fallback_mcp.transport.descriptors import Sink, Source
from groq_fallback_mcp.transport.http_connections import _descriptors
from groq_fallback_mcp.transport.stdio import Ending, _end_on_signal


@pytest.fixture(autouse=True)
def _windows(monkeypatch: pytest.MonkeyPatch) -> None:
    be_windows(monkeypatch)
    monkeypatch.setattr(atomic_file, "REPLACE_AGAIN_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A ledger's file."""
    made = SqliteStore(tmp_path / "state" / "ledger.sqlite3", FakeClock().wall)
    yield made
    made.close()


def test_files_are_kept_in_the_user_s_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and state in the local application data, configurations of clients in the roaming."""
    monkeypatch.delenv("GROQ_FALLBACK_CONFIG")
    # its own way to look it up is not here
    monkeypatch.setattr(windows, "get_win_folder", {"CSIDL_LOCAL_APPDATA": "/C/Users/ann/AppData/Local"}.__getitem__)
    assert config_path() == Path("/C/Users/ann/AppData/Local/groq-fallback-mcp/config.toml")
    assert state_folder() == Path("/C/Users/ann/AppData/Local/groq-fallback-mcp")
    monkeypatch.setenv("APPDATA", "/C/Users/ann/AppData/Roaming")
    assert _under(Path("/C/Users/ann"), "@app/Code/User/mcp.json") == Path("/C/Users/ann/AppData/Roaming/Code/User/mcp.json")
    monkeypatch.delenv("APPDATA")
    assert _under(Path("/C/Users/ann"), "@app/Code/x") == Path("/C/Users/ann/AppData/Roaming/Code/x")


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("/C:/Users/ann/l.db", "C:/Users/ann/l.db"),
        ("C:\\Users\\ann\\l.db", "C:\\Users\\ann\\l.db"),
        ("/home/l.db", "/home/l.db"),
    ],
)
def test_a_ledger_can_be_on_a_drive(setting: str, path: str) -> None:
    """What follows `sqlite://`."""
    assert str(_path(setting)) == path


def test_a_file_that_is_open_is_replaced_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader has it for a moment; what is written is there whole, and nothing is left beside it."""
    for write in (lambda path: write_atomically(path, b"new"), lambda path: write_text(path, "new")):
        path = tmp_path / f"{id(write)}.json"
        path.write_text("old")
        tried = refuse_replacing(monkeypatch, path.name, times=3)
        write(path)
        assert path.read_text() == "new"
        assert len(tried) == 4
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_stays_open_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment the error is that of the system."""
    path = tmp_path / "a.json"
    path.write_text("old")
    tried = refuse_replacing(monkeypatch, path.name, times=1_000)
    with pytest.raises(PermissionError):
        write_atomically(path, b"new")
    assert (path.read_text(), len(tried)) == ("old", atomic_file.REPLACE_TRIES)
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_a_ledger_works_without_modes(store: SqliteStore) -> None:
    """There is no fchmod."""
    store.transact(["a"], lambda _: Writes(result=None, writes={"a": Record(body="{}")}))
    assert store.transact(["a"], lambda found: Writes(result=dict(found.bodies)), writing=False) == {"a": "{}"}


def test_a_damaged_ledger_that_others_have_open_is_named_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be moved while they do: the ledger is unusable, and each try leaves nothing behind; then it is replaced."""
    store.transact(["a"], lambda _: Writes(result=None, writes={"a": Record(body="{}")}))
    store.close()
    path = Path(store.place)
    path.write_bytes(b"not a database at all" * 500)
    refuse_replacing(monkeypatch, path.name, times=3 * atomic_file.REPLACE_TRIES)
    before = {one.name for one in path.parent.iterdir()}
    for _ in range(3):
        with pytest.raises(StoreUnusable, match="is damaged"):
            store.transact(["a"], lambda _: Writes(result=None), writing=False)
        assert {one.name for one in path.parent.iterdir()} <= before | {f"{path.name}.lock"}
    assert store.transact(["a"], lambda found: Writes(result=dict(found.bodies)), writing=False) == {}
    assert sum(".damaged-" in one.name for one in path.parent.iterdir()) == 1


def test_keys_and_tokens_are_read_without_modes(tmp_path: Path) -> None:
    """Who may read a file is not in its mode there."""
    file = tmp_path / "key"
    keep_in_file(SecretStr("gsk_1"), file)
    file.chmod(0o644)
    found = find_key(file)
    assert found is not None
    assert found.key.get_secret_value() == "gsk_1"
    descriptor = os.open(file, os.O_RDONLY)
    require_private(descriptor, file)
    os.close(descriptor)
    make_in_file("t1", tmp_path / "token")
    make_in_file("t2", tmp_path / "token")
    assert (tmp_path / "token").read_text() == "t1\n"
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("tokens = []\r\n", newline="")
    tokens.chmod(0o666)
    assert read_tokens(tokens) == ()


def test_results_are_not_written_into_streams_of_other_files(tmp_path: Path) -> None:
    """`run.cmd:x.md` writes to run.cmd."""
    with pytest.raises(InputRefused, match="extension"):
        write_allowed("run.cmd:x.md", "text", allowed=[tmp_path], extensions=[".md"])


def test_what_takes_no_polling_is_read_and_written_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes cannot be polled, and there is no poll."""
    monkeypatch.delattr(select, "poll")
    begin, end = os.pipe()

    async def main() -> bytes:
        sink, source = Sink(end), Source(begin)
        assert sink.write_now(memoryview(b"x")) == 0
        assert await sink.write(memoryview(b"hello")) == 5
        with anyio.move_on_after(0.01):
            await sink.wait_closed()
        return await source.read()

    assert anyio.run(main) == b"hello"
    os.close(begin)
    os.close(end)
    assert _descriptors() > 1_000


def test_a_loop_without_signal_handlers_still_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proactor's raises NotImplementedError."""

    async def main() -> bool:
        def refused(*_: object) -> None:
            raise NotImplementedError

        monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refused)
        with anyio.CancelScope() as scope:
            await _end_on_signal(Ending(), scope)
        return scope.cancel_called

    assert anyio.run(main) is False


def test_ctrl_break_ends_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent by the key, and when the window is closed."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    try:
        end_in_order(143)
        with pytest.raises(SystemExit, match="143"):
            signal.raise_signal(signal.SIGUSR1)
        # a second one does not break off what is being closed
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_signals_are_left_alone_in_other_threads() -> None:
    """Only the main one may set handlers."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            end_in_order(0)
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failed == []


def test_there_is_no_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message names what works there."""
    from groq_fallback_mcp.cli.gateway_service import install

    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError) as refused:
        install(8788)
    assert "Startup folder" in refused.value.next_step
