/**
 * What the page's tests share: Debian's Chromium, driven by playwright-core, and a real server.
 *
 * Knows where a Chromium may lie and what must hold at the end of every test: nothing on the
 * browser's console, no request to another host. Where there is no Chromium the tests are ignored,
 * with a name that says so.
 */
import assert from "node:assert/strict";
import { type Browser, chromium, type Page } from "playwright-core";
import type { FakeEngine, FakeEngineOptions } from "../model/fake_engine.ts";
import { ids, type TestApp, testApp } from "../routes/helpers.ts";

/** Ours, or a name to look up on the PATH. */
const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Milliseconds that anything in the browser may take; far more than it needs. */
const PATIENCE = 20_000;

/** What the fake model says, over and over. */
const DASHES = ids(" Oui, bien sûr.\n- Et avec ça ?\n-");

export const chromiumPath = findChromium();

function findChromium(): string | undefined {
  const chosen = Deno.env.get("CHROMIUM");
  if (chosen) return chosen;
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    for (const name of NAMES) {
      const path = `${folder}/${name}`;
      try {
        if (Deno.statSync(path).isFile) return path;
      } catch {
        // Not here.
      }
    }
  }
}

/** One for all tests of a file; each gets a profile of its own. */
let browser: Promise<Browser> | undefined;
Deno.test.afterAll(closeBrowser);

export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
}

export interface SceneOptions {
  /** What stands behind the routes; by default a fake engine that speaks in dashes. */
  engine?: FakeEngineOptions;
  width?: number;
  height?: number;
  /** The system's theme, as the browser reports it. */
  theme?: "light" | "dark";
  reducedMotion?: "reduce";
  /** Keys that the server asks for. */
  keys?: string[];
  /** What the browser's console may say, such as that a request was refused. */
  expected?: RegExp;
}

export interface Scene {
  page: Page;
  url: string;
  engine: FakeEngine;
}

/** A test with the page open, in a fresh profile and against a fresh server. */
export function pageTest(
  name: string,
  options: SceneOptions,
  body: (scene: Scene) => Promise<void>,
): void {
  browserTest(name, async () => {
    const { engine: fake, keys = [] } = options;
    const { app, engine } = testApp({ script: DASHES, ...fake }, {}, { keys });
    await serving(app, (url) => withPage(url, options, (page) => body({ page, url, engine })));
  });
}

/** A test that needs Chromium. */
export function browserTest(name: string, body: () => Promise<void>): void {
  const ignore = chromiumPath === undefined;
  Deno.test({
    name: ignore ? `${name} (no Chromium found: apt-get install chromium, or set CHROMIUM)` : name,
    ignore,
    // Playwright keeps timers and pipes of its own.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: body,
  });
}

/** Opens the page at `url`, and fails on what the browser complained of. */
export async function withPage(
  url: string,
  options: SceneOptions,
  body: (page: Page) => Promise<void>,
): Promise<void> {
  const { width = 1280, height = 800, theme = "light", expected } = options;
  browser ??= chromium.launch({ executablePath: chromiumPath!, args: ARGUMENTS });
  const context = await (await browser).newContext({
    viewport: { width, height },
    colorScheme: theme,
    reducedMotion: options.reducedMotion ?? null,
    permissions: ["clipboard-read", "clipboard-write"],
    locale: "fr-FR",
  });
  try {
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type())) return;
      if (!expected?.test(message.text())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(`${url}/`)) complaints.push(`asked ${request.url()}`);
    });
    await page.goto(`${url}/`);
    await body(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** Serves `app` on loopback, and closes at once when done, whatever the browser keeps open. */
export async function serving(
  app: TestApp["app"],
  body: (url: string) => Promise<void>,
): Promise<void> {
  const closing = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: closing.signal, onListen() {} },
    (request) => app.fetch(request),
  );
  try {
    await body(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    closing.abort();
    await server.finished;
  }
}
