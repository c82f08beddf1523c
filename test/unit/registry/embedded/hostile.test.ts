import { once } from "node:events";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { digestOf } from "../../../../src/image/digest.ts";
import { MAX_MANIFEST, MEDIA_TYPE } from "../../../../src/image/manifest.ts";
import { basicAuth } from "../../../../src/registry/password.ts";
import type { RegistryContent } from "../../../../src/registry/embedded/pull/registry-content.ts";
import { AcceptAllPolicy } from "../../../../src/engine-push/accept-all-policy.ts";
import type { PushPolicy } from "../../../../src/registry/embedded/push/push-policy.ts";
import type { EmbeddedRegistry } from "../../../../src/registry/embedded/server.ts";
import { clientOf, closed, codeOf, endRegistry, openRegistry, sendRequest, type Client } from "./client.ts";
import { blob } from "./test-images.ts";

const LIMIT = 1_000_000;

/** Accepts uploads up to LIMIT. */
class LimitedPolicy extends AcceptAllPolicy implements PushPolicy {
  readonly maxUpload = LIMIT;
}

let folder: string;
let registry: EmbeddedRegistry;
let client: Client;
let port: number;
let session: AsyncDisposable;
let broken: Error[];

const content: RegistryContent = {
  manifest: async () => undefined,
  tags: async () => undefined,
  async blob() {
    return { size: 10, open: () => Readable.from([Buffer.alloc(20)]) };
  },
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "embedded-"));
  registry = await openRegistry(folder, { content });
  broken = [];
  session = registry.openPushSession("app", new LimitedPolicy("app"), { broken: (error) => broken.push(error) });
  client = await clientOf(registry);
  port = await registry.listen();
});

afterEach(async () => {
  await endRegistry(registry, folder);
});

/** Returns zeros, endless by default. */
function* flood(bytes = Infinity): Generator<Buffer> {
  const chunk = Buffer.alloc(65_536);
  for (let sent = 0; sent < bytes; sent += chunk.length) yield chunk;
}

async function spooled(): Promise<string[]> {
  const [spool = ""] = await readdir(folder);
  return await readdir(join(folder, spool));
}

async function beginUpload(): Promise<string> {
  return (await client("POST", "/v2/app/blobs/uploads/")).headers.location ?? "";
}

/** A connection for invalid requests. */
function rawConnection(): Socket {
  return connect(port, "127.0.0.1").on("error", () => {});
}

const authorization = (): string => `authorization: ${basicAuth(registry.credentials)}\r\n`;

describe("without the password", () => {
  test.each([
    ["GET", "/v2/"],
    ["GET", `/v2/app/blobs/${digestOf("")}`],
    ["PUT", "/v2/app/manifests/v1"],
    ["POST", "/v2/app/blobs/uploads/"],
    ["GET", "/nowhere"],
    ["GET", `/${"long".repeat(1000)}`],
  ])("%s %s is answered with 401", async (method, path) => {
    for (const wrong of [undefined, basicAuth({ ...registry.credentials, password: "guess" })]) {
      const headers = wrong === undefined ? {} : { authorization: wrong };
      const answer = await sendRequest({ port, method, path, headers });
      expect(answer.status).toBe(401);
      expect(answer.headers["www-authenticate"]).toMatch(/^Basic realm=/);
      expect(codeOf(answer)).toBe("UNAUTHORIZED");
    }
    expect(await spooled()).toEqual([]);
  });

  test("a body is aborted after some time, and leaves no file", async () => {
    const refusedClient = request({ port, method: "PUT", path: "/v2/app/manifests/v1" });
    Readable.from(flood()).pipe(refusedClient);
    await closed(refusedClient);
    expect(await spooled()).toEqual([]);
  });
});

