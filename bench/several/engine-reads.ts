import { createConnection, createServer } from "node:net";
import type { Engine } from "../../test/testbed/engine.ts";

/** Counts the bytes that are read from an engine. */
export interface EngineReads extends AsyncDisposable {
  /** The value for `DOCKER_HOST`. */
  host: string;
  /** Returns the bytes that the engine has sent since the last call, including uploads of a push. */
  take(): number;
}

/** Starts a proxy in front of an engine's socket, which counts bytes. */
export async function countReads(engine: Engine, socket: string): Promise<EngineReads> {
  let bytes = 0;
  const server = createServer((client) => {
    const upstream = createConnection(engine.description.socket);
    upstream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    for (const stream of [client, upstream]) stream.on("error", () => {});
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    host: `unix://${socket}`,
    take() {
      const taken = bytes;
      bytes = 0;
      return taken;
    },
    [Symbol.asyncDispose]: async () => await new Promise((resolve) => void server.close(() => resolve())),
  };
}
