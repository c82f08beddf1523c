import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { Duplex, Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { createServer, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openEngine } from "../../../src/engine/open/open-engine.ts";
import { mayReachUs, parseHost, type EngineEndpoint } from "../../../src/engine/connect/endpoint.ts";
import { Failure } from "../../../src/output/errors.ts";
import { answer, fakeEngine, latch, rejection, temporaryFolder } from "./fake-engine.ts";

/** An engine behind a stream, and the number of opened streams. */
function overStream(socketPath: string, gzipLevel?: number): { endpoint: EngineEndpoint; opened: Duplex[] } {
  const opened: Duplex[] = [];
  const open = (): Duplex => {
    const socket = connect(socketPath);
    opened.push(socket);
    // This hides that the stream is a socket.
    return Duplex.from({ readable: socket, writable: socket });
  };
  return { endpoint: { host: "`far`", source: "test", address: { protocol: "stream", open, gzipLevel } }, opened };
}

describe("an engine behind a stream", () => {
  test("has one connection, on which requests wait for each other", async () => {
    let underWay = 0;
    let most = 0;
    await using remote = await fakeEngine({
      "GET /images/json": (_request, response) => {
        most = Math.max(most, ++underWay);
        setImmediate(() => {
          underWay--;
          answer(response, 200, []);
        });
      },
    });
    const { endpoint, opened } = overStream(remote.socketPath);
    await using engine = await openEngine(endpoint);
    await Promise.all(Array.from({ length: 20 }, () => engine.listImageIds()));
    expect({ most, opened: opened.length, asked: remote.seen.length }).toEqual({ most: 1, opened: 1, asked: 20 });
  });

  test("keeps the connection open after errors, in a status or in the progress of a load", async () => {
    await using remote = await fakeEngine({
      "GET /version": (_request, response) => answer(response, 200, {}),
      "POST /images/load": (_request, response) => {
        response.write('{"errorDetail":{"message":"no such platform"},"error":"no such platform"}\n');
        response.end('{"stream":"and more of it"}\n');
      },
      "POST /images/a/tag": (_request, response) => answer(response, 500, { message: "no" }),
    });
    const { endpoint, opened } = overStream(remote.socketPath);
    await using engine = await openEngine(endpoint);
    expect(await rejection(engine.loadImage(Readable.from([Buffer.from("x")])))).toMatchObject({
      message: "no such platform",
    });
    expect(await rejection(engine.tagImage("a", "b:c"))).toMatchObject({ status: 500 });
    expect(await engine.inspectImage("nothing")).toBeUndefined();
    expect(opened).toHaveLength(1);
  });

  test("closes the connection after a request that ends early; the next request opens another one", async () => {
    const asked = latch();
    await using remote = await fakeEngine({
      "GET /images/json": () => asked.open(), // never answers
      "DELETE /images/app:v1": (_request, response) => answer(response, 200, []),
    });
    const { endpoint, opened } = overStream(remote.socketPath);
    const stop = new AbortController();
    await using engine = await openEngine(endpoint, stop.signal);
    const listing = rejection(engine.listReferences());
    await asked.opened;
    stop.abort(new Error("Ctrl-C"));
    expect((await listing).message).toBe("Ctrl-C");
    await engine.removeReference("app:v1");
    expect(remote.calls()).toEqual(["GET /images/json", "DELETE /images/app:v1"]);
    expect(opened).toHaveLength(2);
  });

  test("fails with the error of the stream", async () => {
    const failure = new Failure("link-lost", "the cable was pulled");
    const open = (): Duplex => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(failure) });
    const endpoint = { host: "`far`", source: "test", address: { protocol: "stream" as const, open } };
    expect(await rejection(openEngine(endpoint))).toBe(failure);
  });

  test("cannot reach ports of this machine", async () => {
    await using remote = await fakeEngine();
    await using engine = await openEngine(overStream(remote.socketPath).endpoint);
    expect(engine.reachesUs).toBe(false);
    await using near = await openEngine(remote.endpoint);
    expect(near.reachesUs).toBe(true);
  });
});

