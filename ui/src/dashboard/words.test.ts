import assert from "node:assert/strict";
import { test } from "node:test";
import { reason } from "./words";

test("why something was not done is said in a sentence, whoever says it", () => {
  for (const [text, said] of [
    ['{"title":"this was not done","detail":"a silence needs a reason","status":409}', "This was not done: a silence needs a reason"],
    ['{"title":"too many at once"}', "Too many at once"],
    ['{"title":"who are you?","detail":"log in"}', "Who are you? log in"],
    ["<html>Bad gateway</html>", "This was not done: status 502"],
    ["null", "This was not done: status 502"],
    ['{"title":7,"detail":""}', "This was not done: status 502"],
  ] as const) {
    assert.equal(reason(502, text), said);
  }
});
