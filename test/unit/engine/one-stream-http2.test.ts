import { connect } from "node:net";
import { Duplex, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { openApi } from "../../../src/engine/api/docker-api.ts";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import type { EngineEndpoint, StreamAddress } from "../../../src/engine/connect/endpoint.ts";
import { Failure } from "../../../src/output/errors.ts";
import { contentEngine, type ContentEngine, type ContentEngineOptions } from "./fake-content-engine.ts";
import { answer, latch, rejection } from "./fake-engine.ts";

/** An engine behind a stream, and the streams that have been opened to it. */
function overStream(fake: ContentEngine, address: Partial<StreamAddress> = {}) {
  const opened = { first: [] as Duplex[], another: [] as Duplex[] };
  const opening = (which: Duplex[]) => (): Duplex => {
    const socket = connect(fake.socketPath);
    // This hides that the stream is a socket.
    const stream = Duplex.from({ readable: socket, writable: socket });
    which.push(stream);
    return stream;
  };
  const endpoint: EngineEndpoint = {
    host: "`far`",
    source: "test",
    address: { protocol: "stream", open: opening(opened.first), another: opening(opened.another), ...address },
  };
  return { endpoint, count: () => ({ first: opened.first.length, another: opened.another.length }), opened };
}

afterEach(() => vi.useRealTimers());

describe("with an engine behind a stream, gRPC", () => {
  test.each<[string, ContentEngineOptions, Partial<StreamAddress>, { first: number; another: number }, string[]]>([
    [
      "with API 1.51 uses a second stream, which is switched; requests stay on the first",
      {},
      {},
      { first: 1, another: 1 },
      ["1.1 GET /_ping", "1.1 GET /_ping", "1.1 POST /grpc", "2.0 List", "1.1 GET /images/json?all=true", "2.0 List"],
    ],
    [
      "with API 1.56 uses a second stream, which then carries requests as well",
      { apiVersion: "1.56" },
      {},
      { first: 1, another: 1 },
      ["1.1 GET /_ping", "PRI *", "2.0 List", "2.0 GET /images/json?all=true", "2.0 List"],
    ],
    [
      "shares the only stream when the engine is known to speak HTTP/2",
      { apiVersion: "1.56" },
      { speaksHttp2: true },
      { first: 1, another: 0 },
      ["PRI *", "2.0 GET /_ping", "2.0 List", "2.0 GET /images/json?all=true", "2.0 List"],
    ],
    [
      "works as usual when the engine no longer speaks HTTP/2",
      {},
      { speaksHttp2: true },
      { first: 2, another: 1 },
      [
        "PRI *",
        "1.1 GET /_ping",
        "1.1 GET /_ping",
        "1.1 POST /grpc",
        "2.0 List",
        "1.1 GET /images/json?all=true",
        "2.0 List",
      ],
    ],
  ])("%s", async (_, options, address, opened, requests) => {
    await using fake = await contentEngine(options);
    const { endpoint, count } = overStream(fake, address);
    await using engine = await openEngine(endpoint);
    const store = await engine.contentStore();
    expect(await engine.listImageIds()).toEqual([]);
    expect(await store?.find({ digests: ["sha256:0"] })).toEqual([]);
    expect(fake.requests).toEqual(requests);
    expect(count()).toEqual(opened);
  });

  test("is unavailable if the second stream is refused; the first stream still works", async () => {
    for (const options of [{ grpc: 403 }, { apiVersion: "1.56", http2: false }]) {
      await using fake = await contentEngine(options);
      const { endpoint, count } = overStream(fake);
      await using engine = await openEngine(endpoint);
      expect(await engine.contentStore()).toBeUndefined();
      expect(await engine.listImageIds()).toEqual([]);
      expect(count()).toEqual({ first: 1, another: 1 });
      expect(fake.requests.at(-1)).toBe("1.1 GET /images/json?all=true");
    }
  });

  test("may take as long as a login, and one second more", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await using fake = await contentEngine({ grpc: "hang" });
    const { endpoint, opened } = overStream(fake);
    await using engine = await openEngine(endpoint);
    const store = engine.contentStore();
    await expect.poll(() => opened.another).toHaveLength(1);
    vi.advanceTimersByTime(30_000);
    await expect.poll(() => fake.requests).toContain("1.1 POST /grpc");
    vi.advanceTimersByTime(1000);
    expect(await store).toBeUndefined();
    expect(await engine.listImageIds()).toEqual([]);
  });

  test("gets no connection if the engine is disposed of at the same time", async () => {
    await using fake = await contentEngine();
    const { endpoint, count } = overStream(fake);
    const api = await openApi(endpoint);
    const connecting = rejection(api.grpc());
    await api[Symbol.asyncDispose]();
    expect((await connecting).message).toBe("the engine has been disposed");
    expect(count()).toEqual({ first: 0, another: 0 });
  });

  test("is unavailable if the program for the second stream fails", async () => {
    await using fake = await contentEngine();
    const failing = () =>
      new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(new Failure("link-lost", "no")) });
    const { endpoint } = overStream(fake, { another: failing });
    await using engine = await openEngine(endpoint);
    expect(await engine.contentStore()).toBeUndefined();
    expect(await engine.listImageIds()).toEqual([]);
  });
});

