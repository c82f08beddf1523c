import { createServer, type Socket } from "node:net";
import { Failure } from "../../../src/output/errors.ts";
import type { Role } from "../../../src/stdio-tunnel/handshake.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { openEnd } from "../../fixtures/remote/open-end.ts";

/** A remote command that connects to a socket of this process, so that attacks can be functions. */
const BRIDGE = [
  `const socket = require("node:net").connect(process.argv[1])`,
  `for (const end of [socket, process.stdout]) end.on("error", () => process.exit())`,
  `process.stdin.pipe(socket).pipe(process.stdout)`,
].join("; ");

/** The remote side of a transfer, which the test plays. */
export interface RemoteSide extends AsyncDisposable {
  /** The remote command. */
  command: string[];
  /** Resolves to the failure that the tested side reports when it gives up. */
  reported: Promise<Failure>;
}

/** Plays one side of a transfer behind a remote command. `play` sends messages through a real tunnel. */
export async function playRemoteSide(
  socket: string,
  role: Role,
  play: (tunnel: Tunnel) => Promise<void>,
): Promise<RemoteSide> {
  const connections = new Set<Socket>();
  let report: (failure: Failure) => void;
  const reported = new Promise<Failure>((resolve) => (report = resolve));
  const errors: unknown[] = [];
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    connections.add(connection);
    const transport = new StdioTransport(connection, connection);
    transport.on("error", () => {});
    void (async () => {
      try {
        await using tunnel = await openEnd(transport, "spawned", role);
        tunnel.signal.addEventListener("abort", () => report(tunnel.signal.reason as Failure));
        await play(tunnel);
      } catch (error) {
        if (!(error instanceof Failure)) errors.push(error);
      }
    })();
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    command: [process.execPath, "-e", BRIDGE, socket],
    reported,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const connection of connections) connection.destroy();
      if (errors.length > 0) throw errors[0];
    },
  };
}