describe("unauthenticated clients of the port do not block the engine:", () => {
  const refused = `POST /v2/app/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n`;

  test.each([
    ["whose bodies never arrive", refused],
    ["that are silent", ""],
    ["whose headers never end", "GET /v2/ HTTP/1.1\r\nhost: x\r\n"],
  ])("300 of them %s", async (_, bytes) => {
    const sockets = Array.from({ length: 300 }, () => rawConnection().resume());
    await Promise.all(sockets.map(async (socket) => await once(socket, "connect")));
    for (const socket of sockets) socket.write(bytes);
    expect((await client("GET", "/v2/")).status).toBe(200);
    const location = await beginUpload();
    expect((await client("PATCH", location, { body: "layer" })).status).toBe(202);
    // The registry closes them.
    await Promise.all(sockets.map(async (socket) => socket.closed || (await closed(socket))));
  });

  test("a refused client gets the answer while it is still sending", async () => {
    const refusedClient = rawConnection();
    refusedClient.write(refused);
    let received = "";
    refusedClient.on("data", (chunk: Buffer) => (received += chunk.toString()));
    await closed(refusedClient);
    expect(received).toMatch(/^HTTP\/1\.1 401 [^]*\r\nconnection: close\r\n[^]*UNAUTHORIZED/i);
  });

  test("authenticated connections are counted separately, until they close", async () => {
    const emptyUpload = `POST /v2/app/blobs/uploads/ HTTP/1.1\r\nhost: x\r\n${authorization()}content-length: 0\r\n\r\n`;
    const authenticated = Array.from({ length: 128 }, () => rawConnection());
    for (const socket of authenticated) socket.write(emptyUpload);
    await Promise.all(authenticated.map(async (socket) => await once(socket, "data")));
    expect((await client("GET", "/v2/")).status).toBe(429);
    authenticated[0]?.destroy();
    await vi.waitFor(async () => expect((await client("GET", "/v2/")).status).toBe(200));
    for (const socket of authenticated) socket.destroy();
  });
});

describe("validates names:", () => {
  test.each([
    "/v2/../app/manifests/v1",
    "/v2/app/../../etc/passwd/manifests/v1",
    "/v2/app%2F..%2Fother/manifests/v1",
    "/v2/App/manifests/v1",
    "/v2/a//b/manifests/v1",
    "/v2/-a/manifests/v1",
    "/v2/a%00/manifests/v1",
    "/v2//manifests/v1",
    "/v2/manifests/v1",
    `/v2/${"a".repeat(256)}/manifests/v1`,
  ])("%s is not the name of a repository", async (path) => {
    expect(codeOf(await client("GET", path))).toMatch(/^NAME_INVALID$|^UNSUPPORTED$/);
  });

  test.each([
    ["/v2/app/manifests/..", "MANIFEST_INVALID"],
    ["/v2/app/manifests/..%2F..%2Fetc%2Fpasswd", "MANIFEST_INVALID"],
    [`/v2/app/manifests/${"t".repeat(129)}`, "MANIFEST_INVALID"],
    ["/v2/app/manifests/sha256:../../etc/passwd", "UNSUPPORTED"],
    ["/v2/app/blobs/uploads/../../../etc/passwd", "UNSUPPORTED"],
    ["/v2/app/blobs/uploads/..%2F..%2Fetc%2Fpasswd", "BLOB_UPLOAD_UNKNOWN"],
    ["/v2/app/blobs/sha256:..%2F..%2Fetc%2Fpasswd", "DIGEST_INVALID"],
    ["/v2/app/blobs/%", "UNSUPPORTED"],
    ["/v2/__proto__/tags/list", "NAME_INVALID"],
    ["/v2/constructor/tags/list", "NAME_UNKNOWN"],
  ])("%s is rejected with %s", async (path, code) => {
    expect(codeOf(await client("GET", path))).toBe(code);
  });

  test("rejects a URL that is too long, and headers that are too large", async () => {
    expect((await client("GET", `/v2/app/tags/list?last=${"t".repeat(2048)}`)).status).toBe(414);
    expect((await client("GET", "/v2/", { headers: { "x-large": "x".repeat(20_000) } })).status).toBe(431);
  });

  test("does not find an upload of one repository in another", async () => {
    registry.openPushSession("other", new AcceptAllPolicy("other"));
    const location = await beginUpload();
    expect((await client("GET", location.replace("/app/", "/other/"))).status).toBe(404);
  });
});

