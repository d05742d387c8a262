// One question and the answer to it, as chat-web streams it. A stream that breaks off is picked up again: the same form is sent once
// more, and its key says that it is the same question, so that it is answered and paid for once.
import { EventReader } from "./sse";

/** What comes of a question. */
export type AnswerEvent =
  | { kind: "start"; conversationId: string }
  | { kind: "delta"; keep: number; html: string }
  | { kind: "lost" }
  | { kind: "done"; credits: number; model: string }
  | { kind: "failed"; code: string; message: string; kept?: boolean };

/** Silence after which a stream counts as broken; the server sends a sign of life every ten seconds. */
const MAX_SILENCE_MS = 30_000;

/** Pauses before the answer is asked for again; where nothing had begun, only the first few. */
const PAUSES_MS = [300, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 30_000];
const PAUSES_BEFORE_IT_BEGAN = 3;

/** How nobody knows what became of it. */
export const BROKEN_OFF = "broken_off";

/** What the page is told where chat-web lost the answer itself, and can ask for it again. */
const LOST_ON_THE_WAY = "backend_away";

const BROKEN: AnswerEvent = {
  kind: "failed",
  code: BROKEN_OFF,
  message: "The connection broke off before the answer was complete. Send it again, or reload the page: it is charged once.",
};

/** Sends the form and gives each event to `on`; the last one is `done` or `failed`. Throws only when `signal` aborts. */
export async function ask(action: string, form: URLSearchParams, signal: AbortSignal, on: (event: AnswerEvent) => void): Promise<void> {
  let begun = false;
  const listen = (event: AnswerEvent) => {
    if (event.kind === "start") {
      begun = true;
      // From now on it is a question in this conversation, also when it is sent again.
      form.set("conversation", event.conversationId);
    }
    on(event);
  };
  for (let tries = 0; ; tries += 1) {
    if (await once(action, form, signal, tries > 0, listen)) return;
    const pause = begun || tries < PAUSES_BEFORE_IT_BEGAN ? PAUSES_MS[tries] : undefined;
    if (pause === undefined) return on(BROKEN);
    if (tries === 0) on({ kind: "lost" });
    await wait(pause, signal);
  }
}

/** Whether it came to an end; otherwise it was lost on the way. */
async function once(action: string, form: URLSearchParams, signal: AbortSignal, again: boolean, on: (event: AnswerEvent) => void): Promise<boolean> {
  const silence = new AbortController();
  try {
    const answer = await fetch(action, {
      method: "POST",
      headers: { accept: "text/event-stream" },
      body: form,
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (answer.ok && answer.body !== null) return await read(answer.body, silence, on);
    // While services are restarted, those in between answer.
    if (again && answer.status >= 500) return false;
    on(await refused(answer));
    return true;
  } catch (error) {
    if (signal.aborted) throw error;
    return false;
  }
}

async function read(body: ReadableStream<Uint8Array>, silence: AbortController, on: (event: AnswerEvent) => void): Promise<boolean> {
  const events = new EventReader();
  const text = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const timer = setTimeout(() => silence.abort(), MAX_SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return false;
    for (const { name, data } of events.push(text.decode(value, { stream: true }))) {
      const event = { kind: name === "error" ? "failed" : name, ...JSON.parse(data) } as AnswerEvent;
      if (event.kind === "failed" && event.code === LOST_ON_THE_WAY) return false;
      on(event);
      if (event.kind === "done" || event.kind === "failed") return true;
    }
  }
}

async function refused(answer: Response): Promise<AnswerEvent> {
  const problem: { code?: string; detail?: string } = await answer.json().catch(() => ({}));
  const message = problem.detail ?? "The server gave no answer. Nothing was charged; try again shortly.";
  return { kind: "failed", code: problem.code ?? "refused", message };
}

/** Waits, but not longer than until the device is online again. */
function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const end = (how: () => void) => {
      over.abort();
      clearTimeout(timer);
      how();
    };
    const timer = setTimeout(() => end(resolve), ms);
    addEventListener("online", () => end(resolve), { signal: over.signal });
    signal.addEventListener("abort", () => end(() => reject(signal.reason)), { signal: over.signal });
    if (signal.aborted) end(() => reject(signal.reason));
  });
}
