import { setImmediate as afterPoll } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { once } from "node:events";
import { afterAll, expect, test } from "vitest";
import { readServerAddress } from "../../../src/publish/server-address.ts";
import { ServiceClient } from "../../../src/publish/service-client.ts";

/** The events for which a thread waits: the client has sent a chunk, and the server has answered and reset the connection. */
const turns = new Int32Array(new SharedArrayBuffer(4));
const SENT = 1;
const RESET = 2;

/** A server in its own thread, which continues while the thread of the client is busy. */
const server = new Worker(
  `
  const { createServer } = require("node:net");
  const { parentPort, workerData: turns } = require("node:worker_threads");
  const listening = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write("HTTP/1.1 100 Continue\\r\\n\\r\\n");
      socket.once("data", () => {
        Atomics.wait(turns, 0, 0);
        socket.write("HTTP/1.1 413 Content Too Large\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n", () => {
          socket.resetAndDestroy();
          setImmediate(() => {
            Atomics.store(turns, 0, ${RESET});
            Atomics.notify(turns, 0);
          });
        });
      });
    });
  });
  listening.listen(0, "127.0.0.1", () => parentPort.postMessage(listening.address().port));`,
  { eval: true, workerData: turns },
);
afterAll(async () => void (await server.terminate()));

test("uses an answer that arrived while the client was busy, even if the connection was reset after it", async () => {
  const [port] = (await once(server, "message")) as [number];
  const client = new ServiceClient(readServerAddress(`http://127.0.0.1:${port}`, {}), undefined, 10_000);
  async function* body(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(1000);
    await afterPoll();
    await afterPoll();
    // Between this line and the next chunk, this thread does not read the socket.
    Atomics.store(turns, 0, SENT);
    Atomics.notify(turns, 0);
    Atomics.wait(turns, 0, SENT);
    yield Buffer.alloc(1000);
  }
  const signal = new AbortController().signal;
  const { status } = await client.request({ method: "POST", path: "api/v2/builds", body: body(), signal });
  expect(status).toBe(413);
});
