import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { servePage } from "../../src/page/serve-page.ts";
import { installProgram } from "../../../test/testbed/packages.ts";
import { MemoryStore } from "../fixtures/memory-store.ts";
import { testApp, type TestApp } from "../fixtures/test-app.ts";
import type { AppOptions } from "../../src/api/app.ts";

/** Starts Debian's browser; returns undefined if the system has no such package. */
export async function startBrowser(): Promise<Browser | undefined> {
  const executablePath = await installProgram("chromium");
  if (executablePath === undefined) return undefined;
  return await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A server with the page. It can be stopped and restarted with the content of its store. Disposing ends it. */
export interface PageServer extends AsyncDisposable {
  store: MemoryStore;
  url: string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

export async function startPageServer(options: Partial<AppOptions> = {}): Promise<PageServer> {
  const store = new MemoryStore();
  let bed: TestApp | undefined;
  const server: PageServer = {
    store,
    url: "http://127.0.0.1:0",
    async start() {
      bed = testApp({ ...options, store, plugins: [servePage] });
      server.url = await bed.app.listen({ host: "127.0.0.1", port: Number(new URL(server.url).port) });
    },
    async stop() {
      await bed?.app.close();
    },
    async [Symbol.asyncDispose]() {
      await bed?.[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
  await server.start();
  return server;
}

/**
 * A page in a separate browser session, with the messages of its console that do not concern the network. Disposing
 * closes it.
 */
export interface OpenPage extends AsyncDisposable {
  page: Page;
  complaints: string[];
}

export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.setDefaultTimeout(10_000);
  page.on("console", (message) => {
    const isNetwork = message.text().startsWith("Failed to load resource");
    if (!isNetwork && ["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", ({ message }) => complaints.push(message));
  await page.goto(url);
  return {
    page,
    complaints,
    async [Symbol.asyncDispose]() {
      await context.close();
    },
  };
}

const LOW_CONTRAST = readFileSync(join(import.meta.dirname, "../fixtures/low-contrast.js"), "utf8");

/** Returns the texts of the page whose contrast with their background is lower than WCAG's level AA requires. */
export async function lowContrast(page: Page): Promise<string[]> {
  return await page.evaluate<string[]>(LOW_CONTRAST);
}
