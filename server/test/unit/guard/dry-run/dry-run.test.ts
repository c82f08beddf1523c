import { createServer as createHttp, request, type IncomingMessage } from "node:http";
import { connect as connectHttp2, createServer as createHttp2, type ClientHttp2Session } from "node:http2";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import type { AuditEntry } from "../../../../src/guard/audit/entry.ts";
import { openDryRun } from "../../../../src/guard/dry-run/open-dry-run.ts";
import { Refusal } from "../../../../src/guard/refusal.ts";
import type { Tenant } from "../../../../src/guard/tenant.ts";

const SOLVE = "/moby.buildkit.v1.Control/Solve";

/** A server that answers everything: HTTP/1, `/grpc` that is switched to HTTP/2, and HTTP/2 from the first byte. */
async function engine(): Promise<{ port: number; bodies: string[] }> {
  const bodies: string[] = [];
  // Larger windows than a reader's default, and a second SETTINGS that the client acknowledges.
  const http2 = createHttp2({ settings: { initialWindowSize: 8 * 1024 * 1024 } });
  http2.on("session", (session) => {
    session.setLocalWindowSize(16 * 1024 * 1024);
    session.settings({ maxConcurrentStreams: 50 });
  });
  http2.on("stream", (stream) => {
    stream.on("error", () => {});
    void text(stream).then((body) => {
      bodies.push(`grpc ${body.length}`);
      stream.respond({ ":status": 200 });
      stream.end("solved");
    });
  });
  const http1 = createHttp((incoming, response) => {
    void text(incoming).then((body) => {
      bodies.push(`${incoming.method} ${incoming.url} ${body.length}`);
      response.end(`done ${incoming.url}`);
    });
  });
  http1.on("upgrade", (_request: IncomingMessage, socket: Socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    http2.emit("connection", socket);
  });
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("readable", () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return void socket.destroy();
      socket.unshift(first);
      (first.toString("latin1").startsWith("PRI ") ? http2 : http1).emit("connection", socket);
    });
  });
  return { port: await listening(server), bodies };
}

async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A dry run in front of an engine. Its guard would refuse `/containers`, and messages that begin with `!`. */
async function dryRun(enginePort?: number) {
  const { port: real, bodies } = await engine();
  const entries: AuditEntry[] = [];
  const messages: string[] = [];
  const judgedBodies: string[] = [];
  const front = openDryRun(() => ({ id: "a" }) as Tenant, {
    engine: { connect: () => connect(enginePort ?? real, "127.0.0.1") },
    audit: { write: (entry) => void entries.push(entry) },
    judge({ target, body }) {
      judgedBodies.push(String(body));
      const isRefused = target.startsWith("/containers");
      return {
        decision: isRefused ? "refused" : "allowed",
        rule: isRefused ? "call.refused" : "image.list",
        reason: "because",
        statusCode: 403,
        about: [],
      };
    },
    checkMessage(_path, message) {
      if (message.toString().startsWith("!")) throw new Refusal("solve.frontend", "no such frontend");
    },
    printLine: (line) => void messages.push(line),
  });
  const port = await listening(createServer({ allowHalfOpen: true }, (socket) => front.take(socket)));
  return { port, front, entries, messages, bodies, judgedBodies };
}

async function ask(port: number, method: string, path: string, body = "", headers = {}): Promise<string> {
  const sent = request({ port, method, path, headers });
  sent.end(body);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  return await text(answer);
}

function frame(message: string): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.write(message, 5);
  return bytes;
}

async function solve(session: ClientHttp2Session, ...messages: string[]): Promise<string> {
  const stream = session.request({ ":method": "POST", ":path": SOLVE, "content-type": "application/grpc" });
  stream.end(Buffer.concat(messages.map(frame)));
  return await text(stream);
}

const decisions = (entries: readonly AuditEntry[]): string[] =>
  entries.map(({ call, decision, rule }) => `${call} ${decision} ${rule}`);

