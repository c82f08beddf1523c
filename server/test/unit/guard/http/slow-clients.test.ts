import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { Duplex, Readable } from "node:stream";
import { describe, expect, it, vi } from "vitest";
import type { BackendBuildkit } from "../../../../src/guard/backend.ts";
import { openReply } from "../../../../src/guard/http/reply.ts";
import type { Response } from "../../../../src/guard/http/exchange.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";
import { createThrottle } from "../../../../src/guard/sockets/throttle.ts";
import { frontBed } from "../../../fixtures/guard/front-bed.ts";
import { echoingBuildkit, standInBackend, standInTenant } from "../../../fixtures/guard/stand-in-backend.ts";
import { rawConnection, statusOf, type RawConnection } from "../../../fixtures/raw-request.ts";

const HOST = "Host: docker\r\n";
const EVENTS = `GET /events HTTP/1.1\r\n${HOST}\r\n`;
const MB = 1024 * 1024;

/** An endless archive */
function endless(): Readable {
  const chunk = Buffer.alloc(64 * 1024);
  return new Readable({
    read() {
      this.push(chunk);
    },
  });
}

/** Sends text in pieces of one byte, until the connection is closed. */
async function drip({ socket, closed }: RawConnection, text: Iterable<string>): Promise<string> {
  const pieces = text[Symbol.iterator]();
  const timer = setInterval(() => socket.write(pieces.next().value ?? "x"), 2);
  try {
    return await closed;
  } finally {
    clearInterval(timer);
  }
}

describe("a slow client", () => {
  it("is closed while it sends its headers in small pieces", async () => {
    await using bed = await frontBed({ timeouts: { headers: 50 } });
    using connection = await rawConnection(bed.port);
    expect(await drip(connection, `GET /_ping HTTP/1.1\r\n${HOST}X-Thing: `)).toBe("");
    expect(bed.entries).toEqual([]);
  });

  it("gets 408 while it sends a JSON body", async () => {
    await using bed = await frontBed({ timeouts: { json: 50, linger: 1 } });
    using connection = await rawConnection(bed.port);
    connection.socket.write(`POST /auth HTTP/1.1\r\n${HOST}Content-Length: 100000\r\n\r\n`);
    expect(statusOf(await drip(connection, "{"))).toBe(408);
    expect(bed.entries).toMatchObject([{ rule: "body.idle" }]);
  });

  it("loses the lines that it does not read, and events earlier, because a tenant may have many event streams", async () => {
    const backend = standInBackend();
    backend.images.events = async function* ({ signal }) {
      for (let count = 0; count < 10_000 && !signal.aborted; count++) {
        yield { Type: "image", text: "a".repeat(MB / 16) };
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await using bed = await frontBed({ backend });
    using connection = await rawConnection(bed.port);
    connection.socket.pause();
    connection.socket.write(EVENTS);
    await vi.waitFor(() => expect(bed.entries).toMatchObject([{ rule: "client.slow", decision: "failed" }]));
    // In addition to the data that waits in the guard, the kernel buffers some MB.
    expect(bed.entries[0]?.sent).toBeLessThan(12 * MB);
  });

  it("loses an archive that it does not read", async () => {
    const backend = standInBackend();
    backend.images.save = async () => endless();
    await using bed = await frontBed({ backend, timeouts: { stall: 50 } });
    using connection = await rawConnection(bed.port);
    connection.socket.pause();
    connection.socket.write(`GET /images/app:v1/get HTTP/1.1\r\n${HOST}\r\n`);
    await vi.waitFor(() => expect(bed.entries).toMatchObject([{ rule: "image.save", status: 200 }]));
  });

  it("loses an archive over HTTP/2 that it does not read, although the connection is alive", async () => {
    const backend = standInBackend();
    backend.images.save = async () => endless();
    await using bed = await frontBed({ backend, timeouts: { stall: 50 } });
    const client = connectHttp2(`http://127.0.0.1:${bed.port}`);
    client.on("error", () => {});
    const stream = client.request({ ":path": "/images/app:v1/get" });
    stream.on("error", () => {});
    const pings = setInterval(() => client.destroyed || client.ping(() => {}), 5);
    await vi.waitFor(() => expect(bed.entries).toMatchObject([{ rule: "image.save" }]));
    clearInterval(pings);
    client.destroy();
  });
});

describe("events", () => {
  it("begin at once, arrive as they happen, and are complete without a filter", async () => {
    const backend = standInBackend();
    let happen!: () => void;
    const happened = new Promise<void>((resolve) => (happen = resolve));
    backend.images.events = async function* (_caller, { filters }) {
      await happened;
      yield { filters };
    };
    await using bed = await frontBed({ backend });
    using connection = await rawConnection(bed.port);
    connection.socket.write(EVENTS);
    expect(statusOf(await connection.received("\r\n\r\n"))).toBe(200);
    happen();
    expect(await connection.received("0\r\n\r\n")).toContain('{"filters":{}}');
  });

  it("are filtered by a filter's values", async () => {
    const backend = standInBackend();
    backend.images.events = async function* (_caller, { filters }) {
      yield { filters };
    };
    await using bed = await frontBed({ backend });
    const filters = encodeURIComponent('{"event":{"tag":true}}');
    const request = `GET /events?filters=${filters} HTTP/1.1\r\n${HOST}\r\n`;
    expect(await bed.send(request, "0\r\n\r\n")).toContain('{"filters":{"event":["tag"]}}');
  });
});

describe("a session", () => {
  const ASKED = `POST /session HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: abc\r\n\r\n`;
  const withSession = (stream: Duplex, count = (_bytes: number): void => {}): BackendBuildkit => ({
    ...echoingBuildkit(),
    openSession: async () => ({ stream, count }),
  });

  it("is connected in both directions, and ends at the engine when its client disconnects", async () => {
    const engine = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        this.push(`<${chunk.toString()}>`);
        done();
      },
    });
    await using bed = await frontBed({ backend: standInBackend({ buildkit: withSession(engine) }) });
    using connection = await rawConnection(bed.port);
    connection.socket.write(`${ASKED}along`);
    expect(await connection.received("<along>")).toContain("101 Switching Protocols");
    const closed = new Promise((resolve) => engine.once("close", resolve));
    connection.socket.destroy();
    await closed;
    await vi.waitFor(() => expect(bed.entries).toMatchObject([{ rule: "buildkit.session", received: 5 }]));
  });

  it("ends at the client when the engine disconnects", async () => {
    const engine = new Duplex({
      read() {},
      write(_chunk, _encoding, done) {
        done();
      },
    });
    await using bed = await frontBed({ backend: standInBackend({ buildkit: withSession(engine) }) });
    using connection = await rawConnection(bed.port);
    connection.socket.write(ASKED);
    await connection.received("\r\n\r\n");
    engine.destroy();
    expect(statusOf(await connection.closed)).toBe(101);
  });

  it("transfers data up to the limit, and is refused beyond it", async () => {
    const written: Buffer[] = [];
    const engine = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        written.push(chunk);
        this.push(chunk);
        done();
      },
    });
    let left = 10;
    const count = (bytes: number): void => {
      left -= bytes;
      if (left < 0) throw new Refusal("context.size", "the context is larger", { statusCode: 413 });
    };
    await using bed = await frontBed({ backend: standInBackend({ buildkit: withSession(engine, count) }) });
    using connection = await rawConnection(bed.port);
    connection.socket.write(ASKED);
    await connection.received("\r\n\r\n");
    connection.socket.write("a context");
    await connection.received("a context");
    connection.socket.write("that is larger");
    await connection.closed;
    expect(Buffer.concat(written).toString()).toBe("a context");
    await vi.waitFor(() => expect(bed.entries).toMatchObject([{ decision: "refused", rule: "context.size" }]));
  });

  it("does not read from the engine the data that its client does not read", async () => {
    let read = 0;
    const engine = new Duplex({
      read() {
        const chunk = Buffer.alloc(64 * 1024);
        read += chunk.length;
        setImmediate(() => this.push(read < 256 * MB ? chunk : null));
      },
      write(_chunk, _encoding, done) {
        done();
      },
    });
    await using bed = await frontBed({ backend: standInBackend({ buildkit: withSession(engine) }) });
    using connection = await rawConnection(bed.port);
    connection.socket.pause();
    connection.socket.write(ASKED);
    let before = -1;
    await vi.waitFor(() => {
      const last = before;
      before = read;
      expect(read).toBeGreaterThan(0);
      expect(read).toBe(last);
    });
    expect(read).toBeLessThan(32 * MB);
  });
});

