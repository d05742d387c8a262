import assert from "node:assert/strict";
import { test } from "node:test";
import { carried } from "./links";

test("a link leads to the time that is looked at, where there is one to show", () => {
  const zoomed = "from=1700000000&to=1700000060";
  for (const [path, time, expected] of [
    ["/services/chat-web", "last=7d&previous=1", "/services/chat-web?last=7d&previous=1"],
    ["/services/chat-web?last=1h", "last=7d", "/services/chat-web?last=7d"],
    ["/services/chat-web", "", "/services/chat-web"],
    ["/logs?service=chat-web", zoomed, "/logs?service=chat-web&from=2023-11-14T22%3A13%3A20&to=2023-11-14T22%3A14%3A20"],
    ["/logs", "last=7d", "/logs"],
    ["/rollouts/7", zoomed, "/rollouts/7"],
  ] as const) {
    const found = carried(new URL(path, "https://ops.example"), new URLSearchParams(time));
    assert.equal(found.pathname + found.search, expected, path);
  }
});
