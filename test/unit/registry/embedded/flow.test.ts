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
} from "../../../../src/registry/embedded/pull/registry-content.ts";
import { AcceptAllPolicy } from "../../../../src/engine-push/accept-all-policy.ts";
import type { EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";
import type { Detail } from "../../../../src/output/details.ts";
import { detailText } from "../../../../src/output/detail-texts.ts";
import { clientOf, closed, codeOf, endRegistry, openRegistry, sendRequest, type Response } from "./client.ts";

const MB = 1_000_000;
const digest = digestOf("any content");
let folder: string;
let registry: EmbeddedRegistry;
/** A server whose connections the registry accepts in the same way as those of a tunnel. */
let tunnel: Server;
let tunnelPort: Promise<number>;
/** The blobs to pull, by repository. */
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

/** A stream of zeros, which are created when they are read, and their count. */
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
): Promise<Response> {
  return await sendRequest({ port: await tunnelPort, method, path, headers }, body);
}

describe("on a stream of the tunnel, the registry", () => {
  test("answers, and requires the password", async () => {
    expect((await throughTunnel("GET", "/v2/")).status).toBe(200);
    expect((await throughTunnel("GET", "/v2/", "", {})).status).toBe(401);
  });

  test("serves blobs, whole and in ranges", async () => {
    const text = "0123456789";
    blobs = { app: { size: 10, open: (range) => Readable.from([text.slice(range?.first, (range?.last ?? 9) + 1)]) } };
    expect((await throughTunnel("GET", `/v2/app/blobs/${digest}`)).body.toString()).toBe(text);
  });

  test("refuses pushes, also during a push session", async () => {
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

  test("closes the stream when it is closed", async () => {
    const stream = connect(await tunnelPort, "127.0.0.1");
    stream.write("GET /v2/ HTTP/1.1\r\n");
    const isClosed = closed(stream);
    await throughTunnel("GET", "/v2/"); // the stream has been accepted by now
    await registry[Symbol.asyncDispose]();
    await expect(isClosed).resolves.toBeUndefined();
  });
});

test("closes a stream whose response has ended, but whose client has not, when it is closed", async () => {
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

test("serves pushed content on the port, and offered content in the tunnel, during a push session", async () => {
  blobs = { app: { size: 7, open: () => Readable.from(["offered"]) } };
  const client = await clientOf(registry);
  const session = registry.openPushSession("app", new AcceptAllPolicy("app"));
  expect((await client("GET", `/v2/app/blobs/${digest}`)).status).toBe(404);
  expect((await throughTunnel("GET", `/v2/app/blobs/${digest}`)).status).toBe(200);
  expect(() => registry.openPushSession("app", new AcceptAllPolicy("app"))).toThrow(TypeError);
  await session[Symbol.asyncDispose]();
  expect((await client("GET", `/v2/app/blobs/${digest}`)).body.toString()).toBe("offered");
});

test("always listens on the same port, only on 127.0.0.1", async () => {
  const [one, two] = await Promise.all([registry.listen(), registry.listen()]);
  expect(one).toBe(two);
  const elsewhere = connect(one, "127.0.0.2");
  expect(((await once(elsewhere, "error")) as [NodeJS.ErrnoException])[0].code).toBe("ECONNREFUSED");
});

describe("back-pressure", () => {
  test("sends a client that does not read only as much as the buffers hold", async () => {
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
    await settle(source.made);
    expect(source.made()).toBeLessThan(50 * MB);
    const isClosed = closed(source.stream);
    response.destroy();
    await isClosed; // the source is closed with the connection
  });

  // This counts bytes in transit, because the size of the heap depends on garbage collection.
  test("never has a whole blob in memory, in either direction: few of its bytes are in transit", async () => {
    registry.openPushSession("app", new AcceptAllPolicy("app"));
    const client = await clientOf(registry);
    const up = zeros(300 * MB);
    let inTransit = 0;
    const { headers } = await client("POST", "/v2/app/blobs/uploads/");
    const [spool = ""] = await readdir(folder);
    const [file = ""] = await readdir(join(folder, spool));
    up.stream.on("data", () => {
      inTransit = Math.max(inTransit, up.made() - statSync(join(folder, spool, file)).size);
    });
    up.stream.pause();
    const answer = await client("PATCH", headers.location ?? "", { body: up.stream });
    expect([answer.status, answer.headers.range]).toEqual([202, `0-${300 * MB - 1}`]);
    expect(inTransit).toBeLessThan(30 * MB);

    const down = zeros(300 * MB);
    blobs = { other: { size: 300 * MB, open: () => down.stream } };
    const authorization = basicAuth(registry.credentials);
    const path = `/v2/other/blobs/${digest}`;
    const reader = request({ port: await registry.listen(), path, headers: { authorization } });
    reader.end();
    const [response] = (await once(reader, "response")) as [Readable];
    inTransit = 0;
    let received = 0;
    for await (const chunk of response) {
      received += (chunk as Buffer).length;
      inTransit = Math.max(inTransit, down.made() - received);
    }
    expect(received).toBe(300 * MB);
    expect(inTransit).toBeLessThan(30 * MB);
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
  ])("breaks the connection if the source %s", async (_, open) => {
    blobs = { app: { size: 10, open } };
    const client = await clientOf(registry);
    await expect(client("GET", `/v2/app/blobs/${digest}`)).rejects.toThrow("aborted");
    // Also if the connection is kept alive.
    const headers = { authorization: basicAuth(registry.credentials), connection: "keep-alive" };
    await expect(throughTunnel("GET", `/v2/app/blobs/${digest}`, "", headers)).rejects.toThrow(/aborted|ECONNRESET/);
    expect((await client("GET", "/v2/")).status).toBe(200);
  });

  test("answers 500 after an internal error, without its message", async () => {
    const details: string[] = [];
    await using faulty = await openRegistry(folder, {
      onDetail: (detail: Detail) => details.push(detailText(detail)),
      content: { ...NO_CONTENT, blob: () => Promise.reject(new Error("secret path")) },
    });
    const answer = await (await clientOf(faulty))("GET", `/v2/app/blobs/${digest}`);
    expect([answer.status, codeOf(answer)]).toEqual([500, "UNKNOWN"]);
    expect(answer.body.toString()).not.toContain("secret");
    expect(details.join()).toContain("secret path");
  });
});

/** Waits until a count stays the same for many turns of the event loop. */
async function settle(count: () => number): Promise<void> {
  let [last, same] = [-1, 0];
  while (same < 5_000) {
    same = count() === last ? same + 1 : 0;
    last = count();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
