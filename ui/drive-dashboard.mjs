// Drives the dashboard in a real browser: every page and panel, every button, in light and dark, on a desk and on a phone (`LOOKS`). Ends
// with 1, and says what was wrong, where the console complains, a page is wider than its screen, or axe finds a violation.
// Run by `crates/control/tests/dashboard.rs`, which says where and as whom (INVITATION, a link), what (SERVICE, ROLLOUT waiting for approval, LOG a
// file that its lines go to, ASKED an address of the service itself, SHOTS a folder for pictures) and in which browser (CHROMIUM).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { chartChecks } from "./chart-checks.mjs";
import { faults } from "./faults.mjs";

const { INVITATION: at, SERVICE: service, ROLLOUT: rollout, LOG: log, ASKED: asked, CHROMIUM: executablePath, SHOTS: shots } = process.env;
const PATIENCE = 30_000;

const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

/** Somebody who was invited logs in once; each window is this person's. */
async function logIn() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(at);
  await page.fill("#password", "correct horse battery staple");
  await page.fill("#again", "correct horse battery staple");
  await page.click("main form button[type=submit]");
  await page.waitForURL((url) => url.pathname === "/");
  const state = await context.storageState();
  await context.close();
  return state;
}
const storageState = await logIn();

/** Sends a form as a page would, without one. */
async function send(page, path, fields) {
  const account = await page.request.get(new URL("/account", at).href);
  const csrf = /name="csrf" value="([^"]+)"/.exec(await account.text())?.[1];
  const headers = { accept: "text/html", origin: new URL(at).origin, "sec-fetch-site": "same-origin" };
  return page.request.post(new URL(path, at).href, { form: { csrf, ...fields }, headers });
}

/** What the buttons are pressed in. */
const LOOKS = {
  "light, on a desk": { colorScheme: "light", viewport: { width: 1280, height: 844 } },
  "dark, on a desk": { colorScheme: "dark", viewport: { width: 1280, height: 844 } },
  "light, on a phone": { colorScheme: "light", viewport: { width: 390, height: 844 }, hasTouch: true },
};
let look = Object.keys(LOOKS)[0];