describe("an archive for an engine behind a stream", () => {
  /** An engine that reads a load slowly, and answers when the load ends or fails. */
  async function loading(
    name = "Engine",
  ): Promise<{ socketPath: string; bodies: IncomingMessage[] } & AsyncDisposable> {
    const folder = await temporaryFolder();
    const socketPath = join(folder.path, "engine.sock");
    const bodies: IncomingMessage[] = [];
    const server = createServer((request, response) => {
      response.setHeader("Api-Version", "1.41");
      if (request.url?.includes("_ping")) return void response.end("OK");
      if (request.url?.includes("/version")) return answer(response, 200, { Components: [{ Name: name }] });
      bodies.push(request);
      request.once("end", () => answer(response, 500, { message: "unexpected EOF" }));
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    return {
      socketPath,
      bodies,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
        await folder[Symbol.asyncDispose]();
      },
    };
  }

  test("is compressed with gzip", async () => {
    await using remote = await loading();
    await using engine = await openEngine(overStream(remote.socketPath).endpoint);
    const content = Buffer.alloc(3_000_000, "the same again, ");
    const load = rejection(engine.loadImage(Readable.from([content])));
    await expect.poll(() => remote.bodies.length).toBe(1);
    const body = await buffer(remote.bodies[0] as IncomingMessage);
    expect(body.length).toBeLessThan(content.length / 20);
    expect(gunzipSync(body).equals(content)).toBe(true);
    await load;
  });

  test("uses the given level", async () => {
    const content = Buffer.from(Array.from({ length: 50_000 }, (_, at) => `${at * at} said twice`).join(""));
    const sizes: number[] = [];
    for (const level of [1, 9]) {
      await using remote = await loading();
      await using engine = await openEngine(overStream(remote.socketPath, level).endpoint);
      const load = rejection(engine.loadImage(Readable.from([content])));
      await expect.poll(() => remote.bodies.length).toBe(1);
      const body = await buffer(remote.bodies[0] as IncomingMessage);
      expect(gunzipSync(body).equals(content)).toBe(true);
      sizes.push(body.length);
      await load;
    }
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
    expect(sizes[0]).not.toBe(sizes[1]);
  });

  test.each<[string, string, number | undefined]>([
    ["for Podman", "Podman Engine", undefined],
    ["for Podman, with any level", "Podman Engine", 9],
    ["with level 0", "Engine", 0],
  ])("stays plain %s", async (_, name, level) => {
    await using remote = await loading(name);
    await using engine = await openEngine(overStream(remote.socketPath, level).endpoint);
    const load = rejection(engine.loadImage(Readable.from([Buffer.from("a tar")])));
    await expect.poll(() => remote.bodies.length).toBe(1);
    expect((await buffer(remote.bodies[0] as IncomingMessage)).toString()).toBe("a tar");
    await load;
  });

  test("ends early after an abort: the request ends regularly, and the connection stays open", async () => {
    await using remote = await loading();
    const stop = new AbortController();
    const { endpoint, opened } = overStream(remote.socketPath);
    await using engine = await openEngine(endpoint, stop.signal);
    const endless = Readable.from(
      (function* () {
        for (;;) yield randomBytes(256 * 1024);
      })(),
    );
    const load = rejection(engine.loadImage(endless));
    await expect.poll(() => remote.bodies.length).toBe(1);
    stop.abort(new Error("Ctrl-C"));
    const body = await buffer(remote.bodies[0] as IncomingMessage);
    expect((await load).message).toBe("Ctrl-C");
    expect(() => gunzipSync(body)).toThrow("unexpected end of file");
    expect(opened).toHaveLength(1);
    expect(endless.destroyed).toBe(true);
  });

  test("ends early in the same way if reading it fails", async () => {
    await using remote = await loading();
    const { endpoint, opened } = overStream(remote.socketPath);
    await using engine = await openEngine(endpoint);
    const broken = Readable.from(
      (function* () {
        yield randomBytes(600_000);
        throw new Error("the disk is gone");
      })(),
    );
    const load = rejection(engine.loadImage(broken));
    await expect.poll(() => remote.bodies.length).toBe(1);
    const body = await buffer(remote.bodies[0] as IncomingMessage);
    expect((await load).message).toBe("the disk is gone");
    expect(() => gunzipSync(body)).toThrow("unexpected end of file");
    expect(opened).toHaveLength(1);
  });
});

test.each([
  ["unix:///var/run/docker.sock", true],
  ["npipe:////./pipe/docker_engine", true],
  ["tcp://localhost:2375", true],
  ["tcp://127.0.0.2:2375", true],
  ["tcp://[::1]:2375", true],
  ["tcp://192.168.0.7:2375", false],
  ["tcp://127.0.0.1.example.com:2375", false],
  ["ssh://localhost", false],
])("%s may reach this process: %s", (host, expected) => {
  expect(mayReachUs(parseHost(host, "test").address)).toBe(expected);
});
