// Questions that are not answered yet, kept for this tab, so that a page that is loaded again picks its answer up. Sent with the same
// key a question is the same question, whatever became of it meanwhile.

/** A question on its way. */
export interface Asked {
  /** The fields that are sent, the key among them. */
  fields: [string, string][];
  /** What the page says is asked. */
  question: string;
  /** The id of the message in whose place it is asked, or whose answer is given again; empty: at the end. */
  from: string;
  /** The id of the last message that was kept when it was asked. */
  last: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** After this time whoever asked has gone on to something else. */
const MAX_AGE_MS = 10 * 60_000;

const PREFIX = "asked:";

export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The question on its way in a conversation; empty for one that is yet to begin. */
export function find(conversation: string): Asked | undefined {
  const text = sessionStorage.getItem(PREFIX + conversation);
  if (text === null) return undefined;
  const asked = JSON.parse(text) as Asked;
  if (Date.now() - asked.at < MAX_AGE_MS) return asked;
  forget(conversation);
  return undefined;
}

export function keep(conversation: string, asked: Asked): void {
  try {
    sessionStorage.setItem(PREFIX + conversation, JSON.stringify(asked));
  } catch {
    // No room, or none allowed: then a page that is loaded again shows what is kept by then.
  }
}

export function forget(conversation: string): void {
  sessionStorage.removeItem(PREFIX + conversation);
}

/** The key to ask with: that of the same question, where it is not known what became of it. */
export function keyFor(conversation: string, fields: [string, string][]): string {
  const before = find(conversation)?.fields ?? [];
  const key = before.find(([name]) => name === "key")?.[1];
  const same = (list: [string, string][]) => JSON.stringify(list.filter(([name]) => name !== "key" && name !== "csrf"));
  return key !== undefined && same(before) === same(fields) ? key : newKey();
}