async function open(options = {}) {
  const context = await browser.newContext({ storageState, acceptDownloads: true, reducedMotion: "reduce", ...LOOKS[look], ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  const go = (path) => page.goto(new URL(path, at).href);
  return { context, page, complaints, go };
}

/** Nothing is to be fetched any more: charts are drawn, panels are there. */
async function settled(page) {
  await page.waitForFunction(() => document.querySelectorAll(".panel-body.waiting:has(> .soft:only-child)").length === 0);
  await page.waitForFunction(() => [...document.querySelectorAll(".chart")].every((chart) => !chart.textContent?.includes("Being measured")));
}

/** An incident that somebody opened by hand. */
async function incident() {
  const { context, page, complaints, go } = await open();
  await go("/incidents");
  await page.getByText("Open an incident").click();
  await page.getByLabel("What, in a few words").fill("Orders are <slow>");
  await page.getByLabel("Severity").selectOption("P3");
  await page.getByLabel(service, { exact: true }).check();
  await page.getByRole("button", { name: "Open the incident" }).click();
  await page.waitForURL("**/incidents/*");
  assert.deepEqual(complaints, []);
  const path = new URL(page.url()).pathname;
  await context.close();
  return path;
}

/** Once; what they are about looks the same everywhere, or they look everywhere themselves. */
const once = {
  async "every page is faultless in light and dark, on a desk and on a phone"() {
    const found = [];
    const known = await incident();
    const request = (await fetch(asked)).headers.get("x-request-id");
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        const { context, page, complaints, go } = await open({ colorScheme, viewport: { width, height: 844 } });
        for (const path of ["/", `/services/${service}`, "/services/edge", "/rollouts", `/rollouts/${rollout}`, "/alerts", "/incidents", known, "/logs", `/requests/${request}`]) {
          await go(path);
          await settled(page);
          if (path === "/") for (const panel of ["databases", "dependencies"]) await page.locator(`#${panel} tbody tr`).first().waitFor();
          for (const details of await page.locator("main details").all()) await details.evaluate((element) => (element.open = true));
          found.push(...(await faults(page, `${path} in ${colorScheme} at ${width} px`)));
          if (shots !== undefined) await page.screenshot({ path: `${shots}/${path.replaceAll("/", "_")}-${colorScheme}-${width}.png`, fullPage: true });
        }
        found.push(...complaints);
        await context.close();
      }
    }
    assert.deepEqual(found, []);
  },

  async "panels are kept up to date without loading the page again"() {
    const { context, page, complaints, go } = await open();
    await go("/");
    await page.evaluate(() => (globalThis.stays = true));
    // Whatever is open stays open, and focus stays where it is.
    await page.getByText("Connection pools").click();
    const link = page.locator("#services a").first();
    await link.focus();
    const before = await page.locator("#updated").getAttribute("datetime");
    await page.waitForResponse((answer) => answer.url().includes("/panels/"));
    await page.waitForFunction((before) => document.querySelector("#updated")?.getAttribute("datetime") !== before, before);
    for (const name of ["services", "databases"]) {
      const renewed = page.waitForResponse((answer) => answer.url().endsWith(`/panels/${name}`));
      await page.locator(`#${name} .panel-body`).dispatchEvent("renew");
      await renewed;
    }
    await page.waitForTimeout(200);
    assert.ok(await page.locator("details", { hasText: "Connection pools" }).evaluate((one) => one.open));
    assert.ok(await link.evaluate((one) => one === document.activeElement));
    assert.equal(await page.evaluate(() => globalThis.stays), true);
    assert.equal(await page.locator("#pulse").getAttribute("title"), "Kept up to date");
    assert.deepEqual(complaints, []);
    await context.close();
  },

  ...chartChecks({ open, settled, service, at }),

  async "colours are chosen for good"() {
    const { context, page, complaints, go } = await open({ colorScheme: "light" });
    await go("/");
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole("button", { name: "Dark" }).click();
    const dark = await ground();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await ground(), dark);
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "a page whose stream breaks says so, and shows what it has missed once it is back"() {
    const { context, page, complaints, go } = await open();
    await go("/incidents");
    await page.waitForFunction(() => document.querySelector("#pulse")?.hidden === false);
    const stream = /\/live\?/;
    await page.route(stream, (route) => route.abort());
    // Looked at again, a page begins another stream.
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await page.getByText("Not up to date").waitFor();
    assert.deepEqual(await faults(page, "/incidents, not up to date"), []);
    const title = "While nobody listened";
    const opened = await send(page, "/incidents", { severity: "P4", title });
    assert.equal(opened.status(), 200);
    assert.equal(await page.getByText(title).count(), 0);
    await page.unroute(stream);
    await page.getByText(title).waitFor();
    await page.waitForFunction(() => document.querySelector("#still")?.textContent === "");
    assert.equal(await page.locator("#pulse").getAttribute("title"), "Kept up to date");
    assert.deepEqual(complaints.filter((one) => !one.includes("ERR_FAILED")), []);
    await context.close();
  },

  async "what is answered instead of a panel is not put into its place"() {
    const { context, page, complaints, go } = await open();
    await go("/incidents");
    await page.getByRole("link", { name: "Orders are <slow>" }).first().waitFor();
    await page.route("**/panels/incidents", (route) => route.fulfill({ status: 503, contentType: "text/html", body: "<h1>nobody there</h1>" }));
    const ended = page.evaluate(() => new Promise((resolve) => {
      document.addEventListener("htmx:finally:request", () => resolve(true), { once: true });
      document.querySelector("[data-panel=incidents] .panel-body").dispatchEvent(new CustomEvent("renew"));
    }));
    assert.equal(await ended, true);
    assert.equal(await page.getByText("nobody there").count(), 0);
    assert.ok((await page.getByRole("link", { name: "Orders are <slow>" }).count()) > 0);
    assert.deepEqual(complaints.filter((one) => !one.includes("status of 503")), []);
    await context.close();
  },
};