describe("manifests", () => {
  test("of more than 4 MB are refused: immediately if the length is announced, otherwise while they arrive", async () => {
    const send = (headers: Record<string, string | number>, body?: Readable) =>
      client("PUT", "/v2/app/manifests/v1", {
        headers: { "content-type": MEDIA_TYPE.ociManifest, ...headers },
        ...(body && { body }),
      });
    const announced = await send({ "content-length": MAX_MANIFEST + 1 }, new Readable({ read() {} }));
    expect([announced.status, codeOf(announced)]).toEqual([413, "SIZE_INVALID"]);
    const chunked = await send({ "transfer-encoding": "chunked" }, Readable.from(flood(MAX_MANIFEST + 1)));
    expect(chunked.status).toBe(413);
  });
});

describe("uploads", () => {
  test("of more than the limit are refused: immediately if the length is announced, otherwise while they arrive", async () => {
    const announced = await client("PATCH", await beginUpload(), {
      headers: { "content-length": LIMIT + 1 },
      body: new Readable({ read() {} }),
    });
    expect([announced.status, codeOf(announced)]).toEqual([413, "SIZE_INVALID"]);
    const chunked = await client("PATCH", await beginUpload(), { body: Readable.from(flood(LIMIT + 1)) });
    expect(chunked.status).toBe(413);

    const inParts = await beginUpload();
    expect((await client("PATCH", inParts, { body: Buffer.alloc(LIMIT) })).status).toBe(202);
    expect((await client("PATCH", inParts, { body: Buffer.alloc(1) })).status).toBe(413);
    expect((await client("GET", inParts)).status).toBe(404);
    expect(await spooled()).toEqual([]);
  });

  test.each([
    ["more", "0-4", Buffer.alloc(10)],
    ["less", "0-19", Buffer.alloc(10)],
  ])("with %s bytes than announced in their range are removed", async (_, range, body) => {
    for (const framing of [{ "content-length": body.length }, { "transfer-encoding": "chunked" }]) {
      const location = await beginUpload();
      const answer = await client("PATCH", location, { headers: { "content-range": range, ...framing }, body });
      expect([answer.status, codeOf(answer)]).toEqual([400, "SIZE_INVALID"]);
      expect((await client("GET", location)).status).toBe(404);
    }
    expect(await spooled()).toEqual([]);
  });

  test.each(["bytes 1-0/*", "5-4", "a-b", "-1-5", "0-", "99999999999999999999-99999999999999999999"])(
    "with the range %s are refused",
    async (range) => {
      const answer = await client("PATCH", await beginUpload(), { headers: { "content-range": range }, body: "xx" });
      expect(answer.status).toBe(416);
    },
  );

  test("are limited in number; an upload that ends allows another", async () => {
    const locations: string[] = [];
    for (let count = 0; count < 32; count++) locations.push(await beginUpload());
    const next = await client("POST", "/v2/app/blobs/uploads/");
    expect([next.status, codeOf(next)]).toEqual([429, "TOOMANYREQUESTS"]);
    expect((await client("POST", `/v2/app/blobs/uploads/?digest=${digestOf("")}`)).status).toBe(429);
    await client("DELETE", locations[0] ?? "");
    expect((await client("POST", "/v2/app/blobs/uploads/")).status).toBe(202);
  });

  test("are limited in number even if they start at the same time", async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, () => client("POST", "/v2/app/blobs/uploads/")));
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(32);
    expect(await spooled()).toHaveLength(32);
  });

  test("accept one chunk at a time", async () => {
    const location = await beginUpload();
    const first = request({
      port,
      method: "PATCH",
      path: location,
      headers: { authorization: basicAuth(registry.credentials), "transfer-encoding": "chunked" },
    });
    first.on("error", () => {});
    first.write("the first byte");
    await untilSize(1);
    expect((await client("PATCH", location, { body: "another" })).status).toBe(416);
    expect((await client("PUT", `${location}?digest=${digestOf("another")}`, { body: "another" })).status).toBe(416);
    // The upload cannot be finished while a chunk arrives.
    expect(
      (await client("PUT", `${location}?digest=${digestOf("the first byte")}`, { headers: { "content-length": 0 } }))
        .status,
    ).toBe(416);
    first.destroy();
  });

  test("whose client closes the connection are removed, without an error", async () => {
    const location = await beginUpload();
    const gone = rawConnection();
    gone.write(`PATCH ${location} HTTP/1.1\r\nhost: x\r\n${authorization()}content-length: 1000\r\n\r\npart`);
    await untilSize(4);
    gone.destroy();
    while ((await spooled()).length > 0);
    expect((await client("GET", location)).status).toBe(404);
    expect(broken).toEqual([]);
  });

  test("that are unfinished when the session is closed are aborted, and leave no file", async () => {
    const location = await beginUpload();
    const late = rawConnection();
    const isClosed = closed(late);
    late.write(`PATCH ${location} HTTP/1.1\r\nhost: x\r\n${authorization()}content-length: 1000\r\n\r\npart`);
    await untilSize(4);
    await session[Symbol.asyncDispose]();
    await isClosed;
    expect(await spooled()).toEqual([]);
    expect((await client("GET", location)).status).toBe(403);
    expect(broken).toEqual([]);
  });

  test("that fail because of this process are reported to the observer", async () => {
    await registry.openSpool();
    await rm(join(folder, (await readdir(folder))[0] ?? ""), { recursive: true });
    expect((await client("POST", "/v2/app/blobs/uploads/")).status).toBe(500);
    expect(broken).toHaveLength(1);
  });

  test("of the same blob, repeated many times, leave one file", async () => {
    const { bytes, digest } = blob("again");
    for (let count = 0; count < 3; count++) {
      expect((await client("POST", `/v2/app/blobs/uploads/?digest=${digest}`, { body: bytes })).status).toBe(201);
    }
    expect(await spooled()).toHaveLength(1);
  });

  test("with a wrong digest leave no file", async () => {
    const { digest } = blob("one");
    await client("POST", `/v2/app/blobs/uploads/?digest=${digest}`, { body: "another" });
    await client("PUT", `${await beginUpload()}?digest=${digest}`, { body: "another" });
    expect((await client("HEAD", `/v2/app/blobs/${digest}`)).status).toBe(404);
    expect(await spooled()).toEqual([]);
  });

  /** Waits until the spool has a file of at least that size. */
  async function untilSize(bytes: number): Promise<void> {
    const [spool = ""] = await readdir(folder);
    for (;;) {
      const sizes = await Promise.all(
        (await spooled()).map(async (name) => (await stat(join(folder, spool, name))).size),
      );
      if (sizes.some((size) => size >= bytes)) return;
    }
  }
});

