// Drives the playground page in headless Chromium: node page-test.mjs URL [FOLDER FOR SCREENSHOTS]
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [url, folder] = process.argv.slice(2);
const { chromium } = createRequire(path.join(process.env.MODULES ?? process.cwd(), "x.js"))("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  // Whatever is not the gateway itself would be an outside asset.
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) page.faults.push(request.url());
  });
  await page.goto(url);
  await page.waitForSelector("#model option", { state: "attached" });
  await page.waitForFunction(() => document.querySelector("#balance").textContent !== "–");
  return page;
}
const shot = async (page, name) => folder && page.screenshot({ path: path.join(folder, name + ".png") });
const idle = (page) => page.waitForFunction(() => document.querySelector("#send").textContent === "Send" && document.querySelector("#turns .turn"), null, { timeout: 20000 });
async function say(page, model, text) {
  await page.selectOption("#model", model);
  await page.fill("#prompt", text);
  await page.press("#prompt", "Enter");
}
async function test(name, options, run) {
  const page = await open(options);
  await run(page);
  assert.deepEqual(page.faults, [], name);
  await page.context().close();
  console.log("ok", name);
}

// The contrast of every visible text against what is behind it (WCAG 2 relative luminance).
const contrasts = () => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => { paint.clearRect(0, 0, 1, 1); paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); return [...paint.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest(".sr, .skip, svg, option") || node.disabled) continue;
    let behind = node;
    while (behind && rgb(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(rgb(getComputedStyle(behind ?? document.body).backgroundColor))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)} ${node.textContent.slice(0, 30)}`);
  }
  return poor;
};

await test("a chat streams, and cost and limits move", {}, async (page) => {
  await shot(page, "start-light");
  const spent = await page.textContent("#spent");
  await say(page, "mock/typing", "Hello there, this is a first message of ten words.");
  await page.waitForFunction(() => document.querySelector(".assistant.live .text")?.textContent.includes("there"));
  await shot(page, "streaming-light");
  await idle(page);
  assert.equal(await page.textContent(".assistant > .text"), "Hello there, this is a first message of ten words.");
  await page.waitForFunction((before) => document.querySelector("#spent").textContent !== before, spent);
  assert.match(await page.textContent("#facts"), /First event/);
  assert.deepEqual(await page.evaluate(contrasts), []);
  await page.click("#tab-raw");
  assert.match(await page.textContent("#events li:last-child"), /\[DONE\]/);
  await shot(page, "raw-light");
});

await test("one piece, thoughts and calls", { colorScheme: "dark" }, async (page) => {
  await say(page, "mock/reasoning", "Good morning");
  await idle(page);
  assert.ok((await page.textContent("details.thought")).length > 10);
  await page.uncheck("#stream");
  await say(page, "mock/echo", "In one piece");
  await page.waitForFunction(() => document.querySelectorAll(".assistant").length === 2 && document.querySelector("#send").textContent === "Send");
  assert.match(await page.textContent("#cost"), /USD/);
  await page.check("#stream");
  await page.check("#tool");
  await say(page, "mock/tool", "What is the weather in Izmir?");
  await page.waitForFunction(() => document.querySelectorAll(".assistant").length === 3 && document.querySelector("#send").textContent === "Send");
  assert.match(await page.textContent(".call"), /get_weather\(/);
  assert.deepEqual(await page.evaluate(contrasts), []);
  await shot(page, "chat-dark");
});

await test("failures are shown as what they are", { colorScheme: "dark" }, async (page) => {
  await say(page, "mock/rate-limited", "Hello");
  await page.waitForSelector(".fault");
  assert.match(await page.textContent(".fault"), /429/);
  await idle(page);
  await say(page, "mock/cut", "one two three four five six");
  await page.waitForFunction(() => document.querySelectorAll(".fault").length === 2);
  assert.match((await page.locator(".fault").allTextContents())[1], /broke off/);
  await idle(page);
  await page.fill("#temperature", "3.5");
  await say(page, "mock/echo", "Too hot");
  await page.waitForFunction(() => document.querySelectorAll(".fault").length === 3);
  assert.match((await page.locator(".fault").allTextContents())[2], /temperature/);
  await idle(page);
  assert.deepEqual(await page.evaluate(contrasts), []);
  await shot(page, "failures-dark");
  await page.fill("#key", "sk-wrong");
  await page.press("#key", "Tab");
  await page.waitForFunction(() => document.querySelector("#about").textContent.startsWith("No models"));
});

await test("everything by keyboard", {}, async (page) => {
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
  await page.selectOption("#model", "mock/slow").catch(() => {});
  await page.focus("#prompt");
  await page.keyboard.type("first line");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("second line");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".turn.user");
  assert.match(await page.textContent(".turn.user .text"), /first line\nsecond line/);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".fault");
  await idle(page);
  await page.focus("#tab-chat");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.getAttribute("#tab-raw", "aria-selected"), "true");
  await page.focus("#theme");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("button, input, select, textarea")]
    .filter((node) => !node.labels?.length && !node.textContent.trim() && !node.getAttribute("aria-label")).map((node) => node.id));
  assert.deepEqual(unnamed, []);
});

await test("a narrow screen", { viewport: { width: 390, height: 844 } }, async (page) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0);
  await say(page, "mock/echo", "On a phone");
  await idle(page);
  await shot(page, "narrow");
});
await browser.close();
