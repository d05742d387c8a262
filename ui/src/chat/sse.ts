// Server-sent events out of chunks of text, cut anywhere. Pure; `EventSource` itself cannot send a POST.

export interface ServerEvent {
  name: string;
  data: string;
}

/** Longest unfinished event that is kept; beyond it the stream is not one of ours. */
const MAX_PENDING_CHARS = 1_000_000;

/** Reads one stream: give it each chunk, get the events that are complete. */
export class EventReader {
  #pending = "";

  push(chunk: string): ServerEvent[] {
    this.#pending += chunk.replaceAll("\r", "");
    const blocks = this.#pending.split("\n\n");
    this.#pending = blocks.pop() ?? "";
    if (this.#pending.length > MAX_PENDING_CHARS) throw new Error("an event of the stream is too long");
    return blocks.map(parse).filter((event) => event !== undefined);
  }
}

function parse(block: string): ServerEvent | undefined {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    // A line that begins with a colon is a comment, sent to keep a silent stream open.
    if (colon < 1) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (line.startsWith("event:")) name = value;
    if (line.startsWith("data:")) data.push(value);
  }
  return data.length > 0 ? { name, data: data.join("\n") } : undefined;
}
