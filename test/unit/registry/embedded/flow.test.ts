import { once } from "node:events";
import { statSync } from "node:fs";
import { mkdtemp, readdir } from "node:fs/promises";
import { request, type OutgoingHttpHeaders } from "node:http";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestOf } from "../../../../src/image/digest.ts";
import { basicAuth } from "../../../../src/registry/password.ts";
import {
  NO_CONTENT,
  type RegistryContent,
  type StoredBlob,
} from "../../../../src/registry/embedded/registry-content.ts";
import { AcceptAllPolicy } from "../../../../src/engine-push/accept-all-policy.ts";
import type { EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";
import { ask, clientOf, closed, codeOf, endRegistry, openRegistry, type Answer } from "./client.ts";

const MB = 1_000_000;
const digest = digestOf("whatever it holds");
let folder: string;
let registry: EmbeddedRegistry;
/** A door whose connections are handed to the registry, as those of a tunnel are. */
let tunnel: Server;
let tunnelPort: Promise<number>;
/** What there is to pull, by repository. */
let blobs: Record<string, StoredBlob>;

const content: RegistryContent = { ...NO_CONTENT, blob: async (repository) => blobs[repository] };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "embedded-"));
  blobs = {};
  registry = await openRegistry(folder, { content });
  tunnel = createServer({ allowHalfOpen: true }, (socket) => registry.accept(socket)).listen(0, "127.0.0.1");
  tunnelPort = once(tunnel, "listening").then(() => (tunnel.address() as AddressInfo).port);
});

afterEach(async () => {
  tunnel.close();
  await endRegistry(registry, folder);
});

/** So many bytes, in chunks that are made as they are asked for; counts them. */
function zeros(bytes: number): { stream: Readable; made: () => number } {
  let made = 0;
  const stream = new Readable({
    read() {
      const size = Math.min(65_536, bytes - made);
      made += size;
      this.push(size === 0 ? null : Buffer.alloc(size));
    },
  });
  return { stream, made: () => made };
}

async function throughTunnel(
  method: string,
  path: string,
  body?: string,
  headers: OutgoingHttpHeaders = { authorization: basicAuth(registry.credentials) },
): Promise<Answer> {
  return await ask({ port: await tunnelPort, method, path, headers }, body);
}

describe("on a stream that is handed in", () => {
  test("the registry answers, and asks for the password", async () => {
    expect((await throughTunnel("GET", "/v2/")).status).toBe(200);
    expect((await throughTunnel("GET", "/v2/", "", {})).status).toBe(401);
  });

  test("blobs come, whole and in part", async () => {
    const text = "0123456789";
    blobs = { app: { size: 10, open: (range) => Readable.from([text.slice(range?.first, (range?.last ?? 9) + 1)]) } };
    expect((await throughTunnel("GET", `/v2/app/blobs/${digest}`)).body.toString()).toBe(text);
  });

  test("nothing can be pushed there, also while an engine may push", async () => {
    registry.openPushSession("app", new AcceptAllPolicy("app"));
    for (const [method, path] of [
      ["POST", "/v2/app/blobs/uploads/"],
      ["POST", `/v2/app/blobs/uploads/?digest=${digestOf("x")}`],
      ["PUT", "/v2/app/manifests/v1"],
    ] as const) {
      const answer = await throughTunnel(method, path, "x");
      expect([answer.status, codeOf(answer)]).toEqual([403, "DENIED"]);
    }
  });

  test("it is closed when the registry ends", async () => {
    const stream = connect(await tunnelPort, "127.0.0.1");
    stream.write("GET /v2/ HTTP/1.1\r\n");
    const isClosed = closed(stream);
    await throughTunnel("GET", "/v2/"); // the other one has been accepted by now
    await registry[Symbol.asyncDispose]();
    await expect(isClosed).resolves.toBeUndefined();
  });
});