/** In each look. */
const everywhere = {
  async "the overview shows every panel, and its buttons do what they say"() {
    const { context, page, complaints, go } = await open();
    await go("/");
    await settled(page);
    const titles = await page.locator("section.panel > h2").allTextContents();
    assert.deepEqual(titles, ["System health", "Service status", "Response time", "Resource utilization", "Active alerts", "Database performance", "External dependencies"]);
    const said = await page.locator("main").innerText();
    assert.match(said, /rules are watched|The rules were not evaluated yet|Looked after by/i);
    // What is measured of databases and dependencies has rows, which axe has looked at above.
    for (const [panel, name] of [["databases", "books"], ["dependencies", "model"]]) await page.locator(`#${panel} tbody tr`, { hasText: name }).waitFor();
    assert.ok(said.includes(service), said);
    // Each state has a shape, a word and a colour.
    const states = await page.locator(".state").evaluateAll((all) => all.map((one) => [one.className, one.querySelector("use")?.getAttribute("href"), one.textContent.trim()]));
    for (const [name, shape, word] of states) assert.ok(shape === `#s-${name.split(" ")[1]}` && word !== "", `${name} ${shape} ${word}`);

    const renewed = page.waitForResponse((answer) => answer.url().endsWith("/panels/health"));
    await page.getByRole("button", { name: "Refresh" }).click();
    assert.equal((await renewed).status(), 200);

    for (const [kind, begins] of [["CSV", "figure,value,state,about\n"], ["JSON", "[{"]]) {
      await page.getByText("Export data").click();
      const saving = page.waitForEvent("download");
      await page.getByRole("link", { name: `${kind} of System health` }).click();
      const saved = await saving;
      assert.equal(saved.suggestedFilename(), `health.${kind.toLowerCase()}`);
      assert.ok(readFileSync(await saved.path(), "utf8").startsWith(begins), kind);
      await page.keyboard.press("Escape");
    }
    await page.getByRole("link", { name: "Configure alerts" }).click();
    await page.waitForURL("**/alerts");
    await page.goBack();
    await go("/?last=1h");
    await page.locator("#services a.cell").first().click();
    await page.waitForURL(/\/services\/.*\?last=1h$/);
    await page.goBack();
    await page.getByRole("link", { name: "View logs" }).click();
    await page.waitForURL("**/logs");
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "logs are searched by what a line says, and followed"() {
    const { context, page, complaints, go } = await open();
    const one = `card-${Object.keys(LOOKS).indexOf(look)}`;
    const line = (level, message, request) => `${JSON.stringify({ timestamp: new Date().toISOString(), level, fields: { message, request_id: request } })}\n`;
    appendFileSync(log, line("INFO", "fine <b>as</b> ever", "r-1") + line("ERROR", `the ${one} was declined`, `r-${one}`));
    await go("/");
    await page.keyboard.press("/");
    await page.waitForURL("**/logs#search");
    await page.waitForFunction(() => document.activeElement?.id === "q");
    await page.keyboard.type(`${one} declined`);
    await page.keyboard.press("Enter");
    await page.waitForURL("**q=card*");
    assert.deepEqual(await page.locator(".line .message").allTextContents(), [`the ${one} was declined`]);
    await page.getByRole("link", { name: `r-${one}` }).click();
    await page.waitForURL(`**/requests/r-${one}`);
    assert.equal(await page.locator(".line").count(), 1);
    assert.ok((await page.locator("main").innerText()).includes("The edge has no line of it"));
    await page.goto(new URL(`/logs?service=${service}&level=error`, at).href);
    assert.equal((await page.locator(".line .message").allTextContents()).at(-1), `the ${one} was declined`);
    await page.goto(new URL(`/logs?service=${service}`, at).href);
    const opened = page.waitForResponse((answer) => answer.url().includes("/logs/live"));
    await page.getByRole("button", { name: "Follow" }).click();
    await opened;
    // The first look only says where the files end.
    await page.waitForTimeout(1_500);
    appendFileSync(log, line("WARN", `as ${one} comes <script>alert(1)</script>`, "r-3"));
    await page.getByText(`as ${one} comes <script>`).waitFor();
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "an incident is told of, worked on and ended, and stands on every chart"() {
    const { context, page, complaints, go } = await open();
    const path = await incident();
    await go(path);
    await page.getByLabel("Update").fill("An index is missing");
    await page.getByLabel("Where it stands").selectOption("identified");
    await page.getByRole("button", { name: "Post the update" }).click();
    await page.locator(".timeline .is-update", { hasText: "An index is missing (identified) – bob" }).waitFor();
    for (const [name, text] of [["Note", "looking at the plan"], ["Impact", "Orders take a minute"], ["Root cause", "a dropped index"], ["Action item", "watch for slow queries"]]) {
      await page.locator("summary", { hasText: name }).click();
      await page.getByLabel(name, { exact: true }).fill(text);
      await page.getByRole("button", { name: `Save the ${name.toLowerCase()}` }).click();
      await page.locator(".panel-body", { hasText: text }).waitFor();
    }
    await page.getByRole("button", { name: "Done with Schedule post-mortem meeting" }).click();
    await page.locator(".follow-ups .done", { hasText: "Schedule post-mortem meeting" }).waitFor();
    await page.getByText("Post-mortem, a draft").click();
    const draft = page.waitForEvent("download");
    await page.getByRole("link", { name: "Save as Markdown" }).click();
    const markdown = readFileSync(await (await draft).path(), "utf8");
    for (const words of ["a dropped index", "- [x] 3. Schedule post-mortem meeting", "- [ ] 6. Update runbooks"]) assert.ok(markdown.includes(words), markdown);
    const { marks } = await (await page.request.get(new URL(`/data/requests?service=${service}&last=15m`, at).href)).json();
    assert.ok(marks.some((mark) => mark.href === path && mark.until >= mark.at), JSON.stringify(marks));
    await go(`/services/${service}?last=15m`);
    await page.locator(".marks a", { hasText: "Orders are <slow>" }).first().waitFor();
    await go(path);
    await page.getByLabel("Update").fill("The index is back");
    await page.getByLabel("Where it stands").selectOption("resolved");
    await page.getByRole("button", { name: "Post the update" }).click();
    await page.locator(".facts", { hasText: "resolved" }).waitFor();
    await page.getByLabel("Where it stands").waitFor({ state: "detached" });
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "alerts are silenced, maintenance is planned, and channels are tested"() {
    const { context, page, complaints, go } = await open();
    await go("/alerts");
    await page.locator("#rules-title").waitFor();
    await page.locator("tr", { hasText: "ServiceDown" }).locator("code").waitFor();
    await page.getByText("Add a silence").click();
    await page.getByLabel("Which alerts").fill(`service=${service} severity=~P3|P4`);
    await page.getByLabel("For how long").first().fill("2h");
    await page.getByLabel("Why").first().fill("a new disk");
    await page.getByRole("button", { name: "Add the silence" }).click();
    const silence = page.locator("tr", { hasText: "a new disk" });
    await silence.locator("code", { hasText: `service="${service}", severity=~"P3|P4"` }).waitFor();
    await silence.getByRole("button", { name: "End silence" }).click();
    await silence.waitFor({ state: "detached" });
    await page.getByText("Plan maintenance").click();
    await page.getByLabel(service, { exact: true }).check();
    await page.getByLabel("From, UTC").fill("2096-01-02T03:04");
    await page.getByLabel("For how long").last().fill("30m");
    const reason = `a larger machine (${look})`;
    await page.getByLabel("Why").last().fill(reason);
    await page.getByRole("button", { name: "Plan the maintenance" }).click();
    await page.locator("tr", { hasText: reason }).locator("time[datetime^='2096-01-02T03:34']").waitFor();
    await page.getByRole("button", { name: "Test team" }).click();
    await page.getByText("team: sent.").waitFor();
    // Only the test's: on a machine that is busy others may be told of besides. That of the look before has to be over, since somebody looks after it.
    const group = page.locator("[data-panel='groups/buttons'] li", { hasText: "somebody asked for this alert" });
    await group.waitFor({ state: "detached", timeout: 3 * PATIENCE });
    await page.getByText("Test alert", { exact: true }).click();
    await page.getByRole("button", { name: "Fire a test alert" }).click();
    // It shows up by itself, and so does who looks after it.
    await group.locator("summary").click();
    await group.getByLabel("Comment, for the others").fill("only a test");
    await group.getByRole("button", { name: /^I look after group/ }).click();
    await group.filter({ hasText: "bob looks after it" }).waitFor();
    assert.deepEqual(await faults(page, "/alerts with a group"), []);
    assert.deepEqual(complaints, []);
    // What nobody would know the reason of is refused, and says so.
    const refused = await send(page, "/alerts/silence", { conditions: "service=a", for: "2h", reason: "" });
    assert.equal(refused.status(), 409);
    assert.match(await refused.text(), /a reason/);
    await context.close();
  },

  async "what is refused stays as it was typed, and what is done shows without the page being loaded again"() {
    const { context, page, complaints, go } = await open();
    await go("/alerts");
    await page.evaluate(() => (globalThis.stays = true));
    await page.getByText("Add a silence").click();
    await page.getByLabel("Which alerts").fill("everything");
    await page.getByLabel("For how long").first().fill("2h");
    await page.getByLabel("Why").first().fill("another new disk");
    const button = page.getByRole("button", { name: "Add the silence" });
    await button.press("Enter");
    await page.getByRole("alert").filter({ hasText: "This was not done" }).waitFor();
    assert.equal(await page.getByLabel("Which alerts").inputValue(), "everything");
    assert.equal(await page.getByLabel("Why").first().inputValue(), "another new disk");
    assert.ok(await button.evaluate((one) => one === document.activeElement), "the button has the focus still");
    assert.deepEqual(await faults(page, "/alerts, refused"), []);
    await page.getByLabel("Which alerts").fill(`service=${service}`);
    await button.press("Enter");
    const silence = page.locator("tr", { hasText: "another new disk" });
    await silence.waitFor();
    await page.waitForFunction(() => document.activeElement?.textContent === "Add a silence");
    assert.equal(await page.getByRole("alert").count(), 0, "what was refused is done by now");
    assert.equal(await page.getByLabel("Which alerts").inputValue(), "", "what was typed has served");
    await silence.getByRole("button", { name: "End silence" }).press("Enter");
    await silence.waitFor({ state: "detached" });
    await page.waitForFunction(() => document.activeElement?.textContent === "Silences and maintenance");
    assert.equal(await page.evaluate(() => globalThis.stays), true);
    // The console tells of the answer that refused, and of nothing else.
    assert.deepEqual(complaints.filter((one) => !one.includes("status of 422")), []);
    await context.close();
  },

  async "a request is followed from the edge to the services that wrote of it"() {
    const { context, page, complaints, go } = await open();
    // Whoever calls a service by its own address says whether the request is traced; of others only the first of each second are.
    const traceparent = `00-${randomBytes(16).toString("hex")}-00f067aa0ba902b7-01`;
    const id = (await fetch(asked, { headers: { traceparent } })).headers.get("x-request-id");
    appendFileSync(log, `${JSON.stringify({ timestamp: new Date().toISOString(), level: "INFO", fields: { message: "worked on it", request_id: id } })}\n`);
    // The edge writes its lines once a tick.
    for (let tries = 0; tries < 40; tries += 1) {
      await go(`/requests/${id}`);
      if ((await page.locator(".hops tbody tr").count()) === 1) break;
      await page.waitForTimeout(250);
    }
    const hop = await page.locator(".hops tbody tr").innerText();
    assert.ok(hop.includes("GET /work") && hop.includes(service) && hop.includes("200"), hop);
    const lines = await page.locator(".line .message").allTextContents();
    assert.deepEqual([...lines].sort(), ["GET /work 200", "worked on it"]);
    // What services did is a table with the edge's span in it, which comes about a second after its end.
    for (let tries = 0; tries < 40; tries += 1) {
      if ((await page.locator(".spans tbody tr").count()) > 0) break;
      await page.waitForTimeout(250);
      await go(`/requests/${id}`);
    }
    const span = page.locator(".spans tbody tr");
    assert.equal(await span.count(), 1);
    assert.match(await span.innerText(), new RegExp(`edge[\\s\\S]*GET ${service}[\\s\\S]*answered[\\s\\S]*ended`));
    await span.locator("summary").click();
    assert.ok((await span.locator(".said").innerText()).includes(id));
    assert.deepEqual(await faults(page, "a trace"), []);
    // The trace's id leads to the same.
    await page.locator(".line", { hasText: "traceparent" }).getByTitle("All of this trace").click();
    await page.locator("h1 code").waitFor();
    assert.deepEqual((await page.locator(".line .message").allTextContents()).sort(), ["GET /work 200", "worked on it"]);
    assert.deepEqual(complaints, []);
    await context.close();
  },
};

/** Once, on a phone: who is called out of bed has nothing else at hand. */
const onAPhone = {
  async "a rollout is approved and rolled back, and nothing happens without a second click"() {
    const { context, page, complaints, go } = await open();
    await go(`/rollouts/${rollout}`);
    await page.locator("summary", { hasText: "Approve" }).click();
    await page.getByLabel("Comment, for the record").first().fill("looked at it");
    await page.getByRole("button", { name: `Approve rollout ${rollout}` }).click();
    // The page follows by itself until there is something else to decide.
    await page.locator("summary", { hasText: "Roll back" }).waitFor();
    await page.locator(".going[data-stage=window]").waitFor();
    await page.getByText("Journal, newest first").click();
    await page.getByText("said: approve").waitFor();
    await go(`/services/${service}`);
    await page.locator("summary", { hasText: "Roll back" }).click();
    await page.getByRole("button", { name: `Roll ${service} back` }).click();
    await page.waitForURL(`**/rollouts/${rollout}`);
    await page.locator(".going[data-stage=rolled-back]").waitFor();
    assert.equal(await page.locator(".decision").count(), 0);
    assert.deepEqual(complaints, []);
    // What is pressed too late is refused in a page that says why.
    const refused = await send(page, `/rollouts/${rollout}/approve`, { digest: "abc" });
    assert.equal(refused.status(), 409);
    assert.match(await refused.text(), /<h1>/);
    await context.close();
  },
};

let failed = 0;
async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    if (process.argv[2] !== undefined && !name.includes(process.argv[2])) continue;
    const began = Date.now();
    try {
      await check();
      console.log(`ok ${name} (${look}; ${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${name} (${look})\n${error instanceof Error ? error.stack : error}`);
    }
  }
}
await run(once);
for (look of Object.keys(LOOKS)) await run(everywhere);
await run(onAPhone);
await browser.close();
process.exit(failed === 0 ? 0 : 1);
