// Drives the pages for admins in a real browser: operators, their sessions, tokens, and the audit log; every form and button, with axe at each page, in light and dark, on a desk and on a
// phone. Ends with 1 and says what was wrong.
// Run by `crates/control/tests/managing.rs`, which says where (URL), of whom (INVITATION, the code of an admin's; PASSWORD, that they and others set) and in which browser (CHROMIUM).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { faults } from "./faults.mjs";

const { URL: at, INVITATION: invitation, PASSWORD: password, CHROMIUM: executablePath, SHOTS: shots } = process.env;
/** Longer than a page needs that is told of what is new. */
const PATIENCE = 30_000;
const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

const [found, complaints] = [[], []];
const address = (path) => new URL(path, at).href;

async function look(options = {}) {
  const context = await browser.newContext({ reducedMotion: "reduce", acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("console", (message) => {
    // That something was refused is what is looked at here.
    const refused = /status of (401|403|409|422)/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !refused) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  return { context, page, go: (path) => page.goto(address(path)) };
}

/** Somebody who takes up an invitation. */
async function invited(link) {
  const visitor = await look();
  await visitor.page.goto(link);
  await visitor.page.fill("#password", password);
  await visitor.page.fill("#again", password);
  await visitor.page.click("main form button[type=submit]");
  await visitor.page.waitForURL((url) => url.pathname === "/");
  return visitor;
}

/** Every panel is there. */
const settled = (page) => page.waitForFunction(() => document.querySelectorAll(".panel-body.waiting").length === 0);

/** Fills in what a button opens, and sends it. */
async function decide(page, key, fields, typed) {
  const decision = page.locator(`#decide-${key}`);
  if (!(await decision.evaluate((details) => details.open))) await decision.locator("summary").click();
  for (const [label, value] of Object.entries(fields)) {
    const field = decision.getByLabel(label, { exact: true });
    if (value === true) await field.check();
    else if ((await field.evaluate((element) => element.tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
  if (typed !== undefined) await decision.getByLabel("Your password").fill(typed);
  await decision.locator("form button").click();
}

/** What is shown once, and not again where the page is loaded anew. */
async function once(page) {
  const shown = page.locator("#once");
  await shown.waitFor();
  found.push(...(await faults(page, "what is shown once")));
  return shown.innerText();
}

try {
  const ada = await invited(address(`/invite#${invitation}`));
  const { page } = ada;

  // An admin finds the way there from every page.
  await page.getByRole("link", { name: "Operators" }).click();
  await page.waitForURL("**/operators");
  await settled(page);
  assert.equal(await page.getByRole("link", { name: "Operators", exact: true }).getAttribute("aria-current"), "page");
  await page.evaluate(() => (globalThis.stays = true));
  const row = (name) => page.locator("#operators tbody tr", { has: page.getByRole("link", { name, exact: true }) });
  assert.match(await row("ada").innerText(), /admin[\s\S]*active[\s\S]*password alone[\s\S]*1/);

  // What lets somebody in asks for the password; what is refused stays as it was typed.
  await decide(page, "invite", { "Their name": "<b>bob", Role: "viewer" }, password);
  await page.getByRole("alert").filter({ hasText: "That is no name" }).waitFor();
  await decide(page, "invite", { "Their name": "bob" }, "not this one at all");
  await page.getByRole("alert").filter({ hasText: "your password is another" }).waitFor();
  assert.equal(await page.getByLabel("Their name").inputValue(), "bob");
  found.push(...(await faults(page, "/operators, refused")));
  await decide(page, "invite", { Role: "viewer" }, password);
  const link = await once(page);
  await row("bob").getByText("invited").waitFor();
  assert.equal(await page.getByRole("alert").filter({ hasText: "your password is another" }).count(), 0);

  // Somebody who is no admin sees no way there, and is not let in where they know it.
  const bob = await invited(link);
  assert.equal(await bob.page.getByRole("link", { name: "Operators" }).count(), 0);
  for (const path of ["/operators", "/operators/ada", "/audit"]) {
    assert.equal((await bob.go(path)).status(), 403, path);
    assert.match(await bob.page.locator("main").innerText(), /takes admin/);
  }
  found.push(...(await faults(bob.page, "/audit, refused")));
  await bob.go("/");
  // Their login shows by itself.
  await row("bob").getByText("active").waitFor();
  assert.equal(await page.evaluate(() => globalThis.stays), true, "the page was loaded again");

  // One's own access is somebody else's to take away.
  await ada.go("/operators/ada");
  await settled(page);
  assert.equal(await page.locator("details.decision").count(), 0);
  await page.getByText("This is you").waitFor();
  await page.goBack();
  await row("bob").getByRole("link").click();
  await page.waitForURL("**/operators/bob");
  await settled(page);
  await page.evaluate(() => (globalThis.stays = true));
  await decide(page, "role", { Role: "operator" }, "not this one at all");
  await page.getByRole("alert").filter({ hasText: "your password is another" }).waitFor();
  await decide(page, "role", { Role: "operator" }, password);
  await page.locator("h1", { hasText: "operator" }).waitFor();
  const session = page.locator("#sessions tbody tr");
  assert.equal(await session.count(), 1);
  assert.match(await session.innerText(), /Chrome on Linux[\s\S]*127\.0\.0\.1/);
  await session.getByRole("button", { name: /^Log it out/ }).press("Enter");
  await page.locator("#sessions .nothing").waitFor();
  assert.equal(await page.evaluate(() => globalThis.stays), true, "the page was loaded again");
  await bob.go("/");
  assert.equal(new URL(bob.page.url()).pathname, "/login", "bob is logged out");
  await decide(page, "disable", {});
  await page.locator("#decide-enable").waitFor();
  await page.locator(".heading .state", { hasText: "kept out" }).waitFor();
  await decide(page, "enable", {}, password);
  await page.locator("#decide-disable").waitFor();
  await decide(page, "revoke", {});
  await page.waitForFunction(() => document.querySelector("#status")?.textContent?.includes("Log bob out"));
  await decide(page, "reset", {}, password);
  assert.match(await once(page), /\/invite#/);
  await page.locator(".heading .state", { hasText: "invited" }).waitFor();
  await page.reload();
  assert.equal(await page.locator("#once").count(), 0);

  // A token is shown once, lets in, says when it was used, and is taken back.
  await ada.go("/operators");
  await settled(page);
  await decide(page, "token", { Name: "none" }, password);
  await page.getByRole("alert").filter({ hasText: "A token is for something" }).waitFor();
  await decide(page, "token", { Name: "ci", read: true, "Ends after so many days": "90" }, password);
  const token = await once(page);
  assert.match(token, /^mana_/);
  const comes = () => fetch(address("/api/v1/status"), { headers: { authorization: `Bearer ${token}` } });
  const ci = page.locator("#tokens tbody tr", { hasText: "ci" });
  assert.match(await ci.innerText(), /read[\s\S]*lets in[\s\S]*never/);
  assert.equal((await comes()).status, 200);
  await page.getByRole("button", { name: "Refresh" }).click();
  await ci.getByText("never").waitFor({ state: "detached" });
  await ci.locator("summary").click();
  await ci.getByRole("button", { name: "Revoke the token ci" }).click();
  await page.locator("#tokens .nothing").waitFor();
  assert.equal((await comes()).status, 401);
  assert.equal(await page.locator("#once").count(), 0);
  for (const [kind, begins] of [["CSV", "name,role,state,"], ["JSON", "[{"]]) {
    await page.getByText("Export data").click();
    const saving = page.waitForEvent("download");
    await page.getByRole("link", { name: `${kind} of Who may log in` }).click();
    const saved = await saving;
    assert.equal(saved.suggestedFilename(), `operators.${kind.toLowerCase()}`);
    assert.ok(readFileSync(await saved.path(), "utf8").startsWith(begins), kind);
    await page.keyboard.press("Escape");
  }

  // All of it is in the audit log, newest first, and nobody has changed that.
  await page.getByRole("link", { name: "Audit log" }).click();
  await page.waitForURL("**/audit");
  await settled(page);
  await page.getByText("As it was written").waitFor();
  const rows = page.locator("[data-panel^=audit] tbody tr");
  const numbers = async () => (await rows.locator("th").allTextContents()).map(Number);
  const all = await numbers();
  assert.ok(all.length > 10 && all.every((number, index) => number === all[0] - index), all.join());
  assert.match(await rows.first().innerText(), /ada[\s\S]*revoke token[\s\S]*ci[\s\S]*done/);
  await page.getByLabel("Who", { exact: true }).fill("ada");
  await page.getByLabel("What", { exact: true }).fill("Operator");
  await page.getByLabel("To what").fill("bob");
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL(/who=ada&what=Operator&target=bob/);
  await settled(page);
  const ofBob = await numbers();
  assert.ok(ofBob.length >= 7 && ofBob.length < all.length, ofBob.join());
  await rows.filter({ hasText: "<b>bob" }).filter({ hasText: "refused: that is no name" }).waitFor();
  const exporting = page.waitForEvent("download");
  await page.getByRole("link", { name: "Export CSV" }).click();
  const exported = readFileSync(await (await exporting).path(), "utf8").trim().split("\n");
  assert.equal(exported[0], "number,at,who,source,what,target,outcome,sha256");
  assert.deepEqual(exported.slice(1).map((line) => Number(line.split(",")[0])), ofBob, "what is looked for");
  // Page by page, as the address says it.
  await ada.go("/audit?who=ada&what=Operator&target=bob&rows=3");
  await settled(page);
  assert.deepEqual(await numbers(), ofBob.slice(0, 3));
  await page.getByRole("link", { name: "Older rows" }).click();
  await page.waitForURL(new RegExp(`before=${ofBob[2]}`));
  await settled(page);
  assert.deepEqual(await numbers(), ofBob.slice(3, 6));
  assert.equal(await page.getByLabel("Who", { exact: true }).inputValue(), "ada");
  await page.getByRole("link", { name: "Newest rows" }).click();
  await page.waitForURL((url) => url.pathname === "/audit" && !url.search.includes("before"));
  await settled(page);
  assert.deepEqual(await numbers(), ofBob.slice(0, 3));
  // What is new shows by itself.
  await ada.go("/audit?what=login");
  await settled(page);
  const tried = await look();
  await tried.go("/login");
  await tried.page.fill("#name", "eve");
  await tried.page.fill("#password", "not this one at all");
  await tried.page.getByRole("button", { name: "Log in", exact: true }).click();
  await rows.filter({ hasText: "unknown" }).filter({ hasText: "refused: wrong name or password" }).waitFor();

  const storageState = await ada.context.storageState();
  const paths = ["/operators", "/operators/bob", "/operators/ada", "/audit", "/audit?who=ada&rows=3", "/audit?who=nobody", "/audit?from=yesterday"];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      const screen = await look({ storageState, colorScheme, viewport: { width, height: 844 } });
      for (const path of paths) {
        await screen.go(path);
        await settled(screen.page);
        for (const details of await screen.page.locator("main details").all()) await details.evaluate((element) => (element.open = true));
        found.push(...(await faults(screen.page, `${path} in ${colorScheme} at ${width} px`)));
        if (shots !== undefined) await screen.page.screenshot({ path: `${shots}/${path.replaceAll(/[/?&=]/g, "_")}-${colorScheme}-${width}.png`, fullPage: true });
      }
      await screen.context.close();
    }
  }
  assert.deepEqual([...found, ...complaints], []);
} finally {
  await browser.close();
}
