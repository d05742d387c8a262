import assert from "node:assert/strict";
import { test } from "node:test";
import { age, isOld } from "./age";

test("a page that was not renewed for some minutes is old", () => {
  assert.deepEqual([0, 60_000, 180_000, 180_001].map(isOld), [false, false, false, true]);
});

test("an age is said in one unit", () => {
  for (const [minutes, text] of [[1, "1 minute"], [4, "4 minutes"], [119, "119 minutes"], [120, "2 hours"], [2_879, "47 hours"], [2_880, "2 days"]] as const) {
    assert.equal(age(minutes * 60_000), text);
  }
});
