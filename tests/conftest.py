"""Shared by all tests: the async backend, and a guard against any connection that is not loopback."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import HealthCheck, Phase, settings

from groq_fallback_mcp import redaction
from groq_fallback_mcp.providers import local_servers

# How fast a machine is decides no test, and a fixture that lasts for all examples of one is meant to.
BUSY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("busy machine", deadline=None, suppress_health_check=BUSY)
settings.load_profile("busy machine")
# For `make mutation`: a mutant needs to be found, not the smallest example that finds it.
settings.register_profile("mutation", database=None, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])

# nobody's real key ring: not here, and not in the processes that tests start
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"


@pytest.fixture
def anyio_backend() -> str:
    """All async tests run on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = str(address[0]) if isinstance(address, tuple) else str(address)
            if not (host.startswith("127.") or host in {"::1", "localhost"}):
                pytest.fail(f"a test tried to reach {host}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is taken out of what the process writes from then on."""
    monkeypatch.setattr(redaction, "_secrets", redaction._Secrets())
    monkeypatch.setattr(redaction, "_words", redaction._Secrets())


@pytest.fixture(autouse=True)
def _time_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to miss a server that a test has started."""
    for name in ("LONGEST_LOOK_S", "PATIENT_LOOK_S"):
        monkeypatch.setattr(local_servers, name, 10.0)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith("GROQ_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(tmp_path_factory.getbasetemp() / "no-such-config.toml"))
    monkeypatch.setenv("GROQ_FALLBACK_STATE", "memory")
    # what runs on this machine is no part of a test, unless it starts it
    monkeypatch.setenv("GROQ_FALLBACK_FIND_LOCAL_SERVERS", "false")
    # nothing of a test is kept in the state folder of whoever runs it
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
