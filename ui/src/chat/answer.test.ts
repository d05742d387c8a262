import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, type AnswerEvent } from "./answer";

const event = (name: string, data: object) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const start = event("start", { conversationId: "c1" });
const words = event("delta", { keep: 0, html: "<p>one</p>" });
const done = event("done", { credits: 49, model: "m" });
const stream = (...events: string[]) => new Response(events.join(""), { headers: { "content-type": "text/event-stream" } });

/** Asks a server that gives these answers, one after the other; says what was told and what was sent. */
async function answered(answers: (Response | Error)[], signal = new AbortController().signal) {
  const [told, sent]: [AnswerEvent[], string[]] = [[], []];
  Object.assign(globalThis, {
    addEventListener: () => undefined,
    fetch: async (_: string, { body }: { body: URLSearchParams }) => {
      sent.push(body.toString());
      const answer = answers.shift() ?? new Error("no more");
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  await ask("/ask", new URLSearchParams({ key: "k", conversation: "" }), signal, (one) => told.push(one));
  return { kinds: told.map(({ kind }) => kind), last: told.at(-1), sent };
}

test("an answer that comes whole is asked for once", async () => {
  const { kinds, sent } = await answered([stream(start, words, done)]);
  assert.deepEqual([kinds, sent], [["start", "delta", "done"], ["key=k&conversation="]]);
});

test("a stream that breaks off is picked up with the same key, in its conversation", async () => {
  const away = new Response("", { status: 503 });
  const { kinds, sent } = await answered([stream(start, words), away, new TypeError("offline"), stream(start, words, done)]);
  assert.deepEqual(kinds, ["start", "delta", "lost", "start", "delta", "done"]);
  assert.deepEqual(new Set(sent.slice(1)), new Set(["key=k&conversation=c1"]));
});

test("what the service lost on its way is asked for again", async () => {
  const lost = event("error", { code: "backend_away", message: "away", kept: true });
  const { kinds } = await answered([stream(start, words, lost), stream(start, words, done)]);
  assert.deepEqual(kinds, ["start", "delta", "lost", "start", "delta", "done"]);
});

test("a refusal is final", async () => {
  const problem = Response.json({ code: "backend_away", detail: "Try again shortly." }, { status: 503 });
  assert.deepEqual((await answered([problem])).last, { kind: "failed", code: "backend_away", message: "Try again shortly." });
  const broke = event("error", { code: "out_of_credits", message: "No credits.", kept: false });
  assert.deepEqual((await answered([stream(start, broke)])).last, { kind: "failed", code: "out_of_credits", message: "No credits.", kept: false });
});

test("where nothing begins it is given up after a few tries", async () => {
  const { kinds, last, sent } = await answered([]);
  assert.deepEqual([kinds, sent.length], [["lost", "failed"], 4]);
  assert.equal(last?.kind === "failed" && last.code, "broken_off");
});

test("who stops is not asked for again", async () => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 100);
  await assert.rejects(answered([stream(start, words)], stop.signal));
});