test("a stream whose answer has ended, and whose client has not, is closed with the registry too", async () => {
  const accepted = once(tunnel, "connection") as Promise<[Socket]>;
  const stream = connect({ port: await tunnelPort, host: "127.0.0.1", allowHalfOpen: true });
  stream.write("GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  stream.resume();
  await once(stream, "end");
  const isClosed = closed((await accepted)[0]);
  await registry[Symbol.asyncDispose]();
  await expect(isClosed).resolves.toBeUndefined();
  stream.destroy();
});

test("a repository that is open for a push shows on the port what was pushed, and through the tunnel what is offered", async () => {
  blobs = { app: { size: 7, open: () => Readable.from(["offered"]) } };
  const client = await clientOf(registry);
  const session = registry.openPushSession("app", new AcceptAllPolicy("app"));
  expect((await client("GET", `/v2/app/blobs/${digest}`)).status).toBe(404);
  expect((await throughTunnel("GET", `/v2/app/blobs/${digest}`)).status).toBe(200);
  expect(() => registry.openPushSession("app", new AcceptAllPolicy("app"))).toThrow(TypeError);
  await session[Symbol.asyncDispose]();
  expect((await client("GET", `/v2/app/blobs/${digest}`)).body.toString()).toBe("offered");
});

test("it always listens on the same port, of this machine alone", async () => {
  const [one, two] = await Promise.all([registry.listen(), registry.listen()]);
  expect(one).toBe(two);
  const elsewhere = connect(one, "127.0.0.2");
  expect(((await once(elsewhere, "error")) as [NodeJS.ErrnoException])[0].code).toBe("ECONNREFUSED");
});

describe("back-pressure", () => {
  test("a client that does not read is not sent more than buffers hold", async () => {
    const source = zeros(500 * MB);
    blobs = { app: { size: 500 * MB, open: () => source.stream } };
    const authorization = basicAuth(registry.credentials);
    const slow = request({
      port: await registry.listen(),
      path: `/v2/app/blobs/${digest}`,
      headers: { authorization },
    });
    slow.on("error", () => {});
    slow.end();
    const [response] = (await once(slow, "response")) as [Readable];
    await quiet(source.made);
    expect(source.made()).toBeLessThan(50 * MB);
    const isClosed = closed(source.stream);
    response.destroy();
    await isClosed; // and the source is let go with it
  });

  // What is on its way, not the heap: that depends on when garbage is collected.
  test("a blob is never held here, on its way up or down: little of it has left one end and not reached the other", async () => {
    registry.openPushSession("app", new AcceptAllPolicy("app"));
    const client = await clientOf(registry);
    const up = zeros(300 * MB);
    let onItsWay = 0;
    const { headers } = await client("POST", "/v2/app/blobs/uploads/");
    const [spool = ""] = await readdir(folder);
    const [file = ""] = await readdir(join(folder, spool));
    up.stream.on("data", () => {
      onItsWay = Math.max(onItsWay, up.made() - statSync(join(folder, spool, file)).size);
    });
    up.stream.pause();
    const answer = await client("PATCH", headers.location ?? "", { body: up.stream });
    expect([answer.status, answer.headers.range]).toEqual([202, `0-${300 * MB - 1}`]);
    expect(onItsWay).toBeLessThan(30 * MB);

    const down = zeros(300 * MB);
    blobs = { other: { size: 300 * MB, open: () => down.stream } };
    const authorization = basicAuth(registry.credentials);
    const path = `/v2/other/blobs/${digest}`;
    const reader = request({ port: await registry.listen(), path, headers: { authorization } });
    reader.end();
    const [response] = (await once(reader, "response")) as [Readable];
    onItsWay = 0;
    let came = 0;
    for await (const chunk of response) {
      came += (chunk as Buffer).length;
      onItsWay = Math.max(onItsWay, down.made() - came);
    }
    expect(came).toBe(300 * MB);
    expect(onItsWay).toBeLessThan(30 * MB);
  });

  test.each([
    ["ends too early", () => Readable.from([Buffer.alloc(5)])],
    [
      "fails in the middle",
      () =>
        Readable.from(
          (function* () {
            yield Buffer.alloc(5);
            throw new Error("the disk is gone");
          })(),
        ),
    ],
  ])("a source that %s breaks the connection", async (_, open) => {
    blobs = { app: { size: 10, open } };
    const client = await clientOf(registry);
    await expect(client("GET", `/v2/app/blobs/${digest}`)).rejects.toThrow("aborted");
    // Also where the connection would stay open for the next request.
    const headers = { authorization: basicAuth(registry.credentials), connection: "keep-alive" };
    await expect(throughTunnel("GET", `/v2/app/blobs/${digest}`, "", headers)).rejects.toThrow(/aborted|ECONNRESET/);
    expect((await client("GET", "/v2/")).status).toBe(200);
  });

  test("a fault of ours is answered with 500, without its words", async () => {
    const told: string[] = [];
    await using faulty = await openRegistry(folder, {
      onDetail: (text: string) => told.push(text),
      content: { ...NO_CONTENT, blob: () => Promise.reject(new Error("secret path")) },
    });
    const answer = await (await clientOf(faulty))("GET", `/v2/app/blobs/${digest}`);
    expect([answer.status, codeOf(answer)]).toEqual([500, "UNKNOWN"]);
    expect(answer.body.toString()).not.toContain("secret");
    expect(told.join()).toContain("secret path");
  });
});

/** Until a count stays the same while the event loop goes round many times. */
async function quiet(count: () => number): Promise<void> {
  let [last, same] = [-1, 0];
  while (same < 5_000) {
    same = count() === last ? same + 1 : 0;
    last = count();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
