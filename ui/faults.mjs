// What is wrong with a page that is open in a browser: wider than its screen, or a violation that axe finds. For the scripts that drive browsers.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Everything that is wrong, so that all of it is told at once. */
export async function faults(page, what) {
  const [wider, by] = await page.evaluate(() => {
    const root = document.documentElement;
    // What stands absolutely may do so beside what scrolls.
    const scrolls = (element) => element.parentElement?.closest(".scroll")?.contains(element.offsetParent ?? element) === true;
    const out = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > root.clientWidth && !scrolls(element));
    return [root.scrollWidth - root.clientWidth, out.slice(0, 5).map((element) => `${element.tagName.toLowerCase()}.${element.getAttribute("class")}`)];
  });
  const tooWide = wider > 0 ? [`${what}: ${wider} px wider than the screen, by ${by.join(", ")}`] : [];
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
  });
  return [...tooWide, ...found.map((one) => `${what}: ${one}`)];
}
