"""What servers say of the models they serve: the lists of llama.cpp, Ollama, LM Studio, vLLM, and any OpenAI-compatible endpoint. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.call import Failure
from groq_fallback_mcp.providers.base import LiveModel
from groq_fallback_mcp.providers.json_fields import bad_response, json_object, mapping, rows, text_of, whole

__all__ = [
    "OllamaDetails",
    "OllamaTag",
    "ServedModel",
    "is_in_cloud",
    "read_listed",
    "read_llamacpp",
    "read_lmstudio",
    "read_lmstudio_v0",
    "read_models",
    "read_ollama_details",
    "read_ollama_loaded",
    "read_ollama_tags",
    "read_vllm",
]

# A model's id is a name of printable ASCII without spaces. Whatever else stands there reaches no text, file or request.
_MODEL_ID = re.compile(r"[!-~]{1,200}")
# llama.cpp names a model by the path of its file, which may have spaces.
_MODEL_PATH = re.compile(r"[ -~]{1,1000}")
MOST_MODELS = 5_000
_SPEECH = re.compile(r"whisper|transcri", re.IGNORECASE)
# What answers no chat; lists seldom say so in a field.
_NOT_CHAT = re.compile(
    r"embed|rerank|moderation|guard|\btts\b|-tts|tts-|dall-e|image|imagen|veo-|sora|realtime|\baqa\b|bge-|-ocr", re.IGNORECASE
)
# What lists name a model's type or mode, where it is one that is of use here.
_CHAT_TYPES = {None, "model", "chat", "llm", "vlm", "language", "text", "responses", "audio", "audio_transcription"}
_NUM_CTX = re.compile(r"^\s*num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
_WINDOWS = ("context_length", "context_window", "max_model_len", "max_context_length")
_OUTPUTS = ("max_completion_tokens", "max_output_tokens", "max_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model as its server states it; None where it says nothing.

    `id` is its name in plans, `wire` in requests. `context_window` is what is really loaded, prompt and answer together.
    `free`: whether all its prices are zero.
    """

    id: str
    wire: str
    context_window: int | None = None
    max_completion_tokens: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    speech: bool = False
    free: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaTag:
    """A model that Ollama can load. `digest` changes with its contents."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaDetails:
    """What /api/show says: `num_ctx` is the window that the model's own file asks for, `trained` the most it can have."""

    chats: bool
    tools: bool
    vision: bool
    num_ctx: int | None
    trained: int | None

    def window(self, loaded: int | None, least: int) -> int:
        """The window a request gets: what is loaded or asked for, the smaller where they differ, else what Ollama loads at least."""
        stated = [window for window in (self.num_ctx, loaded) if window is not None]
        return min([*(stated or [least]), *([self.trained] if self.trained else [])])


def read_llamacpp(props: Mapping[str, Any], models: Mapping[str, Any]) -> tuple[ServedModel, ...] | None:
    """The models of a llama.cpp server, from /props and /v1/models; None where it is none."""
    settings = mapping(props.get("default_generation_settings"))
    listed = [row for row in rows(models.get("data")) if row.get("owned_by") == "llamacpp"]
    if settings is None or "build_info" not in props or not listed:
        return None
    # how long it was trained to read (n_ctx_train) says nothing of what is loaded
    window = whole(settings.get("n_ctx"))
    caps, modalities = mapping(props.get("chat_template_caps")) or {}, mapping(props.get("modalities")) or {}
    speaks_of_tools = "supports_tools" in caps or "supports_tool_calls" in caps
    described = {text_of(row.get("name")): row.get("capabilities") for row in rows(models.get("models"))}
    return tuple(
        ServedModel(
            id=_file_name(id_),
            wire=id_,
            context_window=window or None,
            tools=bool(caps.get("supports_tools") or caps.get("supports_tool_calls")) if speaks_of_tools else None,
            vision=modalities.get("vision") is True,
        )
        for row in listed
        if (id_ := text_of(row.get("id"))) and _MODEL_PATH.fullmatch(id_) and _answers(described.get(id_)) and _is_loaded(row)
    )


