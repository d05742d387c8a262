// Drives the status page in a real browser: light and dark, on a desk and on a phone, without scripts, and when nobody has renewed it for a
// while. Run by `crates/control/tests/status_page.rs`, which says where (URL); SHOTS is a folder for pictures of it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { faults } from "./faults.mjs";

const { URL: at, CHROMIUM: executablePath, SHOTS: shots } = process.env;

const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

async function open(options = {}) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  return { context, page, complaints };
}

const checks = {
  async "it is faultless in light and dark, on a desk and on a phone"() {
    const found = [];
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        const { context, page, complaints } = await open({ colorScheme, viewport: { width, height: 844 } });
        await page.goto(at);
        found.push(...(await faults(page, `${colorScheme} at ${width} px`)));
        found.push(...complaints);
        assert.ok(await page.locator("#old").isHidden(), "it is new");
        if (shots !== undefined) await page.screenshot({ path: `${shots}/status-${colorScheme}-${width}.png`, fullPage: true });
        await context.close();
      }
    }
    assert.deepEqual(found, []);
  },

  async "old: it says so where nobody has renewed it, and when it was written without scripts, too"() {
    const { context, page, complaints } = await open();
    await page.clock.setFixedTime(Date.now() + 11 * 60_000);
    await page.goto(at);
    await page.getByText(/written 1\d minutes ago/).waitFor();
    assert.deepEqual(await faults(page, "old"), []);
    if (shots !== undefined) await page.screenshot({ path: `${shots}/status-old.png`, fullPage: true });
    assert.deepEqual(complaints, []);
    await context.close();
    const plain = await open({ javaScriptEnabled: false });
    await plain.page.goto(at);
    assert.match(await plain.page.locator("#rendered").innerText(), /^\d{4}-\d\d-\d\d \d\d:\d\d UTC$/);
    assert.match(await plain.page.locator("main").innerText(), /may be out of date/);
    await plain.context.close();
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  if (process.argv[2] !== undefined && !name.includes(process.argv[2])) continue;
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}\n${error instanceof Error ? error.stack : error}`);
  }
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
