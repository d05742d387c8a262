import assert from "node:assert/strict";
import { test } from "node:test";
import { EventReader, type ServerEvent } from "./sse";

const stream = ': hello\n\nevent: delta\ndata: {"content":"Grüße 👋"}\n\ndata: a\ndata: b\r\n\r\nevent: done\ndata: {}\n\n';
const expected: ServerEvent[] = [
  { name: "delta", data: '{"content":"Grüße 👋"}' },
  { name: "message", data: "a\nb" },
  { name: "done", data: "{}" },
];

test("events are the same wherever the stream is cut", () => {
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const reader = new EventReader();
    const events = [...reader.push(stream.slice(0, cut)), ...reader.push(stream.slice(cut))];
    assert.deepEqual(events, expected, `cut at ${cut}`);
  }
});

test("an unfinished event is not given", () => {
  assert.deepEqual(new EventReader().push("event: done\ndata: {}\n"), []);
});

test("an event without an end is refused rather than kept", () => {
  const reader = new EventReader();
  assert.throws(() => reader.push(`data: ${"x".repeat(1_000_001)}`));
});
