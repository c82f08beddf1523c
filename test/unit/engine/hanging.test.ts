import { createServer, type ServerResponse } from "node:http";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { connectEngine } from "../../../src/engine/open/connect-engine.ts";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { parseHost } from "../../../src/engine/connect/endpoint.ts";
import { answer, fakeEngine, latch, rejection, temporaryFolder } from "./fake-engine.ts";

const reason = new Error("Ctrl-C");
/** Routes that never answer. */
const silent = new Proxy({}, { get: () => () => {} });

describe("an engine that never answers", () => {
  test.skipIf(process.platform === "win32")("an abort ends the connection attempt", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "engine.sock");
    const asked = latch();
    const server = createServer(asked.open);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const abort = new AbortController();
    const connecting = rejection(connectEngine(parseHost(`unix://${path}`, "-H"), {}, abort.signal));
    await asked.opened;
    abort.abort(reason);
    expect(await connecting).toBe(reason);
    await new Promise((resolve) => server.close(resolve)); // no connection is left
  });

  test("after an abort, nothing connects", async () => {
    await using fake = await fakeEngine();
    expect(await rejection(openEngine(fake.endpoint, AbortSignal.abort(reason)))).toBe(reason);
  });

  test.each<[string, (engine: Engine) => Promise<unknown>]>([
    ["info", (engine) => engine.info()],
    ["inspectImage", (engine) => engine.inspectImage("app:v1")],
    ["listReferences", (engine) => engine.listReferences()],
    ["listImageIds", (engine) => engine.listImageIds()],
    ["listedSize", (engine) => engine.listedSize("app:v1")],
    ["findContainers", (engine) => engine.findContainers("run")],
    ["saveImage", (engine) => engine.saveImage("app:v1")],
    ["pullImage", (engine) => engine.pullImage("app:v1")],
  ])("an abort ends %s", async (_name, call) => {
    await using fake = await fakeEngine(silent);
    const abort = new AbortController();
    await using engine = await openEngine(fake.endpoint, abort.signal);
    const called = rejection(call(engine));
    await vi.waitUntil(() => fake.seen.length > 0);
    abort.abort(reason);
    expect(await called).toBe(reason);
  });
});

describe("an engine that stops answering", () => {
  const timeout = 50; // for an answer; the limit for work is ten times as long
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());
  /** Returns the error with which a call rejects after the time limit. */
  const rejectionInTime = async (promise: Promise<unknown>): ReturnType<typeof rejection> => {
    const settled = vi.fn<() => void>();
    const rejected = rejection(promise).finally(settled);
    while (settled.mock.calls.length === 0) {
      await new Promise(setImmediate);
      vi.advanceTimersByTime(timeout);
    }
    return await rejected;
  };
  const silence = {
    code: "engine-unreachable",
    message: expect.stringMatching(/ has not answered to .* for [\d.]+ s/) as string,
    hint: "Check whether it hangs (docker info) and read its log. push, pull and build wait longer with --timeout SECONDS.",
  };

  test.each<[string, (engine: Engine) => Promise<unknown>]>([
    ["info", (engine) => engine.info()],
    ["inspectImage", (engine) => engine.inspectImage("app:v1")],
    ["listReferences", (engine) => engine.listReferences()],
    ["findContainers", (engine) => engine.findContainers("run")],
    ["tagImage", (engine) => engine.tagImage("app:v1", "app:v2")],
    ["saveImage", (engine) => engine.saveImage("app:v1")],
    ["pullImage", (engine) => engine.pullImage("app:v1")],
    ["pushImage", (engine) => engine.pushImage("app:v1")],
    ["loadImage", (engine) => engine.loadImage(Readable.from([Buffer.from("tar")]))],
    ["openFiles", (engine) => engine.openFiles("app:v1", {})],
  ])("%s fails", async (_name, call) => {
    await using fake = await fakeEngine(silent);
    await using engine = await openEngine(fake.endpoint, undefined, { timeout });
    expect(await rejectionInTime(call(engine))).toMatchObject(silence);
  });

  test("the connection fails if the server accepts and never answers", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "engine.sock");
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(
      await rejectionInTime(connectEngine(parseHost(`unix://${path}`, "-H"), {}, undefined, { timeout })),
    ).toMatchObject({
      ...silence,
      message: expect.stringContaining("GET /_ping") as string,
      hint: expect.stringContaining("--timeout") as string,
    });
    await new Promise((resolve) => server.close(resolve)); // no connection is left
  });

  test("a silent engine fails a request in the middle of an answer, and of an archive", async () => {
    await using fake = await fakeEngine({ "GET /images/app:v1/get": (_, response) => response.write("a beginning") });
    await using engine = await openEngine(fake.endpoint, undefined, { timeout });
    expect(await rejectionInTime(buffer(await engine.saveImage("app:v1")))).toMatchObject(silence);

    await using folder = await temporaryFolder();
    const path = join(folder.path, "engine.sock");
    const server = createServer((request, response) => {
      response.setHeader("Api-Version", "1.51");
      if (request.method === "GET") response.end();
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await using deaf = await openEngine(parseHost(`unix://${path}`, "test"), undefined, { timeout });
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(100_000);
      })(),
      { objectMode: false },
    );
    expect(await rejectionInTime(deaf.loadImage(endless))).toMatchObject(silence);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test("the time limit does not end a request while bytes are transferred", async () => {
    const responses: ServerResponse[] = [];
    const route = (_: unknown, response: ServerResponse): void => void responses.push(response);
    await using fake = await fakeEngine({ "POST /images/load": route, "GET /images/app:v1/get": route });
    await using engine = await openEngine(fake.endpoint, undefined, { timeout });
    const untilMoved = async (move: () => unknown): Promise<void> => {
      const before = engine.moved;
      move();
      while (engine.moved === before) await new Promise(setImmediate);
    };
    const dribble = async (text: string): Promise<void> => {
      const [response] = responses.splice(0);
      for (let times = 0; times < 3; times += 1) {
        await untilMoved(() => response?.write(text));
        vi.advanceTimersByTime(0.6 * timeout * 10);
      }
      response?.end();
    };
    const untilAsked = async (): Promise<void> => {
      while (responses.length === 0) await new Promise(setImmediate);
    };

    const archive = new PassThrough();
    const loaded = engine.loadImage(archive);
    for (let times = 0; times < 3; times += 1) {
      await untilMoved(() => archive.write("bytes that come from afar"));
      vi.advanceTimersByTime(2 * timeout * 10); // the limit does not run while the archive has no data
    }
    archive.end();
    await untilAsked();
    await dribble('{"status":"Loading layer"}\n');
    await loaded;

    const saved = engine.saveImage("app:v1").then(buffer);
    await untilAsked();
    await dribble("bytes");
    expect(await saved).toHaveLength(15);
  });
});

