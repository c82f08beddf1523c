/** TCP clients on this side, a TCP server on the other, the tunnel between them. */
import { once } from "node:events";
import { createServer as createHttpServer, get, type IncomingMessage, type RequestListener } from "node:http";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openLocalPortForward, type LocalPortForward } from "../../../src/stdio-tunnel/local-port-forward.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { toPort } from "../streams/to-port.ts";
import { closed, text } from "../../fixtures/remote/contents.ts";
import { outcomeOf } from "../../fixtures/remote/outcome.ts";
import { pseudoRandom, sha256 } from "../../fixtures/remote/pseudo-random.ts";
import { tunnelPair } from "./carriers.ts";

let sender: Tunnel;
let receiver: Tunnel;
let portForward: LocalPortForward;
const onUnreachable = vi.fn<(error: Error) => void>();
const servers: Server[] = [];

beforeEach(async () => {
  ({ sender, receiver } = await tunnelPair());
  portForward = await openLocalPortForward(receiver, "registry");
});
afterEach(async () => {
  await portForward[Symbol.asyncDispose]();
  await Promise.all([sender.close(), receiver.close()]);
  for (const server of servers.splice(0)) server.close();
  vi.clearAllMocks();
});

/** Serves `server` on the sender's side as the service "registry". */
async function serve(server: Server): Promise<Server> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  sender.listen("registry", toPort((server.address() as AddressInfo).port, "127.0.0.1", onUnreachable));
  return server;
}

async function serveHttp(listener: RequestListener): Promise<void> {
  await serve(createHttpServer(listener));
}

/** A server that reads a request to its end and then answers. */
function answering(answer: (socket: Socket) => Promise<string>): Server {
  return createServer({ allowHalfOpen: true }, (socket) => void answer(socket).then((words) => socket.end(words)));
}

function client(): Socket {
  return connect({ port: portForward.port, host: "127.0.0.1", allowHalfOpen: true });
}

async function response(): Promise<IncomingMessage> {
  const request = get({ port: portForward.port, host: "127.0.0.1", path: "/", agent: false });
  request.on("error", () => {}); // the response breaks as well
  const [message] = (await once(request, "response")) as [IncomingMessage];
  return message;
}

describe("through the local port forward", () => {
  test("a client reaches the server, and half-closes work in both directions", async () => {
    await serve(answering(async (socket) => `heard ${await text(socket)}`));
    expect(await text(client().end("this"))).toBe("heard this");
    expect(onUnreachable).not.toHaveBeenCalled();
  });

  test("a server can still read after it has ended its half", async () => {
    const server = await serve(createServer({ allowHalfOpen: true }, (socket) => socket.end("all I have")));
    const connection = once(server, "connection") as Promise<[Socket]>;
    const socket = client();
    expect(await text(socket)).toBe("all I have");
    socket.end("said after your end");
    expect(await text((await connection)[0])).toBe("said after your end");
  });

  test("many concurrent HTTP downloads arrive, byte for byte", async () => {
    await serveHttp((_request, answer) => pseudoRandom(3, 2_000_001).pipe(answer));
    const digests = Array.from({ length: 8 }, async () => await sha256(await response()));
    expect(new Set(await Promise.all(digests))).toEqual(new Set([await sha256(pseudoRandom(3, 2_000_001))]));
  });

  test("an upload arrives, byte for byte", async () => {
    await serve(answering(sha256));
    expect(await text(pseudoRandom(4, 2_000_001).pipe(client()))).toBe(await sha256(pseudoRandom(4, 2_000_001)));
  });
});

describe("the local port forward", () => {
  test("listens on 127.0.0.1 only", async () => {
    const other = connect({ port: portForward.port, host: "127.0.0.2" });
    const [error] = (await once(other, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNREFUSED");
  });

  test("accepts no connection after it is closed", async () => {
    await portForward[Symbol.asyncDispose]();
    const [error] = (await once(client(), "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNREFUSED");
  });

  test.each(["lost", "closed"])("resets a client that comes after the tunnel was %s", async (how) => {
    if (how === "closed") await receiver.close();
    await sender.close();
    await receiver.closed;
    expect(await outcomeOf(client())).toEqual({ bytes: 0, ended: false, failed: true });
  });
});

describe("a reset", () => {
  const cut = { ended: false, failed: true };

  test("is sent to the client when the server refuses the connection; the sender gets the error", async () => {
    const server = await serve(createServer());
    server.close();
    await once(server, "close");
    expect(await outcomeOf(client())).toMatchObject(cut);
    expect(onUnreachable).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: "ECONNREFUSED" }));
  });

  test("is sent to the client when the service does not exist", async () => {
    expect(await outcomeOf(client())).toMatchObject(cut);
  });

  // The reset waits until the client has read everything: libuv (uv__stream_io) reports data and a reset in one poll as an "end".
  test.each([
    ["the server resets the connection", (socket: Socket) => socket.resetAndDestroy()],
    ["the receiver's tunnel closes", () => receiver.close()],
    ["the sender's tunnel closes", () => sender.close()],
    ["the local port forward closes", () => portForward[Symbol.asyncDispose]()],
  ])("is sent to the client when %s in the middle of an answer that ends with its connection", async (_when, cutIt) => {
    let atServer: Socket | undefined;
    await serve(createServer((socket) => (atServer = socket.on("error", () => {})).write(Buffer.alloc(100_000))));
    const socket = client();
    const outcome = outcomeOf(socket);
    await vi.waitFor(() => expect(socket.bytesRead).toBe(100_000));
    void cutIt(atServer as Socket);
    expect(await outcome).toEqual({ bytes: 100_000, ...cut });
  });

  test.each(["Content-Length", "chunks"])("never makes a truncated download look complete: %s", async (framing) => {
    await serveHttp((request, answer) => {
      if (framing === "Content-Length") answer.setHeader("Content-Length", 200_000);
      answer.write(Buffer.alloc(100_000), () => setImmediate(() => request.socket.resetAndDestroy()));
    });
    const message = await response();
    await expect(sha256(message)).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(message.complete).toBe(false);
  });

  test.each([
    ["the client resets", (socket: Socket) => socket.resetAndDestroy()],
    ["the local port forward closes", () => portForward[Symbol.asyncDispose]()],
  ])("reaches the server when %s, also after the client has ended its half", async (_when, cutIt) => {
    const stream = new Promise<Duplex>((resolve) => sender.listen("registry", resolve));
    const socket = client().on("error", () => {});
    socket.end("a request");
    const served = await stream;
    const outcome = outcomeOf(served);
    await once(served, "end");
    void cutIt(socket);
    await closed(socket);
    served.write("an answer"); // only a write shows that the client has disconnected
    expect(await outcome).toMatchObject({ bytes: 9, failed: true });
  });
});

test("is not blocked by silent connections", async () => {
  await serveHttp((_, answer) => void answer.end("an answer"));
  const silent = Array.from({ length: 300 }, () =>
    client()
      .on("error", () => {})
      .resume(),
  );
  await Promise.all(silent.map(async (socket) => await once(socket, "connect")));
  expect(await text(await response())).toBe("an answer");
  for (const socket of silent) socket.destroy();
});