test("refuses nothing: the engine gets everything, and lines show which requests would be refused", async () => {
  const { port, entries, bodies, judgedBodies } = await dryRun();
  expect(await ask(port, "GET", "/images/json?all=1")).toBe("done /images/json?all=1");
  expect(await ask(port, "POST", "/containers/create", '{"HostConfig":{}}')).toBe("done /containers/create");
  expect(bodies).toEqual(["GET /images/json?all=1 0", "POST /containers/create 17"]);
  expect(judgedBodies).toEqual(["", '{"HostConfig":{}}']);
  // A query may contain build arguments, so it is not recorded.
  expect(decisions(entries)).toEqual([
    "GET /images/json allowed image.list",
    "POST /containers/create would-refuse call.refused",
  ]);
  expect(entries[1]).toMatchObject({ tenant: "a", reason: "because", status: 403, received: 17 });
});

test("judges requests after a request that would be refused on the same connection", async () => {
  const { port, entries } = await dryRun();
  const socket = connect(port, "127.0.0.1");
  socket.write("GET /containers/json HTTP/1.1\r\nHost: d\r\n\r\n");
  await once(socket, "data");
  socket.write("GET /containers/x/archive HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
  await text(socket);
  expect(decisions(entries)).toEqual([
    "GET /containers/json would-refuse call.refused",
    "GET /containers/x/archive would-refuse call.refused",
  ]);
});

test("passes a body that exceeds the judged size to the engine, and counts it", async () => {
  const { port, entries, bodies, judgedBodies } = await dryRun();
  await ask(port, "POST", "/build", "x".repeat(5_000_000));
  expect(bodies).toEqual(["POST /build 5000000"]);
  expect(entries[0]?.received).toBe(5_000_000);
  expect(judgedBodies[0]?.length).toBe(1024 * 1024 + 1);
});

test.each(["from the first byte", "after POST /grpc"])("judges gRPC message by message, %s", async (how) => {
  const { port, entries } = await dryRun();
  let socket: Socket = connect(port, "127.0.0.1");
  if (how !== "from the first byte") {
    const upgrade = request({
      port,
      method: "POST",
      path: "/grpc",
      headers: { Connection: "Upgrade", Upgrade: "h2c" },
    });
    upgrade.end();
    socket.destroy();
    const [, switched, head] = (await once(upgrade, "upgrade")) as [IncomingMessage, Socket, Buffer];
    socket = switched;
    socket.unshift(head);
  }
  const session = connectHttp2("http://engine", { createConnection: () => socket });
  expect(await solve(session, "good")).toBe("solved");
  // More than a reader's default windows
  expect(await solve(session, "x".repeat(3_000_000), "good")).toBe("solved");
  expect(await solve(session, "good", "!bad", "good")).toBe("solved");
  session.ping(() => {});
  expect(await solve(session, "good")).toBe("solved");
  session.close();
  await once(session, "close");
  await expect
    .poll(() => decisions(entries).filter((line) => line.startsWith(SOLVE)))
    .toEqual([
      `${SOLVE} allowed grpc.solve`,
      `${SOLVE} allowed grpc.solve`,
      `${SOLVE} would-refuse solve.frontend`,
      `${SOLVE} allowed grpc.solve`,
    ]);
  expect(entries.find(({ decision }) => decision === "would-refuse")?.reason).toBe("no such frontend");
});

test("reports an unreadable connection, which continues", async () => {
  const { port, entries } = await dryRun(
    await listening(createServer((socket) => void socket.on("data", (chunk: Buffer) => socket.write(chunk)))),
  );
  const socket = connect(port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n");
  await once(socket, "data");
  await expect.poll(() => decisions(entries)).toEqual(["(the rest of a connection) would-refuse dry-run.unreadable"]);
  socket.write("still here");
  const [echo] = (await once(socket, "data")) as [Buffer];
  expect(String(echo)).toBe("still here");
  socket.destroy();
});

test("reports an unavailable engine, and closes the connection", async () => {
  const { port, messages } = await dryRun(1);
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("GET /_ping HTTP/1.1\r\n\r\n");
  await once(socket, "close");
  expect(messages).toEqual(["tenant a: the engine cannot be reached: ECONNREFUSED"]);
});

test("ends the tenant's connections on close", async () => {
  const { port, front } = await dryRun();
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
  await once(socket, "data");
  const closed = once(socket, "close");
  await front.close();
  await closed;
  expect(socket.destroyed).toBe(true);
});
