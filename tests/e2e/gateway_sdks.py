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


async def responses_api() -> dict[str, Any]:
    """OpenAI's SDK over its newer API."""
    import openai

    def opened(base: str, key: str = TOKEN) -> Any:
        return openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)

    client = opened(GATEWAY)
    flat: Any = [{"type": "function", "strict": False, **tool["function"]} for tool in TOOLS]

    async def ask(to: Any = client, **more: Any) -> Any:
        return await to.responses.create(**{"model": "auto", "input": HELLO} | more)

    def named(response: Any) -> list[Any]:
        calls = [item for item in response.output if item.type == "function_call"]
        return [{"name": call.name, "arguments": call.arguments} for call in calls]

    usage, streamed = 0, ""
    async for event in await ask(stream=True):
        streamed += event.delta if event.type == "response.output_text.delta" else ""
        usage = event.response.usage.total_tokens if event.type == "response.completed" else usage
    async with client.responses.stream(model="auto", input=BOTH, tools=flat) as stream:
        async for _ in stream:
            pass
        streamed_calls = named(await stream.get_final_response())
    thinks: Any = {"model": "qwen/qwen3.8-27b", "reasoning": {"effort": "high"}}
    async with client.responses.stream(**thinks, input=HELLO) as stream:
        async for _ in stream:
            pass
        thinking = [item.type for item in (await stream.get_final_response()).output]
    parts = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": os.environ["PICTURE"]}]
    form = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
    failure = failing(openai.APIStatusError)
    return {
        "chat": (await ask()).output_text,
        "streamed": streamed,
        "usage": usage,
        "calls": named(await ask(input=BOTH, tools=flat)),
        "streamedCalls": streamed_calls,
        "thinking": thinking,
        "image": (await ask(input=[{"role": "user", "content": parts}])).output_text,
        "object": json.loads((await ask(text=form)).output_text),
        "wrong": await failure(ask(previous_response_id="resp_1")),
        "unknown": await failure(ask(model="gpt-9")),
        "stranger": await failure(ask(opened(GATEWAY, "nobody"))),
        "limited": await failure(ask(opened(LIMITED))),
        "limitedStream": await failure(ask(opened(LIMITED), stream=True)),
    }


async def anthropic_sdk() -> dict[str, Any]:
    import anthropic

    def opened(base: str, key: str = TOKEN) -> Any:
        return anthropic.AsyncAnthropic(base_url=base, api_key=key, max_retries=0)

    client = opened(GATEWAY)
    flat = [{"name": tool["function"]["name"], "input_schema": WEATHER} for tool in TOOLS]

    async def ask(to: Any = client, **more: Any) -> Any:
        return await to.messages.create(**{"model": "auto", "max_tokens": 500, "messages": HELLO} | more)

    def text(message: Any) -> str:
        return "".join(block.text for block in message.content if block.type == "text")

    def named(message: Any) -> list[Any]:
        calls = [block for block in message.content if block.type == "tool_use"]
        return [{"name": call.name, "arguments": json.dumps(call.input)} for call in calls]

    async with client.messages.stream(model="auto", max_tokens=500, messages=HELLO) as stream:
        streamed = "".join([piece async for piece in stream.text_stream])
        usage = (await stream.get_final_message()).usage.output_tokens
    async with client.messages.stream(model="auto", max_tokens=500, messages=BOTH, tools=flat) as stream:
        streamed_calls = named(await stream.get_final_message())
    runs: list[str] = []

    @anthropic.beta_async_tool
    async def get_weather(city: str) -> str:
        """The weather of a city."""
        runs.append(city)
        return "sunny"

    # the simulated model would call it for ever
    runner = client.beta.messages.tool_runner(
        model="auto",
        max_tokens=500,
        messages=[{"role": "user", "content": "Use get_weather"}],
        tools=[get_weather],
        max_iterations=2,
    )
    async for _ in runner:
        pass
    source = {"type": "base64", "media_type": "image/png", "data": os.environ["PICTURE"].split(",")[1]}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    failure = failing(anthropic.APIStatusError)
    return {
        "models": [model.id async for model in client.models.list()],
        "chat": text(await ask()),
        "streamed": streamed,
        "usage": usage,
        "calls": named(await ask(messages=BOTH, tools=flat)),
        "streamedCalls": streamed_calls,
        "image": text(await ask(messages=[{"role": "user", "content": content}])),
        "runs": len(runs),
        "object": json.loads(text(await ask(output_config={"format": {"type": "json_schema", "schema": PERSON}}))),
        "counted": (await client.messages.count_tokens(model="auto", messages=HELLO)).input_tokens,
        "wrong": await failure(ask(max_tokens=0)),
        "unknown": await failure(ask(model="gpt-9")),
        "stranger": await failure(ask(opened(GATEWAY, "nobody"))),
        "limited": await failure(ask(opened(LIMITED))),
        "limitedStream": await failure(ask(opened(LIMITED), stream=True)),
    }


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


def failing(error: type[Any]) -> Callable[[Awaitable[Any]], Awaitable[dict[str, Any]]]:
    """What an SDK makes of an error."""

    async def failure(work: Awaitable[Any]) -> dict[str, Any]:
        try:
            await work
        except error as raised:
            return {"status": raised.status_code, "said": str(raised), "wait": raised.response.headers.get("retry-after")}
        return {}

    return failure


async def asked(chat: Callable[..., Awaitable[Any]], error: type[Any], *, limited: Any, stranger: Any) -> dict[str, Any]:
    """All that can be asked of a chat."""
    failure = failing(error)
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
    made = {
        "openai": openai_sdk,
        "responses": responses_api,
        "anthropic": anthropic_sdk,
        "groq": groq_sdk,
        "litellm": litellm_sdk,
    }
    print(json.dumps(asyncio.run(made[sys.argv[1]]())))
