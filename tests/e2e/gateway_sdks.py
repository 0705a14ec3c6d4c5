"""Asks the gateway all that a Python SDK can ask, and prints what came back as one JSON object. argv: which SDK."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

HELLO: Any = [{"role": "user", "content": "Say hello"}]
BOTH: Any = [{"role": "user", "content": "Use get_weather and get_time"}]
IMAGE: Any = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": os.environ["PICTURE"]}},
        ],
    }
]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in ("get_weather", "get_time")]
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": False}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
GATEWAY, LIMITED, TOKEN = (os.environ[name] for name in ("GATEWAY", "LIMITED", "TOKEN"))


async def template(sdk: Any, maker: Any, prefix: str) -> dict[str, Any]:
    """OpenAI's SDK and Groq's, which is made from the same template."""

    def opened(base: str, key: str = TOKEN) -> Any:
        return maker(base_url=base + prefix, api_key=key, max_retries=0)

    client = opened(GATEWAY)

    async def chat(to: Any = client, **more: Any) -> Any:
        if "stream_options" in more:
            # Groq's SDK does not know the field, which Groq has
            more["extra_body"] = {"stream_options": more.pop("stream_options")}
        return await to.chat.completions.create(**{"model": "auto", "messages": HELLO} | more)

    found = await asked(chat, sdk.APIStatusError, limited=opened(LIMITED), stranger=opened(GATEWAY, "nobody"))
    with open(os.environ["RECORDING"], "rb") as recording:  # noqa: ASYNC230, PTH123 - nothing else runs here
        heard = await client.audio.transcriptions.create(model="whisper-large-v3-turbo", file=recording)
    with open(os.environ["RECORDING"], "rb") as recording:  # noqa: ASYNC230, PTH123
        translated = await client.audio.translations.create(model="whisper-large-v3", file=recording)
    said = await client.audio.speech.create(model="auto", voice="troy", input="Hello", response_format="wav")
    spoken = await said.aread() if hasattr(said, "aread") else await said.read()
    models = [model.id for model in (await client.models.list()).data]
    return found | {"transcript": heard.text, "translation": translated.text, "speech": spoken[:4].decode(), "models": models}


async def openai_sdk() -> dict[str, Any]:
    import openai

    return await template(openai, openai.AsyncOpenAI, "/v1")


async def groq_sdk() -> dict[str, Any]:
    """It puts /openai/v1 before each path."""
    import groq

    return await template(groq, groq.AsyncGroq, "")


async def litellm_sdk() -> dict[str, Any]:
    """With the gateway as an OpenAI-compatible server."""
    import litellm
    import openai

    async def chat(to: tuple[str, str] = (GATEWAY, TOKEN), **more: Any) -> Any:
        fields = {"model": "auto", "messages": HELLO} | more
        fields["model"] = f"openai/{fields['model']}"
        return await litellm.acompletion(**fields, api_base=f"{to[0]}/v1", api_key=to[1], max_retries=0)

    return await asked(chat, openai.APIStatusError, limited=(LIMITED, TOKEN), stranger=(GATEWAY, "nobody"))


async def asked(chat: Callable[..., Awaitable[Any]], error: type[Any], *, limited: Any, stranger: Any) -> dict[str, Any]:
    """All that can be asked of a chat."""

    async def failure(work: Awaitable[Any]) -> dict[str, Any]:
        try:
            await work
        except error as raised:
            return {"status": raised.status_code, "said": str(raised), "wait": raised.response.headers.get("retry-after")}
        return {}

    whole = (await chat()).choices[0].message
    usage, streamed, streamed_calls = 0, "", []
    async for chunk in await chat(stream=True, stream_options={"include_usage": True}):
        streamed += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        usage = chunk.usage.total_tokens if getattr(chunk, "usage", None) else usage
    called = (await chat(messages=BOTH, tools=TOOLS)).choices[0].message.tool_calls
    async for chunk in await chat(messages=BOTH, tools=TOOLS, stream=True):
        streamed_calls += (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []
    return {
        "chat": whole.content,
        "streamed": streamed,
        "usage": usage,
        "calls": [{"name": call.function.name, "arguments": call.function.arguments} for call in called],
        "streamedCalls": [{"name": call.function.name, "arguments": call.function.arguments} for call in streamed_calls],
        "image": (await chat(messages=IMAGE)).choices[0].message.content,
        "object": json.loads((await chat(response_format=FORMAT)).choices[0].message.content),
        "wrong": await failure(chat(logprobs=True)),
        "unknown": await failure(chat(model="gpt-9")),
        "stranger": await failure(chat(stranger)),
        "limited": await failure(chat(limited)),
        "limitedStream": await failure(chat(limited, stream=True)),
    }


if __name__ == "__main__":
    # the SDK may write to the standard output, too: the last line is ours
    print(json.dumps(asyncio.run({"openai": openai_sdk, "groq": groq_sdk, "litellm": litellm_sdk}[sys.argv[1]]())))
