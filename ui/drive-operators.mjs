// Drives an operator's own page in a real browser with a passkey of its own (Chromium's virtual authenticator): makes one, logs in
// with it, removes it, and looks with axe at each page on the way. Ends with 1 and says what was wrong.
// Run by `crates/control/tests/people.rs`, which says where (URL) and who (NAME, PASSWORD, INVITATION a code) and in which browser (CHROMIUM).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { URL: at, NAME: name, PASSWORD: password, INVITATION: invitation, CHROMIUM: executablePath } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

async function faults(page, what) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await globalThis.axe.run(document, { resultTypes: ["violations"] })).violations);
  return found.map(({ id, help, nodes }) => `${what}: ${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
}

try {
  const context = await browser.newContext({ reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  const devtools = await context.newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      automaticPresenceSimulation: true, isUserVerified: true,
    },
  });
  const go = (path) => page.goto(new URL(path, at).href);
  const found = [];

  await go(`/invite#${invitation}`);
  await page.fill("#password", password);
  await page.fill("#again", password);
  await page.click("main form button[type=submit]");
  await page.waitForURL((url) => url.pathname === "/");

  // Nothing is made without the password, whatever the device says.
  const make = page.getByRole("button", { name: "Make a passkey" });
  await go("/account");
  await page.fill("#passkey-name", "Chromium");
  await page.fill("#passkey-password", "not this one at all");
  await make.click();
  await page.getByRole("alert").filter({ hasText: "Your present password is another" }).waitFor();
  assert.equal(await page.getByText("Chromium", { exact: true }).count(), 0);
  // The device has made one, and nobody knows it.
  await devtools.send("WebAuthn.clearCredentials", { authenticatorId });

  await go("/account");
  await page.fill("#passkey-name", "Chromium");
  await page.fill("#passkey-password", password);
  await make.click();
  await page.getByRole("status").filter({ hasText: "The passkey is there" }).waitFor();
  await page.getByText("Chromium", { exact: true }).waitFor();
  found.push(...(await faults(page, "/account")));
  const { credentials } = await devtools.send("WebAuthn.getCredentials", { authenticatorId });
  assert.equal(credentials.length, 1);
  assert.ok(credentials[0].isResidentCredential, "it is found without a name");

  // The same device makes no second one.
  await go("/account");
  await page.fill("#passkey-name", "again");
  await page.fill("#passkey-password", password);
  await make.click();
  await page.getByText("This device has a passkey for you already.").waitFor();

  const logIn = page.getByRole("button", { name: "Log in with a passkey" });
  await context.clearCookies();
  await go("/login?next=/logs");
  found.push(...(await faults(page, "/login")));
  await logIn.click();
  await page.waitForURL((url) => url.pathname === "/logs");
  await go("/account");
  assert.equal(await page.locator("h1").innerText(), name);
  assert.match(await page.locator("li", { hasText: "Chromium" }).first().innerText(), /used/);

  // What was answered once is not answered again.
  await context.clearCookies();
  await go("/login");
  const sent = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/login/passkey"));
  await logIn.click();
  const body = (await sent).postData();
  await page.waitForURL((url) => url.pathname === "/");
  const session = await context.cookies();
  await context.clearCookies();
  await context.addCookies(session.filter((cookie) => cookie.name.includes("form")));
  await go("/login");
  const again = await page.evaluate(async (body) => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return (await fetch("/login/passkey", { method: "POST", headers, body, redirect: "manual" })).status;
  }, body);
  assert.equal(again, 401, "the same answer once more");

  // Removed, it opens nothing.
  await context.clearCookies();
  await context.addCookies(session);
  await go("/account");
  await page.getByRole("button", { name: "Remove Chromium" }).click();
  await page.getByRole("status").filter({ hasText: "it opens nothing any more" }).waitFor();
  await context.clearCookies();
  await go("/login");
  await logIn.click();
  await page.getByRole("alert").filter({ hasText: "This passkey opens no account here" }).waitFor();
  found.push(...(await faults(page, "/login, refused")));
  assert.deepEqual([...found, ...complaints], []);
} finally {
  await browser.close();
}