describe("responses and connections", () => {
  test("break off if a blob is longer than announced", async () => {
    await expect(client("GET", `/v2/other/blobs/${digestOf("")}`)).rejects.toThrow(/aborted|socket hang up|ECONNRESET/);
  });

  test("report an invalid request with 400, and the next client is served", async () => {
    for (const invalid of [
      "\x16\x03\x01\x02\x00\x01 is how TLS begins\r\n\r\n",
      "GET\r\n\r\n",
      "GET /v2/ HTTP/9\r\n\r\n",
    ]) {
      const raw = rawConnection();
      raw.end(invalid);
      expect(String((await once(raw, "data"))[0])).toMatch(/^HTTP\/1.1 400/);
    }
    expect((await client("GET", "/v2/")).status).toBe(200);
  });

  test("do not prevent the registry from closing if they are silent, or have sent half a request", async () => {
    const [silent, half] = [rawConnection(), rawConnection()];
    half.write("GET /v2/ HT");
    await Promise.all([once(silent, "connect"), once(half, "connect")]);
    const areClosed = Promise.all([closed(silent), closed(half)]);
    await client("GET", "/v2/"); // both connections have been accepted by now
    await registry[Symbol.asyncDispose]();
    await expect(areClosed).resolves.toHaveLength(2);
  });
});