def read_ollama_tags(body: Mapping[str, Any]) -> tuple[OllamaTag, ...] | None:
    """The models that Ollama can run on this machine; None where the body is not Ollama's."""
    listed = body.get("models")
    if not isinstance(listed, list):
        return None
    found = rows(listed)
    # other servers that speak its language leave the digest empty
    if any(not text_of(row.get("digest")) for row in found):
        return None
    return tuple(
        OllamaTag(name=name, digest=text_of(row.get("digest")) or "")
        for row in found[:MOST_MODELS]
        if (name := _id(row.get("model") or row.get("name"))) and not _runs_elsewhere(row, name)
    )


def read_ollama_loaded(body: Mapping[str, Any]) -> dict[str, int | None] | None:
    """The windows of the models that are loaded (/api/ps), by name; None where the body is not Ollama's."""
    if not isinstance(body.get("models"), list):
        return None
    return {name: whole(row.get("context_length")) or None for row in rows(body["models"]) if (name := _id(row.get("name")))}


def read_ollama_details(body: Mapping[str, Any]) -> OllamaDetails:
    """What /api/show says of a model."""
    able = body.get("capabilities")
    capabilities: Sequence[object] = able if isinstance(able, list) else ("completion", "tools")
    asked = _NUM_CTX.search(text_of(body.get("parameters")) or "")
    trained = [
        whole(value) for name, value in (mapping(body.get("model_info")) or {}).items() if name.endswith(".context_length")
    ]
    return OllamaDetails(
        chats="completion" in capabilities,
        tools="tools" in capabilities,
        vision="vision" in capabilities,
        num_ctx=int(asked[1]) if asked else None,
        trained=next((window for window in trained if window), None),
    )


def read_lmstudio(body: Mapping[str, Any]) -> tuple[ServedModel, ...] | None:
    """The models that LM Studio 0.4 or later has loaded (/api/v1/models); None where the body is another server's."""
    listed = body.get("models")
    if not isinstance(listed, list) or any("loaded_instances" not in row or "key" not in row for row in rows(listed)):
        return None
    found: list[ServedModel] = []
    for row in rows(listed):
        able = mapping(row.get("capabilities")) or {}
        for instance in rows(row.get("loaded_instances")):
            id_, config = _id(instance.get("id")), mapping(instance.get("config")) or {}
            if id_ is not None and text_of(row.get("type")) not in {"embedding", "embeddings"}:
                found.append(
                    ServedModel(
                        id=id_,
                        wire=id_,
                        context_window=whole(config.get("context_length")) or None,
                        tools=_flag(able.get("trained_for_tool_use")),
                        vision=_flag(able.get("vision")),
                    )
                )
    return tuple(found)


def read_lmstudio_v0(body: Mapping[str, Any]) -> tuple[ServedModel, ...] | None:
    """The models that LM Studio 0.3.6 or later has loaded (/api/v0/models); None where the body is another server's."""
    listed = body.get("data")
    if not isinstance(listed, list) or any("state" not in row for row in rows(listed)):
        return None
    return tuple(
        ServedModel(
            id=id_,
            wire=id_,
            context_window=whole(row.get("loaded_context_length")) or whole(row.get("max_context_length")) or None,
            tools="tool_use" in able if isinstance(able := row.get("capabilities"), list) else None,
            vision=row.get("type") == "vlm",
        )
        for row in rows(listed)
        if row.get("state") == "loaded" and text_of(row.get("type")) in {"llm", "vlm"} and (id_ := _id(row.get("id")))
    )


def is_in_cloud(name: str) -> bool:
    """Whether Ollama's name of a model says that its cloud runs it."""
    return name.endswith(("-cloud", ":cloud"))


def read_vllm(body: Mapping[str, Any]) -> tuple[ServedModel, ...] | None:
    """The models of vLLM (/v1/models); None where it is another server, such as SGLang, which uses the same port."""
    listed = rows(body.get("data"))
    if not listed or any(row.get("owned_by") != "vllm" for row in listed):
        return None
    return tuple(
        ServedModel(id=id_, wire=id_, context_window=whole(row.get("max_model_len")) or None)
        for row in listed
        if (id_ := _id(row.get("id"))) and not _NOT_CHAT.search(id_)
    )


