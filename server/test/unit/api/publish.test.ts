/** The core's client `publish` with this API: their code is in two packages, and must match. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeEach, expect, test } from "vitest";
import { parseNamePattern } from "docker-over-ssh/builds";
import { codesOf, folder, logOf, runPublish } from "../../../../test/unit/publish/run-publish.ts";
import { testAccess, testApp, testClient, type TestApp } from "../../fixtures/test-app.ts";

const IMAGE_ID = `sha256:${"5d".repeat(32)}`;
const context = join(folder, "app");
mkdirSync(context);
writeFileSync(join(context, "Dockerfile"), "FROM scratch\n");

let bed: TestApp;
let server: string;
beforeEach(async () => {
  const clients = [
    testClient("ci", { images: [parseNamePattern("team/*")] }),
    testClient("submitter", { scope: ["build"] }),
  ];
  bed = testApp({ access: testAccess(clients) });
  await bed.app.listen({ host: "127.0.0.1", port: 0 });
  server = `http://127.0.0.1:${(bed.app.server.address() as AddressInfo).port}`;
  return async () => await bed[Symbol.asyncDispose]();
});

const run = async (options: Parameters<typeof runPublish>[0] = {}) =>
  await runPublish({ server, context, env: { BUILD_AUTH: "ci" }, ...options });

/** Calls `act` with the ID of the build when it is accepted. */
const whenAccepted =
  (act: (id: string) => void): NonNullable<Parameters<typeof runPublish>[0]["onEvent"]> =>
  (event) => {
    if (event.type === "note" && event.code === "build-accepted") act(event.id);
  };

const lines = (count: number): string[] => Array.from({ length: count }, (_, index) => `#1 line ${index} é`);

test("returns a build with its files, its log and its result", async () => {
  const DOCKER_AUTH_CONFIG = JSON.stringify({
    auths: { "https://index.docker.io/v1/": { auth: Buffer.from("team:pw").toString("base64") } },
  });
  const published = await run({
    env: { BUILD_AUTH: "ci", DOCKER_AUTH_CONFIG },
    target: "prod",
    buildArg: [["A", "1"]],
    label: [["l", "2"]],
    platform: { os: "linux", architecture: "arm64" },
    onEvent: whenAccepted((id) => {
      bed.store.log(id, lines(100));
      bed.store.change(id, {
        state: "succeeded",
        finishedAt: 1,
        imageId: IMAGE_ID,
        size: 1000,
        phases: { build: 4000, push: 500 },
      });
    }),
  });
  expect(published.error).toBeUndefined();
  expect(logOf(published)).toEqual(lines(100));
  expect(published.events.at(-1)).toMatchObject({
    type: "built",
    id: IMAGE_ID,
    size: 1000,
    ms: { build: 4000, push: 500 },
  });
  const [{ job, body, credentials } = {}] = bed.store.added;
  expect(job).toMatchObject({
    name: "team/app:v2",
    owner: "ci",
    order: {
      file: "Dockerfile",
      target: "prod",
      platform: "linux/arm64",
      push: true,
      purge: true,
      buildArgs: { A: "1" },
      labels: { l: "2" },
    },
  });
  expect(credentials).toMatchObject({ username: "team", password: "pw" });
  expect(gunzipSync(await readFile(body?.path ?? "")).toString()).toContain("FROM scratch");
});

test("continues the log after all connections are lost", async () => {
  let id = "";
  let cuts = 0;
  const published = await run({
    onEvent(event) {
      if (event.type === "note" && event.code === "build-accepted") {
        ({ id } = event);
        bed.store.log(id, lines(50));
      }
      if (event.type === "build-text" && event.text.includes("line 49 ") && cuts++ === 0) {
        bed.app.server.closeAllConnections();
        bed.store.log(id, lines(60).slice(50));
        bed.store.change(id, { state: "failed", finishedAt: 1, reason: { code: "build-failed", message: "step 2" } });
      }
    },
  });
  expect(published.error).toMatchObject({ code: "build-failed", message: "step 2" });
  expect(logOf(published)).toEqual(lines(60));
  expect(codesOf(published)).toContain("connecting-in");
});

test("treats an upload whose response is lost as one build", async () => {
  const add = bed.store.add.bind(bed.store);
  bed.store.add = async (job) => {
    bed.store.add = add;
    const added = await add(job);
    bed.app.server.closeAllConnections();
    return added;
  };
  const published = await run({
    onEvent: whenAccepted((id) => bed.store.change(id, { state: "succeeded", finishedAt: 1 })),
  });
  expect(published.error).toBeUndefined();
  expect((await bed.store.list({ limit: 10 })).jobs).toHaveLength(1);
  expect(codesOf(published)).toContain("connecting-in");
});

test("reports the position in the queue", async () => {
  await run({ detach: true });
  let id = "";
  const published = await run({
    onEvent(event) {
      if (event.type !== "note") return;
      if (event.code === "build-accepted") ({ id } = event);
      if (event.code === "build-waiting" && event.ahead === 1)
        bed.store.change(id, { state: "succeeded", finishedAt: 1 });
    },
  });
  expect(codesOf(published)).toEqual(["build-accepted", "build-waiting"]);
});

test("cancels the build on SIGTERM", async () => {
  const stop = new AbortController();
  await run({
    signal: stop.signal,
    onEvent: whenAccepted(() => stop.abort(Object.assign(new Error("stopped"), { signal: "SIGTERM" }))),
  });
  const { jobs } = await bed.store.list({ limit: 10 });
  expect(jobs.map(({ state }) => state)).toEqual(["cancelled"]);
});

test("explains why a build is rejected: its token, its name, its scope or its size", async () => {
  const large = join(folder, "large");
  mkdirSync(large);
  writeFileSync(join(large, "Dockerfile"), "FROM scratch\n");
  writeFileSync(join(large, "large"), randomBytes(8_000_000));
  const refused = async (options: Parameters<typeof run>[0]): Promise<unknown> => (await run(options)).error;
  expect(await refused({ env: { BUILD_AUTH: "nobody" } })).toMatchObject({
    code: "refused",
    message: expect.stringContaining("does not know the token") as string,
  });
  expect(await refused({ name: "other/app" })).toMatchObject({
    code: "refused",
    message: expect.stringContaining("other/app") as string,
  });
  expect(await refused({ env: { BUILD_AUTH: "submitter" } })).toMatchObject({
    message: expect.stringContaining('"read"') as string,
  });
  expect(await refused({ context: large })).toMatchObject({
    code: "refused",
    message: expect.stringContaining("larger than") as string,
  });
  expect(bed.store.added).toEqual([]);
  expect(await refused({ env: { BUILD_AUTH: "submitter" }, detach: true })).toBeUndefined();
});

test("names the fields that the server does not accept", async () => {
  const { error } = await run({ label: [["a b", "1"]], target: "" });
  expect(error).toMatchObject({ code: "refused", expected: expect.stringMatching(/target.*labels\.a b/) as string });
});
