// The official OpenAI client against chat-backend: only base URL and key differ from its use with OpenAI (`checks.mjs` says how).
import OpenAI from 'openai';
import { balance, base, breakOnce, brokeKey, holds, impatiently, is, key, paid, remembering, run, slowKey } from './checks.mjs';

const client = new OpenAI({ baseURL: base, apiKey: key, maxRetries: 0, timeout: 20_000 });
const question = [{ role: 'user', content: 'one two three' }];
const answer = 'You said: one two three';

async function fails(what, call, type, status, code) {
  try {
    await call();
    is(what, 'no error', `${status} ${code}`);
  } catch (error) {
    is(`${what}: kind of error`, error instanceof type, true);
    is(`${what}: status and code`, [error.status, error.code], [status, code]);
    holds(`${what}: has a message`, error.message);
  }
}

await run({
  async 'models are listed and found by id'() {
    const models = (await client.models.list()).data;
    holds('a list of models', models.length > 0);
    const echo = models.find((model) => model.id === 'echo');
    is('object', echo?.object, 'model');
    is('types', [typeof echo?.created, typeof echo?.owned_by], ['number', 'string']);
    is('retrieve', (await client.models.retrieve('echo')).id, 'echo');
  },

  async 'a plain answer has the shape of OpenAI'() {
    const completion = await client.chat.completions.create({ model: 'echo', messages: question, temperature: 0 });
    is('object', completion.object, 'chat.completion');
    is('model', completion.model, 'echo');
    holds('id', completion.id.startsWith('chatcmpl-'));
    holds('created in seconds', Math.abs(completion.created - Date.now() / 1000) < 300);
    is('choices', completion.choices.length, 1);
    const [choice] = completion.choices;
    is('choice', [choice.index, choice.finish_reason], [0, 'stop']);
    is('message', [choice.message.role, choice.message.content], ['assistant', answer]);
    is('usage', completion.usage?.total_tokens, completion.usage?.prompt_tokens + completion.usage?.completion_tokens);
    holds('request id', completion._request_id);
  },

  async 'content may come in text parts'() {
    const content = [{ type: 'text', text: 'one two' }, { type: 'text', text: ' three' }];
    const completion = await client.chat.completions.create({ model: 'echo', messages: [{ role: 'user', content }] });
    is('content', completion.choices[0].message.content, answer);
  },

  async 'a stream comes in pieces and ends in order'() {
    const stream = await client.chat.completions.create({ model: 'echo', messages: question, stream: true });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    holds('several pieces', chunks.length > 4);
    is('one id', new Set(chunks.map((chunk) => chunk.id)).size, 1);
    is('object', chunks[0].object, 'chat.completion.chunk');
    is('first names the role', chunks[0].choices[0].delta.role, 'assistant');
    is('text', chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), answer);
    is('last finishes', chunks.at(-1).choices[0].finish_reason, 'stop');
    holds('no usage unasked', chunks.every((chunk) => chunk.usage == null));
  },

  async 'usage comes when asked for'() {
    const stream = await client.chat.completions.create({
      model: 'echo', messages: question, stream: true, stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.at(-1);
    is('choices of the last', last.choices, []);
    holds('usage of the last', last.usage?.total_tokens > 0);
    holds('usage of the others is null', chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  },

  async 'tools are called, plain and streamed'() {
    const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } }];
    const messages = [{ role: 'user', content: '[call=1] hi' }];
    const plain = await client.chat.completions.create({ model: 'echo', messages, tools });
    is('finish', plain.choices[0].finish_reason, 'tool_calls');
    const stream = client.chat.completions.stream({ model: 'echo', messages, tools });
    const streamed = await stream.finalMessage();
    for (const message of [plain.choices[0].message, streamed]) {
      const call = message.tool_calls?.[0];
      is('call', [call?.id, call?.function.name, call?.function.arguments], ['call_0', 'look', '{"said":"You said: hi"}']);
    }
  },

  async 'several choices and pictures'() {
    const content = [{ type: 'text', text: 'see' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }];
    const body = { model: 'echo', n: 2, seed: 1, stop: ['x'], messages: [{ role: 'user', content }] };
    const completion = await client.chat.completions.create(body);
    is('choices', completion.choices.map((choice) => choice.message.content), Array(2).fill('You said: see [image_url]'));
  },

  async 'the same key is the same call, and another body is not retried'() {
    const options = { headers: { 'Idempotency-Key': `key-${Date.now()}` }, maxRetries: 2 };
    const create = (content) => client.chat.completions.create({ model: 'echo', messages: [{ role: 'user', content }] }, options);
    is('id', (await create('one')).id, (await create('one')).id);
    const started = Date.now();
    await fails('another body', () => create('two'), OpenAI.ConflictError, 409, 'idempotency_key_reused');
    holds('not retried', Date.now() - started < 400);
  },

  async 'the stream helper puts the answer together'() {
    const stream = client.chat.completions.stream({ model: 'echo', messages: question });
    is('final content', await stream.finalContent(), answer);
  },

  async 'an answer has the form that was asked for'() {
    const schema = { type: 'object', properties: { said: { type: 'string' } }, required: ['said'], additionalProperties: false };
    for (const response_format of [{ type: 'json_object' }, { type: 'json_schema', json_schema: { name: 'said', strict: true, schema } }]) {
      const completion = await client.chat.completions.parse({ model: 'echo', messages: question, response_format });
      is(response_format.type, JSON.parse(completion.choices[0].message.content), { said: answer });
    }
  },

  async 'a stream can be stopped, and what was told is charged once'() {
    const before = await balance();
    const messages = [{ role: 'user', content: '[delay=50] [words=200]' }];
    const stream = await client.chat.completions.create({ model: 'echo', messages, stream: true });
    let pieces = 0;
    for await (const chunk of stream) {
      pieces += chunk.choices[0]?.delta.content ? 1 : 0;
      if (pieces === 2) break;
    }
    is('pieces before the stop', pieces, 2);
    is('charged', await paid(before - 1), before - 1);
  },

  async 'errors are those of OpenAI'() {
    const create = (body) => client.chat.completions.create({ model: 'echo', messages: question, ...body });
    const stranger = new OpenAI({ baseURL: base, apiKey: 'sk-wrong', maxRetries: 0 });
    await fails('wrong key', () => stranger.models.list(), OpenAI.AuthenticationError, 401, 'invalid_api_key');
    await fails('unknown model', () => create({ model: 'gpt-0' }), OpenAI.NotFoundError, 404, 'model_not_found');
    await fails('no messages', () => create({ messages: [] }), OpenAI.BadRequestError, 400, 'invalid_value');
    await fails('unknown role', () => create({ messages: [{ role: 'robot', content: 'x' }] }), OpenAI.BadRequestError, 400, 'invalid_value');
    await fails('too many choices', () => create({ n: 9 }), OpenAI.BadRequestError, 400, 'unsupported_parameter');
    await fails('model fails', () => create({ model: 'echo-fail' }), OpenAI.InternalServerError, 502, 'model_failed');
  },

  async 'a stream that breaks is an error, not a short answer'() {
    const stream = await client.chat.completions.create({ model: 'echo-abort', messages: question, stream: true });
    try {
      for await (const chunk of stream) void chunk;
      is('broken stream', 'ended quietly', 'an error');
    } catch (error) {
      holds('broken stream: kind of error', error instanceof OpenAI.APIError);
      is('broken stream: code', error.code, 'model_stream_broken');
    }
  },

  async 'a limit is waited for as long as it says'() {
    const [fetch, answers] = remembering();
    const slow = new OpenAI({ baseURL: base, apiKey: await slowKey(), maxRetries: 1, fetch });
    const ask = () => slow.chat.completions.create({ model: 'echo', messages: question });
    await ask();
    const waits = await impatiently(() => fails('limited', ask, OpenAI.RateLimitError, 429, 'rate_limit_exceeded'));
    const limited = answers.filter((answer) => answer.status === 429);
    is('asked twice', limited.length, 2);
    const after = Number(limited[0]?.headers.get('retry-after'));
    holds(`a wait that clients accept: ${after} s`, after >= 1 && after < 60);
    is('waited', waits, [after * 1000]);
  },

  async 'what is away for a moment is asked again'() {
    if (!process.env.CONTROL) return;
    const [fetch, answers] = remembering();
    const patient = new OpenAI({ baseURL: base, apiKey: key, maxRetries: 2, fetch });
    for (const stream of [false, true]) {
      answers.length = 0;
      await breakOnce();
      const waits = await impatiently(async () => {
        const told = await patient.chat.completions.create({ model: 'echo', messages: question, stream });
        if (stream) for await (const chunk of told) void chunk;
      });
      is(`statuses, stream ${stream}`, answers.map((answer) => answer.status), [503, 200]);
      is(`waits, stream ${stream}`, waits, [Number(answers[0].headers.get('retry-after')) * 1000]);
    }
    await breakOnce();
    const once = () => client.chat.completions.create({ model: 'echo', messages: question });
    await fails('ledger away', once, OpenAI.InternalServerError, 503, 'ledger_unavailable');
  },

  async 'without credits there is no answer'() {
    if (!brokeKey) return;
    const broke = new OpenAI({ baseURL: base, apiKey: brokeKey });
    const started = Date.now();
    for (const stream of [false, true]) {
      const call = () => broke.chat.completions.create({ model: 'echo', messages: question, stream });
      await fails(`broke, stream ${stream}`, call, OpenAI.APIError, 402, 'insufficient_quota');
    }
    holds('not retried', Date.now() - started < 900);
  },
});