def read_models(body: bytes) -> tuple[LiveModel, ...] | Failure:
    """All rows of a list (GET /models), whatever they are for; those without an id that can be one are skipped."""
    value = json_object(body)
    if isinstance(value, Failure):
        return value
    if not isinstance(value.get("data"), list):
        return bad_response("a model list without data")
    return tuple(
        LiveModel(
            id=id_,
            active=row.get("active") is not False,
            context_window=_first_whole(row, _WINDOWS),
            max_completion_tokens=_first_whole(row, _OUTPUTS),
        )
        for row in rows(value["data"])[:MOST_MODELS]
        if (id_ := _listed_id(row)) is not None
    )


def read_listed(body: Mapping[str, Any]) -> tuple[ServedModel, ...] | None:
    """The chat and speech-to-text models of any OpenAI-compatible endpoint (GET /models); None where it is no list."""
    if not isinstance(body.get("data"), list):
        return None
    return tuple(_listed(rows(body["data"])[:MOST_MODELS]))


def _listed(listed: Iterable[Mapping[str, Any]]) -> Iterable[ServedModel]:
    for row in listed:
        id_ = _listed_id(row)
        types = {text_of(row.get("type")), text_of(row.get("mode"))}
        if id_ is None or row.get("active") is False or not types <= _CHAT_TYPES:
            continue
        speech = _SPEECH.search(id_) is not None
        if _NOT_CHAT.search(id_) and not speech:
            continue
        inner = mapping(row.get("top_provider")) or {}
        able = row.get("capabilities")
        parameters = row.get("supported_parameters") or able
        inputs = (mapping(row.get("architecture")) or {}).get("input_modalities")
        yield ServedModel(
            id=id_,
            wire=id_,
            context_window=None if speech else _first_whole(row, _WINDOWS),
            max_completion_tokens=None if speech else _first_whole(row, _OUTPUTS) or _first_whole(inner, _OUTPUTS),
            tools=bool({"tools", "function_calling", "tool_use"} & set(map(str, parameters)))
            if isinstance(parameters, list)
            else None,
            vision="image" in inputs if isinstance(inputs, list) else "vision" in able if isinstance(able, list) else None,
            speech=speech,
            free=_is_free(id_, row),
        )


def _is_free(id_: str, row: Mapping[str, Any]) -> bool | None:
    if id_.endswith(":free") or row.get("isFree") is True:
        return True
    prices = mapping(row.get("pricing"))
    if not prices:
        return None
    try:
        return all(float(str(price)) == 0 for price in prices.values() if isinstance(price, str | int | float))
    except ValueError:
        return None


def _first_whole(row: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((figure for name in names if (figure := whole(row.get(name)))), None)


def _listed_id(row: Mapping[str, Any]) -> str | None:
    # Gemini lists models/gemini-..., and takes the id without
    return _id((text_of(row.get("id")) or "").removeprefix("models/"))


def _id(value: object) -> str | None:
    text = text_of(value)
    return text if text is not None and _MODEL_ID.fullmatch(text) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _file_name(path: str) -> str:
    """A model's name without the folders of this machine: a name in plans reaches results and requests."""
    is_path = path.startswith(("/", "\\", ".")) or path[1:3] == ":\\" or path.endswith(".gguf")
    name = re.split(r"[/\\]", path)[-1].removesuffix(".gguf") if is_path else path
    return name.replace(" ", "-") or "model"


def _answers(capabilities: object) -> bool:
    """Whether llama.cpp runs a model for chat: not where it only embeds."""
    return not isinstance(capabilities, list) or not capabilities or "completion" in capabilities


def _is_loaded(row: Mapping[str, Any]) -> bool:
    """A llama.cpp router lists what it could load, too."""
    status = mapping(row.get("status"))
    return status is None or status.get("value") == "loaded"


def _runs_elsewhere(row: Mapping[str, Any], name: str) -> bool:
    """Whether Ollama would send prompts to its cloud."""
    return bool(row.get("remote_host") or row.get("remote_model")) or is_in_cloud(name)
