// What is wrong with a page that is open in a browser: wider than its screen, or a violation that axe finds. For the scripts that drive browsers.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Everything that is wrong, so that all of it is told at once. */
export async function faults(page, what) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const tooWide = wider > 0 ? [`${what}: ${wider} px wider than the screen`] : [];
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
  });
  return [...tooWide, ...found.map((one) => `${what}: ${one}`)];
}
