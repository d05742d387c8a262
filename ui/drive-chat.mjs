// Drives chat in a real browser, as a person does: asks, edits, shares, searches, and lets a model say what would do harm. Ends with
// 1, and says what was wrong, where the console complains, something runs, a page is wider than its screen, or axe finds a violation.
// Run by `apps/chat/web/tests/over_http/browser.rs`, which says where (AT), how many harmful answers there are (HARM), and where a POST
// breaks all connections of the browser (CUT). Pictures of what it sees go to the folder PICTURES, if there is one.
import assert from "node:assert/strict";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { faults } from "./faults.mjs";

const { AT: at, CUT: cut, HARM: harm, CHROMIUM: executablePath, PICTURES: pictures } = process.env;
const PATIENCE = 15_000;

const browser = await chromium.launch({ executablePath: executablePath ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

async function open(options = {}) {
  const context = await browser.newContext({ acceptDownloads: true, reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(at) && !request.url().startsWith("data:")) complaints.push(`it asked ${request.url()}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    // What an answer has become at any moment while it is written.
    globalThis.appeared = [];
    const harmful = "script, img, iframe, style, link, meta, base, object, embed, math, form[action^=http], [onerror], [onload], [ontoggle], [onmouseover], a:not([rel~=noopener])";
    const look = () => globalThis.appeared.push(...[...document.querySelectorAll(".content")].flatMap((content) => [...content.querySelectorAll(harmful)]).map((element) => element.outerHTML));
    new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    document.addEventListener("securitypolicyviolation", (event) => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  const go = (path) => page.goto(new URL(path, at).href);
  return { context, page, complaints, go };
}

async function register(page, go, name) {
  await go("/register");
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("E-mail address").fill(`${name}@example.org`);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.waitForURL(`${at}/`);
}

/** Asks, and waits for the answer as it is kept. */
async function ask(page, text) {
  const kept = page.waitForResponse((answer) => answer.url().endsWith("/messages"));
  await page.locator("#prompt").fill(text);
  await page.locator("#prompt").press("Enter");
  await kept;
  await page.locator(".message:last-child .tools").waitFor();
}

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) });
}

/** What would show that something of an answer came alive. */
async function alive(page) {
  return page.evaluate(() => {
    const within = document.querySelectorAll(":is(.messages) :is(script, img, svg, iframe, style, link, meta, base, object, embed, math, [onerror], [onload], [hx-on\\:load])");
    const attributes = [...document.querySelectorAll(".content *")].flatMap((element) => [...element.attributes].map(({ name }) => name));
    const odd = attributes.filter((name) => !["href", "target", "rel", "class", "data-language", "tabindex", "start", "type"].includes(name));
    const links = [...document.querySelectorAll(".content a")].map((a) => a.protocol).filter((protocol) => !["https:", "http:", "mailto:"].includes(protocol));
    const open = [...document.querySelectorAll(".content a")].filter((a) => !a.relList.contains("noopener"));
    return [globalThis.ran, within.length, odd, links, open.length, globalThis.violations, globalThis.appeared];
  });
}
const dead = [null, 0, [], [], 0, [], []];
const seen = async (page) => (await alive(page)).map((value) => value ?? null);

const checks = {
  async "nothing that a model says does anything, while it is written, when it is kept, and where it is shared"() {
    const { context, page, complaints, go } = await open();
    await register(page, go, "harm");
    for (let number = 0; number < Number(harm); number += 1) {
      await ask(page, `harm ${number}`);
      assert.deepEqual(await seen(page), dead, `harm ${number}`);
    }
    for (const link of await page.locator(".message[data-role=assistant] .content a").all()) {
      assert.equal(await link.getAttribute("target"), "_blank");
      await link.hover();
    }
    await page.reload();
    assert.deepEqual(await seen(page), dead, "loaded again");
    assert.equal(await page.locator(".message[data-role=assistant]").count() > 20, true);
    await page.locator("#prompt").isEnabled();
    const place = page.url();
    await page.goto(`${place}/links`);
    await page.getByRole("button", { name: "Make a link" }).click();
    const link = await page.locator("input[data-copy]").inputValue();
    const stranger = await open();
    await stranger.page.goto(link);
    assert.deepEqual(await seen(stranger.page), dead, "shared");
    assert.equal(await stranger.page.locator(".message").count() > 20, true);
    await go("/search?q=window");
    assert.deepEqual(await seen(page), dead, "found");
    assert.deepEqual([...complaints, ...stranger.complaints], []);
    await stranger.context.close();
    await context.close();
  },

  async "questions are edited, answers given again, and each version shown"() {
    const { context, page, complaints, go } = await open();
    await register(page, go, "versions");
    await ask(page, "first words");
    assert.match(page.url(), /\/c\/[0-9a-f-]{36}$/);
    const again = page.waitForResponse((answer) => answer.url().endsWith("/messages"));
    await page.getByRole("button", { name: "Answer again" }).click();
    await again;
    await page.getByText("2/2").waitFor();
    await page.getByRole("button", { name: "Version before" }).click();
    await page.getByText("1/2").waitFor();
    await page.locator(".edit summary").click();
    await page.getByLabel("Edited message").fill("other words");
    const edited = page.waitForResponse((answer) => answer.url().endsWith("/messages"));
    await page.getByRole("button", { name: "Ask this instead" }).click();
    await edited;
    await page.locator(".message .content", { hasText: "You said: other words" }).waitFor();
    assert.equal(await page.locator(".message").count(), 2);
    assert.equal(await page.locator("#credits").textContent(), "49.7 credits");
    await page.reload();
    assert.equal(await page.getByText("2/2").count(), 1);
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "an answer is stopped, and a line that breaks is said and can be tried again"() {
    const { context, page, complaints, go } = await open();
    await register(page, go, "stops");
    await page.locator("#prompt").fill("never mind");
    await page.locator("#prompt").press("Enter");
    await page.locator("#stop").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("#send").waitFor();
    assert.equal(await page.locator("#prompt").inputValue(), "never mind", "the question goes back");
    assert.equal(await page.locator(".message").count(), 0);
    assert.equal(await page.locator("#welcome").isVisible(), true);
    await page.locator("#prompt").fill(`slow ${"and long ".repeat(30)}`);
    await page.locator("#prompt").press("Enter");
    await page.waitForFunction(() => (document.querySelector(".message[data-role=assistant] .content")?.textContent ?? "").length > 10);
    await page.keyboard.press("Escape");
    await page.locator(".message .note", { hasText: "Stopped." }).waitFor();
    await page.locator(".message[data-role=assistant] .tools").waitFor();
    const place = page.url();
    await page.route("**/ask", (route) => route.abort());
    await page.locator("#prompt").fill("once more");
    await page.locator("#prompt").press("Enter");
    await page.locator("#problem", { hasText: "broke off" }).waitFor();
    assert.equal(await page.locator("#prompt").inputValue(), "once more");
    assert.equal(await page.locator(".message").count(), 2);
    await page.getByRole("button", { name: "Answer again" }).click();
    await page.locator("#problem", { hasText: "broke off" }).waitFor();
    await page.waitForFunction(() => document.querySelectorAll(".message").length === 2);
    await page.unroute("**/ask");
    await ask(page, "once more");
    assert.equal(page.url(), place);
    assert.equal(await page.locator("#problem").isHidden(), true);
    const unexpected = complaints.filter((one) => !one.includes("ERR_FAILED"));
    assert.deepEqual(unexpected, []);
    await context.close();
  },

  async "an answer reads as Markdown while it is written, without flicker, and stays where it is read"() {
    const { context, page, complaints, go } = await open();
    await register(page, go, "watches");
    await page.locator("#prompt").fill("watch it");
    // What is seen at each moment, and each element that goes away again.
    await page.evaluate(() => {
      globalThis.seen = [];
      globalThis.gone = [];
      new MutationObserver((changes) => {
        const content = document.querySelector(".message[data-role=assistant] > .content");
        if (content === null) return;
        globalThis.seen.push(content.textContent.replaceAll("Copy code", ""));
        for (const { removedNodes, target } of changes) {
          if (!content.contains(target)) continue;
          for (const node of removedNodes) if (node instanceof Element && node.textContent.length > 20) globalThis.gone.push(node.outerHTML);
        }
      }).observe(document.querySelector("#messages"), { subtree: true, childList: true, characterData: true });
    });
    const kept = page.waitForResponse((answer) => answer.url().endsWith("/messages"));
    await page.locator("#prompt").press("Enter");
    const answer = page.locator(".message[data-role=assistant] > .content");
    await answer.locator("strong", { hasText: "bold" }).waitFor();
    assert.equal(await page.locator(".message.writing").count(), 1, "it is still being written");
    await picture(page, "writing-begun");
    await answer.locator(".code code", { hasText: "fn main" }).waitFor();
    await page.evaluate(() => {
      // Whoever marks a word while it is written still has it marked when it is whole.
      const word = document.querySelector(".message[data-role=assistant] strong").firstChild;
      getSelection().setBaseAndExtent(word, 0, word, 4);
      globalThis.block = document.querySelector(".message[data-role=assistant] .code");
    });
    await picture(page, "writing-code");
    assert.deepEqual(await faults(page, "while it is written"), []);
    await kept;
    await page.locator(".message:last-child .tools").waitFor();
    assert.equal(await page.evaluate(() => getSelection().toString()), "bold");
    assert.equal(await page.evaluate(() => globalThis.block.isConnected && globalThis.block.querySelectorAll(".copy").length), 1);
    const { marks, frames, gone } = await page.evaluate(() => ({
      marks: globalThis.seen.filter((text) => /[*`#~]|\]\(|https/.test(text)),
      frames: new Set(globalThis.seen).size,
      gone: globalThis.gone,
    }));
    assert.deepEqual(marks, [], "marks of Markdown were seen");
    assert.deepEqual(gone, [], "what was there went away");
    assert.ok(frames > 20, `${frames} moments`);
    const whole = await answer.innerHTML();
    await page.reload();
    await page.getByRole("button", { name: "Copy code" }).waitFor();
    assert.equal(await answer.innerHTML(), whole, "it is what is kept");
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "an answer is picked up after a reload and after a cut of the line, is whole, and is paid once"() {
    const { context, page, complaints, go } = await open();
    await register(page, go, "returns");
    const whole = async (credits) => {
      await page.locator(".message:last-child .content", { hasText: "Line 40 of many." }).waitFor();
      await page.locator(".message:last-child .tools").waitFor();
      assert.equal(await page.locator("#credits").textContent(), credits);
      assert.equal(await page.locator(".note").count(), 0);
      const texts = await page.locator(".message[data-role=assistant]:last-child .content > p").allTextContents();
      assert.deepEqual(texts, Array.from({ length: 40 }, (_, n) => `Line ${n + 1} of many.`));
    };
    const begin = async (text) => {
      await page.locator("#prompt").fill(text);
      await page.locator("#prompt").press("Enter");
      await page.locator(".message.writing .content", { hasText: "Line 3 of many." }).waitFor();
    };
    await begin("long one");
    await page.reload();
    // It is not whole yet, and is read on.
    await page.locator(".message.writing .content", { hasText: "Line 5 of many." }).waitFor();
    assert.equal(await page.locator(".message").count(), 2);
    assert.equal(await page.locator("#stop").isVisible(), true);
    await whole("49.9 credits");

    await begin("long two");
    await fetch(cut, { method: "POST" });
    await page.locator(".message .note", { hasText: "The connection broke off. The answer goes on" }).waitFor();
    await picture(page, "picked-up");
    assert.deepEqual(await faults(page, "while it is picked up"), []);
    await whole("49.8 credits");
    assert.equal(await page.locator("#status").textContent().then((text) => text.includes("49.8 credits left")), true);

    // The line is cut before anything came, and for longer than the page tries.
    await page.route("**/ask", (route) => route.abort());
    await page.locator("#prompt").fill("long three");
    await page.locator("#prompt").press("Enter");
    await page.locator("#problem", { hasText: "it is charged once" }).waitFor();
    await page.unroute("**/ask");
    await page.reload();
    await whole("49.7 credits");

    // What is kept by the time the page is back is shown, not asked for again.
    await begin("long four");
    const place = page.url();
    await go("/settings");
    const until = Date.now() + PATIENCE;
    while (!(await (await context.request.get(place)).text()).includes("Line <strong>40</strong> of many.</p><p>") && Date.now() < until);
    await page.goto(place);
    await whole("49.6 credits");
    assert.equal(await page.locator(".message").count(), 8);
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);

    // Picked up it can be stopped, too.
    await begin("long five");
    await page.reload();
    await page.locator(".message.writing .content", { hasText: "Line 5 of many." }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".message .note", { hasText: "Stopped." }).waitFor();
    await page.locator(".message:last-child .tools").waitFor();
    await page.reload();
    assert.equal(await page.locator(".message:last-child .note", { hasText: "Stopped." }).count(), 1);
    assert.equal(await page.locator("#credits").textContent(), "49.5 credits");
    const unexpected = complaints.filter((one) => !/ERR_(FAILED|EMPTY_RESPONSE|CONNECTION_|INCOMPLETE)/.test(one));
    assert.deepEqual(unexpected, []);
    await context.close();
  },

  async "texts go along, what is no text does not, and code is copied"() {
    const { context, page, complaints, go } = await open({ permissions: ["clipboard-read", "clipboard-write"] });
    await register(page, go, "files");
    const text = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("some notes: <b>ä</b>") };
    await page.locator("#files").setInputFiles([text, { name: "cat.png", mimeType: "image/png", buffer: Buffer.from([0x89, 0x50, 0xff, 0]) }]);
    await page.locator("#problem", { hasText: "cat.png: this file is no text." }).waitFor();
    await page.locator("#attached li", { hasText: "notes.txt" }).waitFor();
    assert.equal(await page.locator("#attached li").count(), 1);
    await ask(page, "read this");
    assert.equal(await page.locator("#attached").isHidden(), true);
    await page.locator(".message .attachment summary", { hasText: "notes.txt" }).click();
    assert.equal(await page.locator(".attachment pre").textContent(), "some notes: <b>ä</b>");
    await page.locator(".message .content", { hasText: "Attached file notes.txt:" }).waitFor();
    await ask(page, "good");
    await page.getByRole("button", { name: "Copy code" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^fn main\(\) \{\n {4}println!/);
    assert.deepEqual(complaints, []);
    await context.close();
  },

  async "every page is faultless in light and dark, on a desk and on a phone"() {
    const found = [];
    const first = await open();
    await register(first.page, first.go, "looks");
    const attached = { name: "a-file-with-a-rather-long-name-that-does-not-fit.txt", mimeType: "text/plain", buffer: Buffer.from("notes") };
    await first.page.locator("#files").setInputFiles([attached]);
    await ask(first.page, "good");
    const again = first.page.waitForResponse((answer) => answer.url().endsWith("/messages"));
    await first.page.getByRole("button", { name: "Answer again" }).click();
    await again;
    const place = new URL(first.page.url()).pathname;
    await first.go(`${place}/links`);
    await first.page.getByRole("button", { name: "Make a link" }).click();
    const link = new URL(await first.page.locator("input[data-copy]").inputValue()).pathname;
    await first.go("/keys");
    await first.page.getByLabel("What the new key is for").fill("a program");
    await first.page.getByRole("button", { name: "Make a key" }).click();
    await first.page.locator("#new-key").waitFor();
    found.push(...(await faults(first.page, "a new key")), ...first.complaints);
    const storageState = await first.context.storageState();
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        const { context, page, complaints, go } = await open({ colorScheme, viewport: { width, height: 844 }, storageState });
        const paths = { new: "/", chat: place, links: `${place}/links`, shared: link, search: "/search?q=good", archived: "/archived", settings: "/settings", keys: "/keys" };
        for (const [called, path] of Object.entries(paths)) {
          await go(path);
          const name = `${called}-${colorScheme}-${width}`;
          await picture(page, name);
          for (const details of await page.locator("main details").all()) await details.evaluate((element) => (element.open = true));
          found.push(...(await faults(page, `${path} in ${colorScheme} at ${width} px`)));
          await picture(page, `${name}-opened`);
        }
        found.push(...complaints);
        await context.close();
      }
    }
    await first.context.close();
    assert.deepEqual(found, []);
  },

  async "the keyboard reaches everything"() {
    const { context, page, go } = await open();
    await register(page, go, "keys");
    await ask(page, "good");
    await page.evaluate(() => document.querySelector(".skip")?.focus());
    const reached = new Set();
    for (let n = 0; n < 60; n += 1) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.trim().slice(0, 20) || ""));
    }
    for (const name of ["find", "Settings", "thread", "Edit", "Answer again", "Copy code", "prompt", "model", "attach"]) {
      assert.ok(reached.has(name), `${name} among ${[...reached].join(", ")}`);
    }
    await context.close();
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED: ${name}\n${error instanceof Error ? error.stack : error}`);
  }
}
await browser.close();
process.exitCode = failed > 0 ? 1 : 0;
