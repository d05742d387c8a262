// Drives the pages of one's account in a real browser with a passkey of its own (Chromium's virtual authenticator): makes one, signs
// in with it, and looks with axe at each page on the way. Ends with 1 and says what was wrong.
// Run by chat-web's tests, which say where (URL, as browsers know it, and PORT of this machine) and who (EMAIL, PASSWORD).
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { faults } from "./faults.mjs";

const { URL: at, PORT: port, EMAIL: email, PASSWORD: password, CHROMIUM: executablePath } = process.env;

const browser = await chromium.launch({
  executablePath: executablePath ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    `--host-resolver-rules=MAP ${new URL(at).host} 127.0.0.1:${port}`,
    `--unsafely-treat-insecure-origin-as-secure=${at}`,
  ],
});

try {
  const page = await (await browser.newContext({ reducedMotion: "reduce" })).newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      automaticPresenceSimulation: true, isUserVerified: true,
    },
  });
  const found = [];
  for (const path of ["/login", "/forgot", "/reset", "/verify", "/confirm?sent"]) {
    await page.goto(new URL(path, at).href);
    found.push(...(await faults(page, path)));
  }
  await page.goto(new URL("/reset#a-code", at).href);
  assert.equal(await page.inputValue("#code"), "a-code", "the code of the link is in the form");
  assert.equal(new URL(page.url()).hash, "", "and not in the address any more");

  await page.goto(new URL("/login", at).href);
  await page.fill("#email", email);
  await page.fill("#password", password);
  await page.click("form[action='/login'] button");
  await page.waitForURL(new URL("/", at).href);
  await page.goto(new URL("/account", at).href);
  for (const details of await page.locator("details").all()) await details.evaluate((element) => (element.open = true));
  found.push(...(await faults(page, "/account")));
  await page.fill("#passkey-name", "Chromium");
  await page.fill("#passkey-password", "not this one");
  await page.click("#new-passkey button");
  await page.waitForSelector("#account-problem:not([hidden])");
  await page.fill("#passkey-password", password);
  await page.click("#new-passkey button");
  await page.waitForSelector("text=Chromium, since");

  await page.context().clearCookies();
  await page.goto(new URL("/login", at).href);
  await page.click("#passkey-login button");
  await page.waitForURL(new URL("/", at).href);
  assert.ok((await page.textContent("body")).includes(email), "the passkey signs in");

  // Whoever finds the page open removes no passkey.
  const remove = page.getByRole("button", { name: "Remove the passkey Chromium" });
  for (const [typed, said] of [["not this one", "The password is wrong"], [password, "Your passkeys are changed."]]) {
    await page.goto(new URL("/account", at).href);
    await page.getByText("Chromium, since").click();
    found.push(...(await faults(page, "/account with a passkey")));
    if (process.env.SHOTS !== undefined) await page.screenshot({ path: `${process.env.SHOTS}/account.png`, fullPage: true });
    await page.locator("details:has-text('Chromium, since') input[type=password]").fill(typed);
    await remove.click();
    await page.getByText(said).first().waitFor();
  }
  assert.equal(await page.getByText("Chromium, since").count(), 0, "it is gone");
  assert.deepEqual([...found, ...complaints], []);
} finally {
  await browser.close();
}
