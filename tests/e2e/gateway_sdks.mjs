// Asks the gateway all that an SDK can ask, and prints what came back as one JSON object. argv: which SDK.
import fs from 'node:fs';

const { GATEWAY, LIMITED, TOKEN, RECORDING, PICTURE } = process.env;
const hello = [{ role: 'user', content: 'Say hello' }];
const weather = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = ['get_weather', 'get_time'].map((name) => ({ type: 'function', function: { name, parameters: weather } }));
const both = [{ role: 'user', content: 'Use get_weather and get_time' }];
const image = [{ role: 'user', content: [{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url: PICTURE } }] }];
const person = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'], additionalProperties: false };
const format = { type: 'json_schema', json_schema: { name: 'person', schema: person } };

async function failure(work) {
  try {
    await work();
  } catch (error) {
    const headers = error.headers ?? error.responseHeaders ?? {};
    const wait = headers.get ? headers.get('retry-after') : headers['retry-after'];
    return { status: error.status ?? error.statusCode, kind: error.constructor.name, said: error.message, wait };
  }
  return null;
}

// OpenAI's SDK and Groq's, which is made from the same template.
async function template(SDK, prefix) {
  const open = (base, apiKey) => new SDK({ baseURL: base + prefix, apiKey, maxRetries: 0 });
  const client = open(GATEWAY, TOKEN);
  const chat = (body, to = client) => to.chat.completions.create({ model: 'auto', messages: hello, ...body });
  const found = {};
  found.models = (await client.models.list()).data.map((row) => row.id);
  found.chat = (await chat({})).choices[0].message.content;
  found.streamed = '';
  for await (const chunk of await chat({ stream: true, stream_options: { include_usage: true } })) {
    found.streamed += chunk.choices[0]?.delta?.content ?? '';
    found.usage = chunk.usage?.total_tokens ?? found.usage;
  }
  found.calls = (await chat({ messages: both, tools })).choices[0].message.tool_calls.map((call) => call.function);
  found.streamedCalls = [];
  for await (const chunk of await chat({ messages: both, tools, stream: true })) {
    for (const call of chunk.choices[0]?.delta?.tool_calls ?? []) found.streamedCalls.push(call.function);
  }
  found.image = (await chat({ messages: image })).choices[0].message.content;
  found.object = JSON.parse((await chat({ response_format: format })).choices[0].message.content);
  const file = () => fs.createReadStream(RECORDING);
  found.transcript = (await client.audio.transcriptions.create({ model: 'whisper-large-v3-turbo', file: file() })).text;
  found.translation = (await client.audio.translations.create({ model: 'whisper-large-v3', file: file() })).text;
  const speech = { model: 'auto', voice: 'troy', input: 'Hello', response_format: 'wav' };
  found.speech = Buffer.from(await (await client.audio.speech.create(speech)).arrayBuffer()).toString('latin1', 0, 4);
  found.wrong = await failure(() => chat({ temperature: 'hot' }));
  found.unknown = await failure(() => chat({ model: 'gpt-9' }));
  found.stranger = await failure(() => chat({}, open(GATEWAY, 'nobody')));
  found.limited = await failure(() => chat({}, open(LIMITED, TOKEN)));
  found.limitedStream = await failure(() => chat({ stream: true }, open(LIMITED, TOKEN)));
  return found;
}

// OpenAI's SDK over its newer API.
async function responses() {
  const { default: SDK } = await import('openai');
  const open = (base, apiKey) => new SDK({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });
  const ask = (body, to = open(GATEWAY, TOKEN)) => to.responses.create({ model: 'auto', input: hello, ...body });
  const flat = tools.map((tool) => ({ type: 'function', strict: false, ...tool.function }));
  const named = (response) => response.output.filter((item) => item.type === 'function_call');
  const found = {};
  found.chat = (await ask({})).output_text;
  found.streamed = '';
  for await (const event of await ask({ stream: true })) {
    if (event.type === 'response.output_text.delta') found.streamed += event.delta;
    if (event.type === 'response.completed') found.usage = event.response.usage.total_tokens;
  }
  found.calls = named(await ask({ input: both, tools: flat }));
  const stream = open(GATEWAY, TOKEN).responses.stream({ model: 'auto', input: both, tools: flat });
  found.streamedCalls = named(await stream.finalResponse());
  const thinking = open(GATEWAY, TOKEN).responses.stream({ model: 'qwen/qwen3.8-27b', input: hello, reasoning: { effort: 'high' } });
  found.thinking = (await thinking.finalResponse()).output.map((item) => item.type);
  const parts = [{ type: 'input_text', text: 'What is it?' }, { type: 'input_image', image_url: PICTURE, detail: 'auto' }];
  found.image = (await ask({ input: [{ role: 'user', content: parts }] })).output_text;
  const text = { format: { type: 'json_schema', name: 'person', schema: person, strict: true } };
  found.object = JSON.parse((await ask({ text })).output_text);
  found.wrong = await failure(() => ask({ previous_response_id: 'resp_1' }));
  found.unknown = await failure(() => ask({ model: 'gpt-9' }));
  found.stranger = await failure(() => ask({}, open(GATEWAY, 'nobody')));
  found.limited = await failure(() => ask({}, open(LIMITED, TOKEN)));
  found.limitedStream = await failure(() => ask({ stream: true }, open(LIMITED, TOKEN)));
  return found;
}

