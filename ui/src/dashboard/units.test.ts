import assert from "node:assert/strict";
import { test } from "node:test";
import { form } from "./units";

test("numbers have the unit that suits them, and no digit too many", () => {
  assert.equal(form(0.45, "seconds"), "450 ms");
  assert.equal(form(1.25, "seconds"), "1.25 s");
  assert.equal(form(0.0004, "seconds"), "0.4 ms");
  assert.equal(form(0, "seconds"), "0 ms");
  assert.equal(form(1234.4, "requests"), "1234/s");
  assert.equal(form(0.002, "share"), "0.2 %");
  assert.equal(form(25_000_000, "bytes"), "23.8 MiB");
  assert.equal(form(0.0015, "cores"), "0.0015");
  assert.equal(form(512, "bytes"), "512 B");
});
