// Runs what the tests ask of Chromium: one JSON line in (page, options, code), one JSON line out (value or error).
// `code` is the body of an async function that is given the page and `tools`. What a page asks for elsewhere, and what it
// says is wrong (a breach of its content security policy among it), is kept in `tools.wrong`.
import { createInterface } from "node:readline";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [modules, chromiumPath] = process.argv.slice(2);
const { chromium } = (await import(join(modules, "playwright-core/index.js"))).default;
const axe = readFileSync(join(modules, "axe-core/axe.min.js"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "wardstream-chromium-"));
const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browsers = [];
const pages = new Map();
const tools = { wrong: [], check };

async function opened(name, options) {
  const known = pages.get(name);
  if (known) return known;
  // A browser of its own for each page: what one sees must not come from what another one holds.
  const context = await chromium.launchPersistentContext(join(folder, name), { executablePath: chromiumPath, args: ARGS, timeout: 60_000, viewport: { width: 1366, height: 768 }, ...options });
  browsers.push(context);
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(20_000);
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && tools.origin && origin !== tools.origin) tools.wrong.push(`asked for ${origin}`);
  });
  page.on("pageerror", (error) => tools.wrong.push(`${error}`));
  page.on("console", (message) => {
    if (/content security policy/i.test(message.text())) tools.wrong.push(message.text());
  });
  pages.set(name, page);
  return page;
}

/** What axe finds wrong on a page that is serious or critical. It comes by the debugger, which no policy stops. */
async function check(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe });
  await session.detach();
  const found = await page.evaluate(() => globalThis.axe.run());
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.target} (${node.failureSummary})`).join("; ")}`);
}

const AsyncFunction = (async () => {}).constructor;
for await (const line of createInterface({ input: process.stdin })) {
  const { page, options, code } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await new AsyncFunction("page", "tools", code)(await opened(page, options), tools)) ?? null };
  } catch (error) {
    answer = { error: `${error.stack}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await Promise.allSettled(browsers.map((browser) => browser.close()));
rmSync(folder, { recursive: true, force: true });
