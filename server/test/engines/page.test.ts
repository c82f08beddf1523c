import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testAccess, testClient } from "../fixtures/test-app.ts";
import { lowContrast, openPage, startBrowser, startPageServer } from "./page-bed.ts";
import { addJob, BEGUN, FAILURE, ran, TESTS } from "./page-scenes.ts";

let browser: Browser | undefined;

beforeAll(async () => {
  browser = await startBrowser();
  if (browser === undefined) console.warn("The page is not tested: this system has no package chromium.");
});

afterAll(async () => await browser?.close());

const ROWS = `Array.from(document.querySelectorAll(".job"), (row) =>
  [".name", ".about .state"].map((part) => row.querySelector(part).textContent).join(" "))`;

/** Returns the rows of the list, as `name state` */
async function rows(page: Page): Promise<string[]> {
  return await page.evaluate<string[]>(ROWS);
}

const row = (page: Page, name: string): Locator => page.locator(".job", { hasText: name });
const step = (page: Page, name: string): Locator => page.locator(".step-head", { hasText: name });
const focused = (page: Page): Locator => page.locator(":focus");

describe("the page", () => {
  test("shows new builds, and updates them as they change", async ({ skip }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    await using open = await openPage(browser, server.url);
    const { page } = open;
    await page.getByText("Nothing has been built yet.").waitFor();
    const first = await addJob(server.store, "team/first:v1");
    await addJob(server.store, "team/second:v1");
    await expect.poll(() => rows(page)).toEqual(["team/second:v1 queued", "team/first:v1 queued"]);
    server.store.change(first, ran("running", 3_000, 1_000));
    await expect.poll(() => rows(page)).toEqual(["team/second:v1 queued", "team/first:v1 running"]);
    server.store.change(first, ran("succeeded", 3_000, 2_000));
    await row(page, "team/first:v1").getByText("2.0 s").waitFor();
    await page.locator("#live", { hasText: "first:v1 succeeded" }).waitFor({ state: "attached" });
    expect(open.complaints).toEqual([]);
  });

  test("stores the filter in the address, applies it to new builds, and loads older builds in pages", async ({
    skip,
  }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    const { store } = server;
    for (let count = 0; count < 60; count += 1)
      await addJob(store, `other/${count}:v1`, ran("succeeded", 60_000, 1_000));
    const failed = await addJob(store, "team/app:v1", ran("failed", 50_000, 1_000));
    await using open = await openPage(browser, server.url);
    const { page } = open;
    await expect.poll(async () => (await rows(page)).length).toBe(50);
    await page.getByRole("button", { name: "Older builds" }).click();
    await expect.poll(async () => (await rows(page)).length).toBe(61);
    await page.getByLabel("Image name contains").fill("team/");
    await page.getByLabel("State").selectOption("failed");
    await expect.poll(() => rows(page)).toEqual(["team/app:v1 failed"]);
    await addJob(store, "team/new:v1", ran("succeeded", 0, 1_000));
    await addJob(store, "team/new:v2", ran("failed", 0, 1_000));
    await expect.poll(() => rows(page)).toEqual(["team/new:v2 failed", "team/app:v1 failed"]);
    store.change(failed, { state: "succeeded" });
    await expect.poll(() => rows(page)).toEqual(["team/new:v2 failed"]);
    await page.reload();
    await expect.poll(() => rows(page)).toEqual(["team/new:v2 failed"]);
    expect(page.url()).toContain("#status=failed&name=team/");
    expect(open.complaints).toEqual([]);
  });

  test("shows a log live, with colours; folds completed steps, and opens a failed one", async ({ skip }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    const { store } = server;
    const id = await addJob(store, "team/app:v1", ran("running", 9_000, 1_000));
    store.log(id, BEGUN);
    await using open = await openPage(browser, `${server.url}/#job=${id}`);
    const { page } = open;
    await page.getByRole("button", { name: "Following" }).waitFor();
    await step(page, "RUN npm test").waitFor();
    await expect.poll(() => step(page, "RUN npm ci").getAttribute("aria-expanded")).toBe("false");
    store.log(id, TESTS);
    const passed = page.locator(".text", { hasText: "test/names.test.ts" });
    await passed.waitFor();
    expect(await passed.locator(".fg-2").textContent()).toBe("✓");
    expect(await step(page, "RUN npm test").getAttribute("aria-expanded")).toBe("true");
    store.log(id, FAILURE);
    store.change(id, {
      ...ran("failed", 9_000, 8_000),
      reason: { code: "build-failed", message: "The step has failed." },
    });
    await page.getByText("End of the log.").waitFor();
    await page.locator(".reason", { hasText: "The step has failed." }).waitFor();
    expect(await page.locator(".step[data-step=failed]").textContent()).toContain("exit code: 1");
    expect(await step(page, "RUN npm test").getAttribute("aria-expanded")).toBe("true");
    expect(await page.getByText("added 214 packages").count()).toBe(0);
    await step(page, "RUN npm ci").click();
    expect(await page.getByText("added 214 packages").getAttribute("class")).toBe("fg-2");
    await page.getByText(">>> RUN npm test").waitFor();
    expect(await page.title()).toBe("failed: app:v1");
    expect(open.complaints).toEqual([]);
  });

  test("stays small with a log of 100,000 lines, follows its end, and stops following it when a person scrolls up", async ({
    skip,
  }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    const { store } = server;
    const id = await addJob(store, "team/app:v1", ran("running", 9_000, 1_000));
    store.log(id, ["#1 RUN make", ...Array.from({ length: 100_000 }, (_, index) => `#1 1.000 line ${index}`)]);
    await using open = await openPage(browser, `${server.url}/#job=${id}`);
    const { page } = open;
    const last = page.getByText("line 99999", { exact: true });
    await last.waitFor();
    await expect.poll(() => page.evaluate("main.scrollHeight - main.scrollTop - main.clientHeight")).toBeLessThan(2);
    expect(await page.locator(".line").count()).toBeLessThan(5_000);
    await page.mouse.move(900, 500);
    await page.mouse.wheel(0, -600);
    await page.getByRole("button", { name: "Follow", exact: true }).waitFor();
    const top = await page.evaluate("main.scrollTop");
    store.log(id, ["#1 2.000 one more"]);
    await page.getByText("one more").waitFor({ state: "attached" });
    expect(await page.evaluate("main.scrollTop")).toBe(top);
    await page.getByRole("button", { name: "Follow", exact: true }).click();
    await page.getByRole("button", { name: /^Show 4,000 earlier lines/ }).click();
    expect(await page.locator(".line").count()).toBeGreaterThan(7_000);
    expect(open.complaints).toEqual([]);
  });

  test("shows names, logs and reasons as text, whatever they contain", async ({ skip }) => {
    if (browser === undefined) return skip();
    const hostile = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
    await using server = await startPageServer();
    const { store } = server;
    const change = {
      ...ran("failed", 9_000, 1_000),
      owner: hostile,
      reason: { code: "x", message: hostile, hint: hostile },
    };
    const id = await addJob(store, `team/${hostile}`, change);
    store.log(id, [`#1 ${hostile}`, `#1 1.000 ${hostile}`, `#1 ERROR: ${hostile}`, hostile]);
    await using open = await openPage(browser, `${server.url}/#job=${id}`);
    const { page } = open;
    await page.getByText("End of the log.").waitFor();
    await expect.poll(() => page.locator(".text", { hasText: hostile }).count()).toBe(3);
    expect(await page.locator("h2.job-title").textContent()).toBe(`team/${hostile}`);
    expect(await page.locator(".reason-text").textContent()).toBe(hostile);
    expect(await page.locator("main img, main script, .list img, .list script").count()).toBe(0);
    expect(open.complaints).toEqual([]);
    // The browser does not allow anything else either.
    await expect(page.evaluate("main.innerHTML = '<b>x</b>'")).rejects.toThrow("TrustedHTML");
    await page.evaluate(
      "main.append(Object.assign(document.createElement('img'), { src: 'http://127.0.0.1:9/x.png' }))",
    );
    await expect.poll(() => open.complaints.join()).toContain("Content Security Policy");
  });

  test("cancels and retries a build", async ({ skip }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    const { store } = server;
    const source = { kind: "address", url: "https://files.example.com/app.tar" } as const;
    const id = await addJob(store, "team/app:v1", { source });
    await addJob(store, "team/app:v2");
    await using open = await openPage(browser, `${server.url}/#job=${id}`);
    const { page } = open;
    const [cancel, retry] = [page.getByRole("button", { name: "Cancel" }), page.getByRole("button", { name: "Retry" })];
    await page.locator(".job-view", { hasText: "queued, next" }).waitFor();
    expect(await retry.isDisabled()).toBe(true);
    await cancel.click();
    await page.locator(".job-view .state", { hasText: "cancelled" }).waitFor();
    expect(store.jobOf(id).state).toBe("cancelled");
    expect(await cancel.isDisabled()).toBe(true);
    await retry.click();
    await expect.poll(() => page.url()).not.toContain(id);
    await page.locator(".job-view", { hasText: "queued, 1 ahead" }).waitFor();
    const { job } = store.added.at(-1) ?? {};
    expect([job?.retryOf, job?.name]).toEqual([id, "team/app:v1"]);
    expect(page.url()).toContain(job?.id);
    expect(open.complaints).toEqual([]);
  });

  test("requests the registry's password for the retry of a build that had one, and sends it only with that request", async ({
    skip,
  }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    const { store } = server;
    const source = { kind: "address", url: "https://files.example.com/app.tar" } as const;
    const id = await addJob(store, "team/app:v1", { ...ran("failed", 9_000, 1_000), source, hasCredentials: true });
    await using open = await openPage(browser, `${server.url}/#job=${id}`);
    const { page } = open;
    const retry = page.locator(".tools").getByRole("button", { name: "Retry" });
    await expect.poll(() => retry.isEnabled()).toBe(true);
    await retry.click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    expect(store.added.length).toBe(1);
    await retry.click();
    await page.getByLabel("User").fill("somebody");
    await page.getByLabel("Password").fill("registry-password");
    await page.keyboard.press("Enter");
    await expect
      .poll(() => store.added.at(-1)?.credentials)
      .toMatchObject({ username: "somebody", password: "registry-password" });
    expect(await page.getByLabel("Password").inputValue()).toBe("");
    expect(
      await page.evaluate("JSON.stringify([sessionStorage, localStorage, document.cookie, location.href])"),
    ).not.toContain("registry-password");
    expect(open.complaints).toEqual([]);
  });

  test("requests the token, and keeps it in this tab's session only, until the person signs out", async ({ skip }) => {
    if (browser === undefined) return skip();
    const access = testAccess([testClient("secret-token", { scope: ["admin"] })]);
    const refused: (string | undefined)[] = [];
    const client: typeof access.client = (authorization) => {
      const found = access.client(authorization);
      if (found === undefined) refused.push(authorization);
      return found;
    };
    await using server = await startPageServer({ access: { ...access, client } });
    await addJob(server.store, "team/app:v1");
    await using open = await openPage(browser, server.url);
    const { page } = open;
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.getByLabel("Token").fill("wrong-token");
    await page.keyboard.press("Enter");
    await page.getByText("The server does not accept this token.").waitFor();
    await page.keyboard.press("Escape");
    await page.getByLabel("Token").fill("secret-token");
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect.poll(() => rows(page)).toEqual(["team/app:v1 queued, next"]);
    // One request detects that a token is needed, and the others wait for it.
    expect(refused).toEqual([undefined, "Bearer wrong-token"]);
    const storage = "JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie, location.href])";
    const [session, ...elsewhere] = JSON.parse(await page.evaluate<string>(storage)) as unknown[];
    expect(Object.values(session as object)).toEqual(["secret-token"]);
    expect(JSON.stringify(elsewhere)).not.toContain("secret");
    await page.reload();
    await expect.poll(() => rows(page)).toEqual(["team/app:v1 queued, next"]);
    const other = await page.context().newPage();
    await other.goto(server.url);
    await other.getByLabel("Token").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Token").waitFor();
    expect(await rows(page)).toEqual([]);
    expect(await page.evaluate<string>(storage)).not.toContain("secret");
    expect(requests.join(" ")).not.toContain("token");
    expect(open.complaints).toEqual([]);
  });

  test("makes everything reachable by keyboard", async ({ skip }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    const { store } = server;
    const older = await addJob(store, "team/older:v1", ran("succeeded", 9_000, 1_000));
    const id = await addJob(store, "team/app:v1", ran("failed", 9_000, 1_000));
    store.log(id, [...BEGUN, ...TESTS, ...FAILURE]);
    await using open = await openPage(browser, server.url);
    const { page } = open;
    const press = async (...keys: string[]): Promise<void> => {
      for (const key of keys) await page.keyboard.press(key);
    };
    await row(page, "team/app:v1").waitFor();
    await press("Tab");
    expect(await focused(page).textContent()).toBe("Skip to the build");
    await press("j", "j");
    expect(await focused(page).getAttribute("href")).toBe(`#job=${older}`);
    expect(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")).toBe("solid");
    await press("k", "Enter");
    await page.getByText("End of the log.").waitFor();
    expect(await focused(page).textContent()).toBe("team/app:v1");
    await press("e");
    expect(await focused(page).textContent()).toContain("RUN npm test");
    await press("Enter");
    expect(await focused(page).getAttribute("aria-expanded")).toBe("false");
    await press("Escape");
    await expect.poll(() => focused(page).getAttribute("href")).toBe(`#job=${id}`);
    expect(await page.locator(".overview").count()).toBe(1);
    await press("/");
    await page.keyboard.type("older");
    await expect.poll(() => rows(page)).toEqual(["team/older:v1 succeeded"]);
    await press("ArrowDown", "ArrowUp", "Escape");
    await expect.poll(async () => (await rows(page)).length).toBe(2);
    await press("Tab", "Tab", "Tab", "ArrowUp");
    expect(await focused(page).getAttribute("href")).toBe(`#job=${id}`);
    await press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await press("Space", "Escape", "j");
    expect(await focused(page).getAttribute("href")).toBe(`#job=${id}`);
    expect(open.complaints).toEqual([]);
  });

  test.each([
    ["dark", 1280],
    ["light", 1280],
    ["dark", 320],
    ["light", 320],
  ] as const)(
    "%s, %i pixels wide: all text has sufficient contrast, and nothing is wider than the screen",
    async (colorScheme, width) => {
      if (browser === undefined) return;
      await using server = await startPageServer();
      const { store } = server;
      const long = `registry.example.com/${"a-rather-long-namespace/".repeat(4)}app:v1`;
      for (const state of ["queued", "running", "pushing", "succeeded", "cancelled", "timed_out"] as const) {
        await addJob(store, long, ran(state, 700_000, 600_000));
      }
      const id = await addJob(store, long, {
        ...ran("failed", 9_000, 1_000),
        reason: { code: "x", message: "y".repeat(300) },
      });
      const palette = Array.from({ length: 16 }, (_, n) => `\u001b[38;5;${n}mfg\u001b[0m \u001b[48;5;${n}mbg\u001b[0m`);
      store.log(id, [...BEGUN, ...TESTS, ...palette.map((text) => `#7 3.000 ${text}`), ...FAILURE, "x".repeat(500)]);
      const disk = { images: 14_200_000_000, cache: 8_400_000_000, volumes: 120_000_000, containers: 0 };
      const engine = {
        address: `ssh://${"long-".repeat(30)}host.example.com`,
        isReachable: true,
        version: "28.1.1",
        disk,
      };
      await store.report({ worker: "builder-1:4121", at: Date.now(), engine, places: 2, running: [] });
      await using open = await openPage(browser, server.url, { colorScheme, viewport: { width, height: 700 } });
      const { page } = open;
      for (const hash of ["#", "#view=workers", `#job=${id}`]) {
        await page.goto(`${server.url}/${hash}`);
        if (hash.includes("workers")) await page.locator(".worker").waitFor();
        if (hash.includes("job")) await page.getByText("End of the log.").waitFor();
        await row(page, "app:v1").last().waitFor({ state: "attached" });
        expect(await lowContrast(page)).toEqual([]);
        const wide =
          "[document.documentElement, main, document.querySelector('.list')].map((e) => e.scrollWidth - e.clientWidth)";
        expect(await page.evaluate(wide)).toEqual([0, 0, 0]);
      }
      const ground = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
      expect(ground).toBe(colorScheme === "dark" ? "rgb(18, 22, 27)" : "rgb(255, 255, 255)");
      expect(open.complaints).toEqual([]);
    },
  );

  test("after an outage of the server, completes the list and continues the log at the same place", async ({
    skip,
  }) => {
    if (browser === undefined) return skip();
    await using server = await startPageServer();
    const { store } = server;
    const id = await addJob(store, "team/app:v1", ran("running", 9_000, 1_000));
    store.log(id, ["#1 RUN make", "#1 1.000 one", "#1 2.000 two"]);
    await using open = await openPage(browser, `${server.url}/#job=${id}`);
    const { page } = open;
    await page.locator(".text", { hasText: "two" }).waitFor();
    await server.stop();
    await page.getByText("reconnecting", { exact: true }).waitFor();
    await page.getByText("The connection is lost.").waitFor();
    await addJob(store, "team/meanwhile:v1");
    store.log(id, ["#1 3.000 three"]);
    await server.start();
    await page.locator(".text", { hasText: "three" }).waitFor();
    await expect.poll(() => rows(page)).toEqual(["team/meanwhile:v1 queued, next", "team/app:v1 running"]);
    await page.getByText("live", { exact: true }).waitFor();
    store.change(id, ran("succeeded", 9_000, 8_000));
    await page.getByText("End of the log.").waitFor();
    expect(await step(page, "RUN make").textContent()).toContain("3 lines");
    expect(open.complaints).toEqual([]);
  });
});
