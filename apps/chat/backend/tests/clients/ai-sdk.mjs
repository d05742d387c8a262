// The AI SDK (`ai` with `@ai-sdk/openai-compatible`) against chat-backend, as with any provider of OpenAI's protocol (`checks.mjs` says how).
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateObject, generateText, RetryError, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { balance, base, breakOnce, brokeKey, holds, impatiently, is, key, paid, remembering, run, slowKey } from './checks.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

const prompt = 'one two three';
const answer = 'You said: one two three';
const look = tool({
  description: 'looks',
  inputSchema: z.object({ said: z.string() }),
  execute: async ({ said }) => said.length,
});

function mana(options = {}) {
  return createOpenAICompatible({ name: 'mana', baseURL: base, apiKey: key, includeUsage: true, supportsStructuredOutputs: true, ...options });
}
const echo = mana()('echo');
const once = { model: echo, maxRetries: 0 };

async function fails(what, call, status, code) {
  try {
    await call();
    is(what, 'no error', `${status} ${code}`);
  } catch (error) {
    // After retries the last failure is within.
    const cause = RetryError.isInstance(error) ? error.lastError : error;
    holds(`${what}: kind of error: ${error}`, APICallError.isInstance(cause));
    is(`${what}: status and code`, [cause.statusCode, cause.data?.error?.code], [status, code]);
    is(`${what}: worth another try`, cause.isRetryable, status === 429 || status >= 500);
  }
}

/** All parts of a stream; what fails is a part, not a throw. */
async function parts(options) {
  const stream = streamText({ ...once, ...options, onError: () => {} });
  const all = [];
  for await (const part of stream.fullStream) all.push(part);
  return all;
}

await run({
  async 'a plain answer'() {
    const { text, finishReason, usage, response } = await generateText({ ...once, prompt, temperature: 0, seed: 7 });
    is('text', text, answer);
    is('finish', finishReason, 'stop');
    is('usage', usage.totalTokens, usage.inputTokens + usage.outputTokens);
    holds('tokens', usage.inputTokens > 0 && usage.outputTokens > 0);
    holds('id', response.id.startsWith('chatcmpl-'));
    is('model', response.modelId, 'echo');
  },

  async 'a stream in pieces, with its usage'() {
    const all = await parts({ prompt });
    const texts = all.filter((part) => part.type === 'text-delta').map((part) => part.text);
    holds('several pieces', texts.length > 3);
    is('text', texts.join(''), answer);
    const finish = all.find((part) => part.type === 'finish');
    is('finish', finish?.finishReason, 'stop');
    holds('tokens', finish?.totalUsage.outputTokens > 0);
    is('failures', all.filter((part) => part.type === 'error'), []);
  },

  async 'tools are called, and their results are read, plain and streamed'() {
    const options = { ...once, prompt: '[call=1] hi', tools: { look }, stopWhen: stepCountIs(2) };
    const plain = await generateText(options);
    const stream = streamText(options);
    for (const steps of [plain.steps, await stream.steps]) {
      is('steps', steps.length, 2);
      for (const step of steps) {
        is('finish', step.finishReason, 'tool-calls');
        is('call', step.toolCalls.map(({ toolName, input }) => [toolName, input]), [['look', { said: 'You said: hi' }]]);
        is('result', step.toolResults.map(({ output }) => output), ['You said: hi'.length]);
      }
    }
  },

  async 'an object of a schema'() {
    const { object } = await generateObject({ ...once, prompt, schema: z.object({ said: z.string() }) });
    is('object', object, { said: answer });
  },

  async 'what the SDK does not know reaches the service'() {
    const { text } = await generateText({ ...once, prompt, providerOptions: { mana: { n: 2, user: 'ada' } } });
    is('the first of several', text, answer);
  },

  async 'failures have their kind, status and code'() {
    const stranger = mana({ apiKey: 'sk-wrong' });
    await fails('wrong key', () => generateText({ ...once, model: stranger('echo'), prompt }), 401, 'invalid_api_key');
    await fails('unknown model', () => generateText({ ...once, model: mana()('gpt-0'), prompt }), 404, 'model_not_found');
    await fails('too long', () => generateText({ ...once, prompt: 'x'.repeat(32_001) }), 400, 'invalid_value');
    await fails('model fails', () => generateText({ ...once, model: mana()('echo-fail'), prompt }), 502, 'model_failed');
    if (!brokeKey) return;
    const broke = mana({ apiKey: brokeKey });
    await fails('broke', () => generateText({ ...once, model: broke('echo'), prompt, maxRetries: 2 }), 402, 'insufficient_quota');
  },

  async 'a stream that breaks is a failure, not a short answer'() {
    const all = await parts({ model: mana()('echo-abort'), prompt });
    const failure = all.find((part) => part.type === 'error');
    is('code', failure?.error?.code, 'model_stream_broken');
    is('finish', all.find((part) => part.type === 'finish')?.finishReason, 'error');
  },

  async 'a stream is aborted, and what was told is charged once'() {
    const before = await balance();
    const stop = new AbortController();
    const stream = streamText({ ...once, prompt: '[delay=50] [words=200]', abortSignal: stop.signal });
    let aborted = false;
    let pieces = 0;
    for await (const part of stream.fullStream) {
      aborted ||= part.type === 'abort';
      if (part.type === 'text-delta' && (pieces += 1) === 2) stop.abort();
    }
    holds('told so', aborted);
    is('charged', await paid(before - 1), before - 1);
  },

  async 'a limit is waited for as long as it says'() {
    const [fetch, answers] = remembering();
    const model = mana({ apiKey: await slowKey(), fetch })('echo');
    const ask = () => generateText({ model, prompt, maxRetries: 1 });
    await ask();
    const waits = await impatiently(() => fails('limited', ask, 429, 'rate_limit_exceeded'));
    const limited = answers.filter(({ status }) => status === 429);
    is('asked twice', limited.length, 2);
    is('waited', waits, [Number(limited[0]?.headers.get('retry-after')) * 1000]);
  },

  async 'what is away for a moment is asked again'() {
    if (!process.env.CONTROL) return;
    const [fetch, answers] = remembering();
    const model = mana({ fetch })('echo');
    for (const ask of [async () => (await generateText({ model, prompt })).text, async () => await streamText({ model, prompt }).text]) {
      answers.length = 0;
      await breakOnce();
      const waits = await impatiently(async () => is('text', await ask(), answer));
      is('statuses', answers.map(({ status }) => status), [503, 200]);
      is('waits', waits, [Number(answers[0].headers.get('retry-after')) * 1000]);
    }
  },
});
