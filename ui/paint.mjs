// Times the dashboard in a real browser, as somebody who opens it for the first time. Prints a line of JSON for each of ROUNDS: first paint (ms), first byte (ms),
// bytes over the wire. Run by benches/watch/run.py, which says where (URL, TOKEN) and in which browser (CHROMIUM).
import { chromium } from "playwright-core";

const { URL: at, TOKEN: token, CHROMIUM: executablePath, ROUNDS: rounds } = process.env;
// Charts and panels that come later are in the bytes as well.
const SETTLE_MS = 3_000;
// Answers are kept for half an interval of scraping: longer than that, so that none is from the round before.
const PAUSE_MS = 6_000;

const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
for (let round = 0; round < Number(rounds); round += 1) {
  const context = await browser.newContext({ extraHTTPHeaders: { authorization: `Bearer ${token}` }, viewport: { width: 1300, height: 900 } });
  const page = await context.newPage();
  const network = await context.newCDPSession(page);
  await network.send("Network.enable");
  let bytes = 0;
  network.on("Network.loadingFinished", (event) => {
    bytes += event.encodedDataLength;
  });
  await page.goto(at);
  await page.waitForTimeout(SETTLE_MS);
  const times = await page.evaluate(() => ({
    paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
    first_byte_ms: performance.getEntriesByType("navigation")[0]?.responseStart,
  }));
  console.log(JSON.stringify({ ...times, bytes }));
  await context.close();
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
await browser.close();
