import { once } from "node:events";
import { createServer, connect, type AddressInfo, type Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { bridge } from "../../../src/streams/bridge.ts";
import { toPort } from "./to-port.ts";
import { closed, text } from "../../fixtures/remote/contents.ts";

/** Returns the two ends of a connection in memory. */
function line(): [Duplex, Duplex] {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const end = (readable: PassThrough, writable: PassThrough): Duplex =>
    new Duplex({
      allowHalfOpen: true,
      autoDestroy: true,
      read() {
        readable.on("data", (chunk) => this.push(chunk)).once("end", () => this.push(null));
        this._read = () => {};
      },
      write: (chunk, _encoding, done) => void writable.write(chunk, done),
      final: (done) => void writable.end(done),
    });
  return [end(there, back), end(back, there)];
}

describe("a bridge", () => {
  test("copies in both directions, and ends each direction separately", async () => {
    const [client, a] = line();
    const [b, server] = line();
    bridge(a, b);
    client.end("question");
    expect(await text(server)).toBe("question");
    server.end("answer");
    expect(await text(client)).toBe("answer");
    expect([a.errored, b.errored]).toEqual([null, null]);
  });

  test.each(["an error", "no error"])("a stream destroyed with %s breaks the other", async (how) => {
    const [, a] = line();
    const [b] = line();
    bridge(a, b);
    const broken = closed(b);
    a.destroy(...(how === "an error" ? [new Error("EIO")] : []));
    await broken;
    expect(b.errored).toMatchObject({ message: "the other half of the bridge is gone" });
    expect(b.readableEnded).toBe(false);
  });

  test("breaks the other stream when one is destroyed before it has read everything", async () => {
    const [client, a] = line();
    const [b, server] = line();
    bridge(a, b);
    client.end("question");
    await text(server);
    a.destroy();
    await closed(b);
    expect(b.errored).not.toBeNull();
  });

  test("breaks the other stream when one is destroyed before its writes are complete", async () => {
    const stuck = new Duplex({ read() {}, write() {} });
    const b = new PassThrough();
    bridge(stuck, b);
    b.end("an answer that nobody takes");
    stuck.push(null);
    await once(stuck, "end");
    await vi.waitFor(() => expect(stuck.writableEnded).toBe(true));
    const other = new PassThrough();
    bridge(stuck, other);
    stuck.destroy();
    await closed(other);
    expect(other.errored).not.toBeNull();
  });
});

describe("a stream bridged to a TCP connection", () => {
  async function server(onSocket: (socket: Socket) => void): Promise<{ port: number; close: () => void }> {
    const listener = createServer({ allowHalfOpen: true }, onSocket).listen(0, "127.0.0.1");
    await once(listener, "listening");
    return { port: (listener.address() as AddressInfo).port, close: () => listener.close() };
  }

  test("reaches the server", async () => {
    const { port, close } = await server((socket) => socket.pipe(socket));
    const [client, stream] = line();
    const onUnreachable = vi.fn<(error: Error) => void>();
    toPort(port, "127.0.0.1", onUnreachable)(stream);
    client.end("echo");
    expect(await text(client)).toBe("echo");
    expect(onUnreachable).not.toHaveBeenCalled();
    close();
  });

  test("reports a refused connection, and breaks", async () => {
    const { port, close } = await server(() => {});
    close();
    const [, stream] = line();
    const onUnreachable = vi.fn<(error: Error) => void>();
    const broken = closed(stream);
    toPort(port, "127.0.0.1", onUnreachable)(stream);
    await broken;
    expect(onUnreachable).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: "ECONNREFUSED" }));
    expect(stream.errored).not.toBeNull();
  });

  test("does not report a connection that breaks later as unreachable", async () => {
    const { port, close } = await server((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const [client, stream] = line();
    const onUnreachable = vi.fn<(error: Error) => void>();
    const broken = closed(stream);
    toPort(port, "127.0.0.1", onUnreachable)(stream);
    client.write("go");
    await broken;
    expect(stream.errored).not.toBeNull();
    expect(onUnreachable).not.toHaveBeenCalled();
    close();
  });

  test("resets the connection when it breaks", async () => {
    const outcome = new Promise<unknown>((resolve) => {
      void server((socket) =>
        socket
          .once("error", resolve)
          .once("end", () => resolve("a clean end"))
          .resume()
          .write("hello"),
      ).then(({ port, close }) => {
        const [client, stream] = line();
        toPort(port, "127.0.0.1", () => {})(stream);
        client.once("data", () => {
          stream.destroy();
          close();
        });
      });
    });
    expect(await outcome).toMatchObject({ code: "ECONNRESET" });
  });

  test("leaves no connection when it is destroyed before the connection is open", async () => {
    const sockets: Socket[] = [];
    const { port, close } = await server((socket) => sockets.push(socket.on("error", () => {})));
    const [, stream] = line();
    toPort(port, "127.0.0.1", () => {})(stream);
    stream.destroy();
    await closed(stream);
    const probe = connect(port, "127.0.0.1");
    await once(probe, "connect");
    await vi.waitFor(() => expect(sockets.filter((socket) => !socket.destroyed)).toHaveLength(1));
    probe.destroy();
    for (const socket of sockets) socket.destroy();
    close();
  });
});