it("limits a tenant to as many simultaneous requests as connections, and does not affect others", async () => {
  const backend = standInBackend();
  backend.images.events = async function* ({ signal }) {
    yield {};
    await once(signal, "abort");
  };
  const tenant = standInTenant({ quotas: { context: 1024, connections: 2, requests: 1000 } });
  await using bed = await frontBed({ backend, tenant });
  await using calm = await frontBed({ backend, tenant: standInTenant({ id: "calm" }) });
  const client = connectHttp2(`http://127.0.0.1:${bed.port}`);
  for (let count = 0; count < 2; count++) await once(client.request({ ":path": "/events" }), "response");
  const [refused] = (await once(client.request({ ":path": "/_ping" }), "response")) as [Record<string, unknown>];
  expect(refused).toMatchObject({ ":status": 429, "retry-after": "1" });
  const grpc = client.request({ ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc" });
  expect((await once(grpc, "response"))[0]).toMatchObject({ "grpc-status": "8" });
  expect(statusOf(await calm.send(`GET /_ping HTTP/1.1\r\n${HOST}\r\n`, "OK"))).toBe(200);
  client.destroy();
});

it("does not switch an HTTP/2 request", () => {
  const reply = openReply(
    { response: {} as Response, takeOver: undefined } as Parameters<typeof openReply>[0],
    () => undefined,
    () => {},
  );
  expect(() => reply.upgrade("h2c")).toThrow(expect.objectContaining({ rule: "upgrade.http2" }) as Error);
});

it("tells a tenant that is too fast when to retry", async () => {
  const throttle = createThrottle(() => ({ requests: 0.01 }), { now: () => 0 });
  await throttle.take();
  await using bed = await frontBed({ throttle });
  const answer = await bed.send(`GET /_ping HTTP/1.1\r\n${HOST}\r\n`, "}\n");
  expect(statusOf(answer)).toBe(429);
  expect(answer).toContain("Retry-After: 95\r\n");
  expect(bed.entries).toMatchObject([{ rule: "quota.requests", decision: "refused" }]);
});