test("an abort does not end a load that has begun, because an interrupted load could hang the next one", async () => {
  const seen: string[] = [];
  await using fake = await fakeEngine({
    "POST /images/load": (request, response) => {
      seen.push(request.body);
      response.end('{"stream":"Loaded image: app:v1"}\n');
    },
  });
  const abort = new AbortController();
  await using engine = await openEngine(fake.endpoint, abort.signal);
  const archive = new PassThrough();
  const load = engine.loadImage(archive);
  archive.write("one half, ");
  abort.abort(reason);
  archive.end("and the other");
  await load;
  expect(seen).toEqual(["one half, and the other"]);
});

test("an unread answer is closed and holds no connection", async () => {
  const left = latch();
  await using fake = await fakeEngine({
    "GET /images/app:v1/get": (_, response) => {
      response.once("close", left.open);
      response.write("a beginning");
    },
  });
  await using engine = await openEngine(fake.endpoint);
  (await engine.saveImage("app:v1")).destroy();
  await left.opened;
  expect(fake.calls()).toEqual(["GET /images/app:v1/get"]);
});

test("an archive that cannot be read is not reported as an engine error", async () => {
  await using fake = await fakeEngine(silent);
  await using engine = await openEngine(fake.endpoint);
  const archive = new PassThrough();
  const load = rejection(engine.loadImage(archive));
  const broken = new Error("the disk is broken");
  archive.destroy(broken);
  expect(await load).toBe(broken);
});

describe("after an abort", () => {
  test("requests that remove something still work", async () => {
    await using fake = await fakeEngine({
      "DELETE /images/app:v1": (_request, response) => answer(response, 200, []),
      "DELETE /containers/c1": (_request, response) => answer(response, 204),
    });
    const abort = new AbortController();
    await using engine = await openEngine(fake.endpoint, abort.signal);
    abort.abort(reason);
    await engine.removeReference("app:v1");
    await engine.removeContainer("c1");
    expect(await rejection(engine.listReferences())).toBe(reason);
    expect(await rejection(engine.tagImage("app:v1", "app:v2"))).toBe(reason);
    expect(fake.calls()).toEqual(["DELETE /images/app:v1", "DELETE /containers/c1"]);
  });

  describe("time", () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout"] }));
    afterEach(() => void vi.useRealTimers());
    const untilAsked = async (fake: { seen: unknown[] }): Promise<void> => {
      while (fake.seen.length === 0) await new Promise(setImmediate);
    };

    test.each<[string, (engine: Engine) => Promise<unknown>]>([
      ["removeReference", (engine) => engine.removeReference("app:v1")],
      ["removeContainer", (engine) => engine.removeContainer("c1")],
    ])("%s has a time limit", async (_name, call) => {
      await using fake = await fakeEngine(silent);
      await using engine = await openEngine(fake.endpoint);
      const called = rejection(call(engine));
      await untilAsked(fake);
      await vi.advanceTimersByTimeAsync(15_000);
      expect(await called).toMatchObject({ code: "engine-unreachable", message: /no answer within 15 s/ });
    });

    test("requests that create something may finish within the limit", async () => {
      await using fake = await fakeEngine(silent);
      const abort = new AbortController();
      await using engine = await openEngine(fake.endpoint, abort.signal);
      const settled = vi.fn<() => void>();
      const run = rejection(engine.runContainer({ image: "registry:2", labels: {}, env: {}, port: 5000, files: {} }));
      void run.then(settled);
      await untilAsked(fake);
      await vi.advanceTimersByTimeAsync(580_000); // within the time limit for work
      abort.abort(reason);
      await vi.advanceTimersByTimeAsync(14_000);
      expect(settled).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1_000);
      expect(await run).toBe(reason);
    });
  });
});
