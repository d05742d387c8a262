// One question and the answer to it, as chat-web streams it.
import { EventReader } from "./sse";

/** What comes of a question. */
export type AnswerEvent =
  | { kind: "start"; conversationId: string }
  | { kind: "delta"; content: string }
  | { kind: "done"; credits: number; model: string }
  | { kind: "failed"; code: string; message: string; kept?: boolean };

/** Silence after which a stream counts as broken; the server sends a sign of life every ten seconds. */
const MAX_SILENCE_MS = 30_000;

const BROKEN: AnswerEvent = {
  kind: "failed",
  code: "broken_off",
  message: "The connection broke off before the answer was complete. Reload the page to see what was kept.",
};

/** Sends the form and gives each event to `on`; the last one is `done` or `failed`. Throws only when `signal` aborts. */
export async function ask(action: string, form: FormData, signal: AbortSignal, on: (event: AnswerEvent) => void): Promise<void> {
  const silence = new AbortController();
  const both = AbortSignal.any([signal, silence.signal]);
  try {
    const answer = await fetch(action, {
      method: "POST",
      headers: { accept: "text/event-stream" },
      body: new URLSearchParams(form as unknown as Record<string, string>),
      signal: both,
    });
    if (!answer.ok || answer.body === null) return on(await refused(answer));
    await read(answer.body, silence, on);
  } catch (error) {
    if (signal.aborted) throw error;
    on(BROKEN);
  }
}

async function read(body: ReadableStream<Uint8Array>, silence: AbortController, on: (event: AnswerEvent) => void) {
  const events = new EventReader();
  const text = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const timer = setTimeout(() => silence.abort(), MAX_SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return on(BROKEN);
    for (const { name, data } of events.push(text.decode(value, { stream: true }))) {
      const event = { kind: name === "error" ? "failed" : name, ...JSON.parse(data) } as AnswerEvent;
      on(event);
      if (event.kind === "done" || event.kind === "failed") return;
    }
  }
}

async function refused(answer: Response): Promise<AnswerEvent> {
  const problem: { code?: string; detail?: string } = await answer.json().catch(() => ({}));
  const message = problem.detail ?? "The server gave no answer. Nothing was charged; try again shortly.";
  return { kind: "failed", code: problem.code ?? "refused", message };
}
