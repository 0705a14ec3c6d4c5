"""What a team deploys from manifests/deploy: each file names what is there, holds no secret, and is taken by its own program where that is here."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from groq_fallback_mcp.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "manifests/deploy"
UNIT = DEPLOY / "groq-fallback-gateway@.service"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
REPLICAS = {name: service for name, service in COMPOSE["services"].items() if name.startswith("gateway-")}
SETTINGS = {field.validation_alias or f"GROQ_FALLBACK_{name.upper()}" for name, field in Settings.model_fields.items()}
# The place of config.toml, which has no setting in it.
ELSEWHERE = {"GROQ_FALLBACK_CONFIG"}


def run(
    *command: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A program that must not be waited for long."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/bin"} | dict(environment or {}),
    )


def test_three_replicas_share_a_ledger_and_are_the_ones_that_caddy_sends_to() -> None:
    """A name that is misspelled in one place shows here, not at the first start."""
    assert len(REPLICAS) == 3
    port = re.search(r'"--port", "(\d+)"', (DEPLOY / "Dockerfile").read_text())
    assert port is not None
    sent_to = COMPOSE["services"]["proxy"]["environment"]["GATEWAY_REPLICAS"].split()
    assert sent_to == [f"{name}:{port[1]}" for name in REPLICAS]
    for service in REPLICAS.values():
        assert service["environment"]["GROQ_FALLBACK_STATE"] == "redis://ledger:6379/0"
        assert f":{port[1]}/healthz" in " ".join(service["healthcheck"]["test"])
    named = {volume.partition(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", ())}
    assert {name for name in named if not name.startswith(".")} == set(COMPOSE["volumes"])


def test_every_setting_in_the_files_exists_and_no_secret_is_in_them() -> None:
    """Secrets come from a file beside them, and their absence stops the start."""
    environment = REPLICAS["gateway-1"]["environment"]
    assert set(environment) - SETTINGS - ELSEWHERE == set()
    for name in ("GROQ_API_KEY", "GROQ_FALLBACK_HTTP_TOKEN"):
        assert environment[name] == f"${{{name}:?}}"
    assert not re.search(r"(?m)^Environment=.*(KEY|TOKEN)", UNIT.read_text())


def test_the_image_has_all_that_its_build_needs() -> None:
    """Of the repository's files only those are sent to the build."""
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / name).exists() for name in kept)
    needed = set(
        re.findall(r'"(?:/|)((?:references|SKILL\.md|README\.md|LICENSE|server)[^"]*)"', (ROOT / "pyproject.toml").read_text())
    )
    assert {name.partition("/")[0] for name in needed} <= set(kept)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Whole, with nothing that it does not know."""
    unit = tmp_path / UNIT.name.replace("@", "@8788")
    unit.write_text(UNIT.read_text().replace("/opt/groq-fallback-mcp/bin/groq-fallback-mcp", "/bin/true"))
    done = run("systemd-analyze", "verify", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("site", [None, "gateway.example.com"])
def test_caddy_takes_its_file(site: str | None, tmp_path: Path) -> None:
    """With the defaults, and with what compose gives it; and it has nothing to format."""
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("needs caddy on the PATH")
    given = {"GATEWAY_SITE": site, "GATEWAY_REPLICAS": "gateway-1:8788 gateway-2:8788"} if site else {}
    done = run(
        caddy,
        "validate",
        "--config",
        str(DEPLOY / "Caddyfile"),
        "--adapter",
        "caddyfile",
        environment={"HOME": str(tmp_path), **given},
    )
    assert done.returncode == 0, done
    assert run(caddy, "fmt", "--diff", str(DEPLOY / "Caddyfile"), environment={"HOME": str(tmp_path)}).returncode == 0


def test_compose_takes_its_file(tmp_path: Path) -> None:
    """With the variables of .env; it is refused without them."""
    docker = shutil.which("docker")
    if docker is None or run(docker, "compose", "version", environment={"HOME": str(tmp_path)}).returncode != 0:
        pytest.skip("needs docker compose")
    given = {"GROQ_API_KEY": "gsk_x", "GROQ_FALLBACK_HTTP_TOKEN": "t" * 16, "GATEWAY_HOST": "gateway.example.com"}
    assert run(docker, "compose", "config", "-q", folder=DEPLOY, environment={"HOME": str(tmp_path), **given}).returncode == 0
    assert run(docker, "compose", "config", "-q", folder=DEPLOY, environment={"HOME": str(tmp_path)}).returncode != 0
