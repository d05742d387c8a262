// Drives the pages of two rollouts in a real browser, as an operator who has just been invited: one that waits for approval is rejected; the next one is approved, promoted where it
// was told to pause, and aborted in its canary. What becomes of it shows on the page where the button was pressed and on another one that is open, and neither is loaded again.
// Ends with 1 and says what was wrong. Run by `tests/tests/rollouts.rs`, which says where (INVITATION, a link), which rollouts (REJECTED waits for approval, STEERED for its turn, and is
// to pause at its canary), what is said of the first (COMMENT), and in which browser (CHROMIUM).
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { faults } from "./faults.mjs";

const { INVITATION: invitation, REJECTED: rejected, STEERED: steered, COMMENT: comment, CHROMIUM: executablePath } = process.env;
const PASSWORD = "correct horse battery staple";
/** A build and a start on a busy machine. */
const PATIENCE = 60_000;
const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

const complaints = [];
async function look(storageState) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...(storageState === undefined ? {} : { storageState }) });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  return { context, page };
}

/** A page of this rollout that knows whether it was loaded again. */
async function open(page, number) {
  await page.goto(new URL(`/rollouts/${number}`, invitation).href);
  await page.evaluate(() => (globalThis.stays = true));
}

/** The page says that the rollout is there, offers this and nothing else, and was not loaded again. */
async function shows(page, stage, buttons) {
  await page.locator(`.going[data-stage="${stage}"]`).waitFor();
  await page.waitForFunction((buttons) => {
    const found = [...document.querySelectorAll("details.decision > summary")].map((one) => one.textContent.trim());
    return JSON.stringify(found) === JSON.stringify(buttons);
  }, buttons);
  assert.equal(await page.evaluate(() => globalThis.stays), true, `${stage}: ${page.url()} was loaded again`);
}

async function serving(page, shares) {
  await page.waitForFunction((shares) => {
    const found = [...document.querySelectorAll(".slot.serves")].map((one) => Number.parseInt(one.textContent.match(/(\d+) % of the requests/)?.[1] ?? "", 10));
    return JSON.stringify(found) === JSON.stringify(shares);
  }, shares);
}

async function press(page, label, number, said) {
  const decision = page.locator(`#decide-${label.toLowerCase()}`);
  await decision.locator("summary").press("Enter");
  if (said !== undefined) await decision.getByLabel("Comment, for the record").fill(said);
  await decision.getByRole("button", { name: `${label} rollout ${number}` }).press("Enter");
}

try {
  const bob = await look();
  await bob.page.goto(invitation);
  await bob.page.fill("#password", PASSWORD);
  await bob.page.fill("#again", PASSWORD);
  await bob.page.click("main form button[type=submit]");
  await bob.page.waitForURL((url) => url.pathname === "/");
  const other = await look(await bob.context.storageState());
  const pages = [bob.page, other.page];
  const found = [];

  for (const page of pages) await open(page, rejected);
  for (const page of pages) await shows(page, "awaiting-approval", ["Approve", "Reject", "Abort"]);
  await press(bob.page, "Reject", rejected, comment);
  for (const page of pages) {
    await shows(page, "aborted", []);
    await page.locator(".going .problem", { hasText: `bob rejected it: ${comment}` }).waitFor();
  }
  // Its button is gone: the focus is where the page begins, and not nowhere.
  await bob.page.waitForFunction(() => document.activeElement?.id === "main");
  found.push(...(await faults(bob.page, "rejected")));

  for (const page of pages) await open(page, steered);
  await shows(bob.page, "awaiting-approval", ["Approve", "Reject", "Abort"]);
  await press(bob.page, "Approve", steered, "looked at it");
  for (const page of pages) await shows(page, "held", ["Promote", "Retry", "Abort"]);
  await serving(bob.page, [100]);
  found.push(...(await faults(bob.page, "paused")));
  await press(bob.page, "Promote", steered);
  for (const page of pages) {
    await shows(page, "canary", ["Abort"]);
    await serving(page, [90, 10]);
  }
  found.push(...(await faults(bob.page, "in its canary")));
  await press(bob.page, "Abort", steered);
  for (const page of pages) {
    await shows(page, "rolled-back", []);
    await serving(page, [100]);
    await page.locator(".going .problem", { hasText: "bob aborted it" }).waitFor();
  }
  await bob.page.getByText("Journal, newest first").click();
  for (const said of ["bob said: approve", "bob said: promote", "bob said: abort"]) await bob.page.locator("#journal", { hasText: said }).waitFor();
  found.push(...(await faults(bob.page, "aborted")));

  // Whoever is not logged in any more is shown where to, and no page within a page.
  await bob.page.goto(new URL("/rollouts", invitation).href);
  await bob.context.clearCookies();
  await bob.page.getByRole("button", { name: "Refresh" }).click();
  await bob.page.waitForURL((url) => url.pathname === "/login" && url.searchParams.get("next") === "/rollouts");
  // What the browser was refused then is not what is complained of here.
  assert.deepEqual([...found, ...complaints.filter((one) => !one.includes("status of 401"))], []);
} finally {
  await browser.close();
}