describe("requests over HTTP/2", () => {
  /** An engine whose requests all use HTTP/2. */
  const shared = (fake: ContentEngine) => overStream(fake, { speaksHttp2: true });

  test("do not wait for each other", async () => {
    const both = latch();
    let asked = 0;
    await using fake = await contentEngine({
      apiVersion: "1.56",
      routes: {
        async "GET /images/app/json"(_request, response) {
          if ((asked += 1) === 2) both.open();
          await both.opened;
          answer(response, 404, {});
        },
      },
    });
    const { endpoint, count } = shared(fake);
    await using engine = await openEngine(endpoint);
    expect(await Promise.all([engine.inspectImage("app"), engine.inspectImage("app")])).toEqual([undefined, undefined]);
    expect(count()).toEqual({ first: 1, another: 0 });
  });

  test("carry archives and errors", async () => {
    const bodies: Buffer[] = [];
    await using fake = await contentEngine({
      apiVersion: "1.56",
      routes: {
        "GET /version": (_request, response) => answer(response, 200, {}),
        async "POST /images/load"(request, response) {
          bodies.push(await buffer(request));
          response.end('{"stream":"one"}\n{"error":"no such platform"}\n');
        },
        "POST /images/a/tag": (_request, response) => answer(response, 409, { message: "it is in use" }),
      },
    });
    await using engine = await openEngine(shared(fake).endpoint);
    const content = Buffer.alloc(3_000_000, "the same again, ");
    expect(await rejection(engine.loadImage(Readable.from([content])))).toMatchObject({ message: "no such platform" });
    expect(gunzipSync(bodies[0] ?? Buffer.alloc(0)).equals(content)).toBe(true);
    expect(await rejection(engine.tagImage("a", "b:c"))).toMatchObject({ message: "it is in use", status: 409 });
  });

  test("that are aborted leave the connection open", async () => {
    const [asked, told] = [latch(), latch()];
    await using fake = await contentEngine({
      apiVersion: "1.56",
      routes: {
        "GET /images/app:v1/get"(_request, response) {
          response.on("close", told.open);
          response.write("the beginning");
          asked.open();
        },
        "DELETE /images/app:v1": (_request, response) => answer(response, 200, []),
      },
    });
    const { endpoint, count } = shared(fake);
    const stop = new AbortController();
    await using engine = await openEngine(endpoint, stop.signal);
    const saving = rejection(engine.saveImage("app:v1").then(buffer));
    await asked.opened;
    stop.abort(new Error("Ctrl-C"));
    expect((await saving).message).toBe("Ctrl-C");
    await told.opened;
    await engine.removeReference("app:v1");
    expect(fake.requests.at(-1)).toMatch("2.0 DELETE /images/app:v1");
    expect(count()).toEqual({ first: 1, another: 0 });
  });

  test("fail if they are truncated, like a truncated answer", async () => {
    await using fake: ContentEngine = await contentEngine({
      apiVersion: "1.56",
      routes: {
        "GET /images/app:v1/get"(_request, response) {
          response.write("the beginning");
          setImmediate(() => fake.drop());
        },
      },
    });
    await using engine = await openEngine(shared(fake).endpoint);
    const error = await rejection(engine.saveImage("app:v1").then(buffer));
    expect(error).toMatchObject({ code: "engine-unreachable" });
    expect(error.message).toContain("it closed the connection in the middle of its answer");
  });

  test("work after the connection has broken, on the first connection if it is open, or else on a new one", async () => {
    for (const address of [{ speaksHttp2: true }, {}]) {
      const asked = latch();
      const routes: ContentEngineOptions["routes"] = {
        "GET /images/app/json": asked.open,
        "DELETE /images/app:v1": (_request, response) => answer(response, 200, []),
      };
      await using fake = await contentEngine({ apiVersion: "1.56", routes });
      const { endpoint, opened, count } = overStream(fake, address);
      await using engine = await openEngine(endpoint);
      const store = await engine.contentStore();
      const asking = rejection(engine.inspectImage("app"));
      await asked.opened;
      (opened.another[0] ?? opened.first[0])?.destroy();
      expect(await asking).toMatchObject({ code: "engine-unreachable" });
      await engine.removeReference("app:v1");
      expect(fake.requests.at(-1)).toMatch("1.1 DELETE /images/app:v1");
      expect(count()).toEqual(address.speaksHttp2 ? { first: 2, another: 0 } : { first: 1, another: 1 });
      expect(await store?.find({ digests: ["sha256:0"] })).toEqual([]);
      expect(fake.requests.slice(-2)).toEqual(["PRI *", "2.0 List"]);
    }
  });

  test("fail with the error of the stream", async () => {
    const failure = new Failure("link-lost", "the cable was pulled");
    const asked = latch();
    await using fake = await contentEngine({ apiVersion: "1.56", routes: { "GET /images/app/json": asked.open } });
    const failing = () => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(failure) });
    expect(await rejection(openEngine(overStream(fake, { speaksHttp2: true, open: failing }).endpoint))).toBe(failure);
    const { endpoint, opened } = shared(fake);
    await using engine = await openEngine(endpoint);
    const asking = rejection(engine.inspectImage("app"));
    await asked.opened;
    opened.first[0]?.destroy(failure);
    expect(await asking).toBe(failure);
  });

  test("are rejected after the disposal of the engine", async () => {
    const asked = latch();
    await using fake = await contentEngine({ apiVersion: "1.56", routes: { "GET /images/app/json": asked.open } });
    const { endpoint, opened } = shared(fake);
    const engine = await openEngine(endpoint);
    const asking = rejection(engine.inspectImage("app"));
    await asked.opened;
    await engine[Symbol.asyncDispose]();
    expect(await asking).toBeInstanceOf(Failure);
    expect(opened.first[0]?.destroyed).toBe(true);
    expect((await rejection(engine.inspectImage("app"))).message).toBe("the engine has been disposed");
  });
});
