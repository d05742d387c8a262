// Drives an operator's own page in a real browser with a passkey of its own (Chromium's virtual authenticator): makes one, logs in
// with it, removes it, logs in by password and a second factor's code, and looks with axe at each page on the way, in light and dark, on a
// desk and on a phone. Ends with 1 and says what was wrong.
// Run by `crates/control/tests/people.rs`, which says where (URL) and who (NAME, PASSWORD, INVITATION a code) and in which browser (CHROMIUM).
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { chromium } from "playwright-core";
import { faults } from "./faults.mjs";

const { URL: at, NAME: name, PASSWORD: password, INVITATION: invitation, CHROMIUM: executablePath } = process.env;
const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

/** What an authenticator's app shows, so many seconds ahead. */
function code(secret, ahead = 0) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replaceAll("=", "")].map((letter) => letters.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor((Date.now() / 1000 + ahead) / 30)));
  const mac = createHmac("sha1", key).update(step).digest();
  const number = (mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000;
  return String(number).padStart(6, "0");
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

  // By password, and then by password and code.
  const byPassword = async (typed) => {
    await context.clearCookies();
    await go("/login");
    await page.fill("#name", name);
    await page.fill("#password", password);
    if (typed !== undefined) await page.fill("#code", typed);
    await page.getByRole("button", { name: "Log in", exact: true }).click();
  };
  await byPassword();
  await page.waitForURL((url) => url.pathname === "/");
  await go("/account/second-factor");
  const secret = await page.locator("input[name=secret]").inputValue();
  await page.fill("#code", code(secret));
  await page.fill("#password", password);
  await page.getByRole("button", { name: "Set it up" }).click();
  await page.getByRole("status").filter({ hasText: "The second factor is set up" }).waitFor();
  found.push(...(await faults(page, "recovery codes")));
  await byPassword();
  await page.getByRole("alert").filter({ hasText: "is not right" }).waitFor();
  // Each code is good once: this is the next one.
  await byPassword(code(secret, 30));
  await page.waitForURL((url) => url.pathname === "/");
  const cookies = await context.cookies();

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      const looks = await browser.newContext({ reducedMotion: "reduce", colorScheme, viewport: { width, height: 844 } });
      const screen = await looks.newPage();
      screen.on("pageerror", (error) => complaints.push(`${screen.url()}: ${error.message}`));
      for (const path of ["/login", "/invite#abc", "/account", "/account/second-factor"]) {
        if (path === "/account") await looks.addCookies(cookies);
        await screen.goto(new URL(path, at).href);
        assert.equal(new URL(screen.url()).pathname, path.split("#")[0]);
        found.push(...(await faults(screen, `${path} in ${colorScheme} at ${width} px`)));
      }
      await looks.close();
    }
  }
  assert.deepEqual([...found, ...complaints], []);
} finally {
  await browser.close();
}
