// What charts of the dashboard do in a real browser: their time is chosen, dragged, compared with the period before, and carried by links. For `drive-dashboard.mjs`,
// which says how a page is opened and is there (`open`, `settled`), of which service it is, and where the pages are.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const chartChecks = ({ open, settled, service, at }) => ({
  async "a charts' time is chosen, dragged, compared, carried by the address, and read by keys"() {
    const { context, page, complaints, go } = await open({ viewport: { width: 1280, height: 900 } });
    await go(`/services/${service}?last=15m`);
    await settled(page);
    const over = page.locator(".chart[data-chart=requests] .u-over");
    await over.scrollIntoViewIfNeeded();
    const { x, y, width, height } = await over.boundingBox();
    // The crosshair is in every chart at once, also in one that is drawn anew meanwhile.
    const anew = async (route) => {
      const answer = await route.fetch();
      const body = await answer.json();
      await page.waitForTimeout(1_000);
      await route.fulfill({ response: answer, json: { ...body, names: body.names.map((name) => `${name}, anew`) } });
    };
    await page.route("**/data/latency?*", anew, { times: 1 });
    await page.evaluate(() => document.dispatchEvent(new CustomEvent("mana:tick")));
    await page.mouse.move(x + width * 0.9, y + height / 2);
    await page.locator(".chart[data-chart=latency] .u-legend", { hasText: ", anew" }).waitFor();
    await page.waitForFunction(() => {
      const cursors = [...document.querySelectorAll(".chart .u-cursor-x")].map((one) => one.style.transform);
      return cursors.length >= 2 && cursors.every((one) => one === cursors[0] && !one.includes("-10px"));
    });
    await page.mouse.move(x + width * 0.5, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.9, y + height / 2, { steps: 8 });
    const zoomed = page.waitForResponse((answer) => /\/data\/latency\?.*from=\d+&to=\d+/.test(answer.url()));
    await page.mouse.up();
    assert.equal((await zoomed).status(), 200, "the other charts follow");
    assert.match(page.url(), /from=\d+&to=\d+/);
    const link = page.url();
    await page.reload();
    await settled(page);
    assert.equal(page.url(), link);
    // Whoever goes on from here finds the lines of that time.
    await page.getByRole("link", { name: "View logs" }).click();
    await page.waitForURL(/\/logs\?service=.*&from=\d{4}-.*&to=\d{4}-/);
    assert.match(await page.getByLabel("From, UTC").inputValue(), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
    assert.equal(await page.getByRole("alert").count(), 0, "the time is one that is looked for");
    await page.goBack();
    await settled(page);
    const compared = page.waitForResponse((answer) => answer.url().includes("previous=1"));
    await page.getByRole("link", { name: "Period before" }).click();
    assert.ok("previous" in (await (await compared).json()));
    assert.match(page.url(), /previous=1/);
    const chosen = page.waitForResponse((answer) => answer.url().includes("last=1h"));
    await page.getByRole("link", { name: "1 hour" }).click();
    await chosen;
    assert.match(page.url(), /last=1h/);
    await settled(page);
    const chart = page.locator(".chart[data-chart=requests] .canvas");
    // What was chosen before may have had nothing to show: a chart that is hidden takes no focus.
    await chart.waitFor();
    await chart.focus();
    await page.keyboard.press("ArrowLeft");
    await page.waitForFunction((service) => document.querySelector("#status")?.textContent?.includes(service), service);
    const saving = page.waitForEvent("download");
    await page.getByRole("button", { name: `PNG of Requests of ${service}` }).click();
    assert.equal((await saving).suggestedFilename(), `${service}-requests.png`);
    const table = page.waitForEvent("download");
    await page.getByRole("link", { name: `CSV of Requests of ${service}` }).click();
    assert.match(readFileSync(await (await table).path(), "utf8"), new RegExp(`^time,${service}\n`));
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "the period before is drawn beside each series, named, and carried by the link"() {
    const { context, page, complaints, go } = await open({ viewport: { width: 1280, height: 900 } });
    // Two stretches, one after the other, in both of which something was measured.
    const measured = async () => {
      const { times, values } = await (await page.request.get(new URL(`/data/memory?service=${service}&last=15m`, at).href)).json();
      return times.filter((_, index) => values.some((column) => column[index] !== null));
    };
    let known = await measured();
    for (let tries = 0; tries < 60 && known.length < 10; tries += 1) {
      await page.waitForTimeout(2_000);
      known = await measured();
    }
    const [first, last] = [known[0], known.at(-1)];
    const middle = Math.ceil((first + last) / 20) * 10;
    await go(`/services/${service}?from=${middle}&to=${last}`);
    await settled(page);
    const chart = page.locator(".chart[data-chart=memory]");
    await chart.locator("canvas").waitFor();
    const labels = async () => (await chart.locator(".u-legend .u-label").allTextContents()).filter((label) => label !== "Time");
    const alone = await labels();
    assert.ok(alone.length > 0 && alone.every((label) => !label.endsWith(", before")), alone.join());
    const both = [...alone, ...alone.map((label) => `${label}, before`)];
    const switched = page.getByRole("link", { name: "Period before" });
    assert.equal(await switched.getAttribute("aria-current"), null);

    /** Each series has its own of the period before beside it. */
    const isCompared = async () => {
      await chart.locator(".u-legend .u-label", { hasText: ", before" }).first().waitFor();
      assert.deepEqual(await labels(), both);
      assert.equal(await switched.getAttribute("aria-current"), "true");
      assert.match(page.url(), /[?&]previous=1(&|$)/);
      assert.match(page.url(), new RegExp(`from=${middle}&to=${last}`), "the time is the same");
    };
    const answered = page.waitForResponse((answer) => answer.url().includes("/data/memory?") && answer.url().includes("previous=1"));
    await switched.click();
    const { previous } = await (await answered).json();
    assert.ok(previous.some((column) => column?.some((value) => value !== null)), JSON.stringify(previous));
    await isCompared();

    // It is in the picture: without it that is another one, both ways.
    const picture = async () => {
      // Nothing is pointed at, and what was to be drawn is.
      await page.mouse.move(0, 0);
      await page.waitForTimeout(300);
      return chart.locator("canvas").evaluate((canvas) => canvas.toDataURL());
    };
    const row = chart.locator(".u-legend .u-series", { hasText: ", before" }).first();
    const drawn = await picture();
    await row.locator("th").click();
    await chart.locator(".u-legend .u-series.u-off").waitFor();
    const without = await picture();
    assert.ok(without !== drawn, "the period before is not in the picture");
    await row.locator("th").click();
    await chart.locator(".u-legend .u-series.u-off").waitFor({ state: "detached" });
    assert.ok((await picture()) !== without, "the period before does not come back into the picture");

    // Whoever gets the link sees the same, and goes on with it.
    const link = page.url();
    await go("/rollouts");
    await page.goto(link);
    await settled(page);
    await isCompared();
    await go("/?last=1h&previous=1");
    await page.locator("#services a.cell").first().click();
    await page.waitForURL(/\/services\/[^?]*\?.*previous=1/);
    await page.goto(link);
    await settled(page);
    await switched.click();
    await chart.locator(".u-legend .u-label", { hasText: ", before" }).first().waitFor({ state: "detached" });
    assert.deepEqual(await labels(), alone);
    assert.doesNotMatch(page.url(), /previous/);
    assert.deepEqual(complaints, []);
    await context.close();
  },
});