async function anthropic() {
  const { default: SDK } = await import('@anthropic-ai/sdk');
  const open = (base, apiKey) => new SDK({ baseURL: base, apiKey, authToken: null, maxRetries: 0 });
  const client = open(GATEWAY, TOKEN);
  const ask = (body, to = client) => to.messages.create({ model: 'auto', max_tokens: 500, messages: hello, ...body });
  const textOf = (message) => message.content.filter((block) => block.type === 'text').map((block) => block.text).join('');
  const flat = tools.map(({ function: { name } }) => ({ name, input_schema: weather }));
  const named = (message) =>
    message.content.filter((block) => block.type === 'tool_use').map((block) => ({ name: block.name, arguments: JSON.stringify(block.input) }));
  const found = {};
  found.models = (await client.models.list()).data.map((row) => row.id);
  found.chat = textOf(await ask({}));
  const stream = client.messages.stream({ model: 'auto', max_tokens: 500, messages: hello });
  found.streamed = '';
  stream.on('text', (text) => { found.streamed += text; });
  found.usage = (await stream.finalMessage()).usage.output_tokens;
  found.calls = named(await ask({ messages: both, tools: flat }));
  found.streamedCalls = named(await client.messages.stream({ model: 'auto', max_tokens: 500, messages: both, tools: flat }).finalMessage());
  const source = { type: 'base64', media_type: 'image/png', data: PICTURE.split(',')[1] };
  found.image = textOf(await ask({ messages: [{ role: 'user', content: [{ type: 'image', source }, { type: 'text', text: 'What is it?' }] }] }));
  found.object = JSON.parse(textOf(await ask({ output_config: { format: { type: 'json_schema', schema: person } } })));
  found.counted = (await client.messages.countTokens({ model: 'auto', messages: hello })).input_tokens;
  found.wrong = await failure(() => ask({ max_tokens: 0 }));
  found.unknown = await failure(() => ask({ model: 'gpt-9' }));
  found.stranger = await failure(() => ask({}, open(GATEWAY, 'nobody')));
  found.limited = await failure(() => ask({}, open(LIMITED, TOKEN)));
  found.limitedStream = await failure(() => ask({ stream: true }, open(LIMITED, TOKEN)));
  return found;
}

async function vercel() {
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const { generateText, streamText, tool, jsonSchema, Output } = await import('ai');
  const open = (base, apiKey) =>
    createOpenAICompatible({ name: 'groq-fallback', baseURL: `${base}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true });
  const model = open(GATEWAY, TOKEN)('auto');
  const ask = (more, of = model) => generateText({ model: of, prompt: 'Say hello', maxRetries: 0, ...more });
  const offered = Object.fromEntries(tools.map(({ function: { name } }) => [name, tool({ inputSchema: jsonSchema(weather) })]));
  const named = (calls) => calls.map((call) => ({ name: call.toolName, arguments: JSON.stringify(call.input) }));
  const found = {};
  found.chat = (await ask({})).text;
  const stream = streamText({ model, prompt: 'Say hello' });
  found.streamed = '';
  for await (const text of stream.textStream) found.streamed += text;
  found.usage = (await stream.totalUsage).totalTokens;
  found.calls = named((await ask({ prompt: both[0].content, tools: offered })).toolCalls);
  const calling = streamText({ model, prompt: both[0].content, tools: offered });
  await calling.consumeStream();
  found.streamedCalls = named(await calling.toolCalls);
  const parts = [{ type: 'text', text: 'What is it?' }, { type: 'file', mediaType: 'image/png', data: PICTURE.split(',')[1] }];
  found.image = (await ask({ prompt: undefined, messages: [{ role: 'user', content: parts }] })).text;
  found.object = (await ask({ output: Output.object({ schema: jsonSchema(person) }) })).output;
  found.wrong = await failure(() => ask({ providerOptions: { 'groq-fallback': { logit_bias: { 1: 1 }, logprobs: true } } }));
  found.unknown = await failure(() => ask({}, open(GATEWAY, TOKEN)('gpt-9')));
  found.stranger = await failure(() => ask({}, open(GATEWAY, 'nobody')('auto')));
  found.limited = await failure(() => ask({}, open(LIMITED, TOKEN)('auto')));
  const errors = [];
  await streamText({ model: open(LIMITED, TOKEN)('auto'), prompt: 'hi', maxRetries: 0, onError: ({ error }) => errors.push(error) }).consumeStream();
  found.limitedStream = await failure(() => { throw errors[0]; });
  return found;
}

const sdks = {
  openai: async () => template((await import('openai')).default, '/v1'),
  groq: async () => template((await import('groq-sdk')).default, ''),
  responses,
  anthropic,
  vercel,
};
console.log(JSON.stringify(await sdks[process.argv[2]]()));
