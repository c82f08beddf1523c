import { createServer, type Socket } from "node:net";
import { Failure } from "../../../src/output/errors.ts";
import type { Role } from "../../../src/stdio-tunnel/handshake.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { openEnd } from "../../fixtures/remote/open-end.ts";

/** A far command that leads to a socket of this process: so that a table of attacks is made of functions. */
const BRIDGE = [
  `const socket = require("node:net").connect(process.argv[1])`,
  `for (const end of [socket, process.stdout]) end.on("error", () => process.exit())`,
  `process.stdin.pipe(socket).pipe(process.stdout)`,
].join("; ");

/** The other side of a transfer, played by the test. */
export interface RemoteSide extends AsyncDisposable {
  /** The command that reaches it. */
  command: string[];
  /** What it was told when the side that is tested gave up. */
  told: Promise<Failure>;
}

/** Plays a side of a transfer behind a far command. The tunnel is a real one; what is said in it is up to `play`. */
export async function playRemoteSide(
  socket: string,
  role: Role,
  play: (tunnel: Tunnel) => Promise<void>,
): Promise<RemoteSide> {
  const connections = new Set<Socket>();
  let tell: (failure: Failure) => void;
  const told = new Promise<Failure>((resolve) => (tell = resolve));
  const faults: unknown[] = [];
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    connections.add(connection);
    const transport = new StdioTransport(connection, connection);
    transport.on("error", () => {});
    void (async () => {
      try {
        await using tunnel = await openEnd(transport, "spawned", role);
        tunnel.signal.addEventListener("abort", () => tell(tunnel.signal.reason as Failure));
        await play(tunnel);
      } catch (error) {
        if (!(error instanceof Failure)) faults.push(error);
      }
    })();
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    command: [process.execPath, "-e", BRIDGE, socket],
    told,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const connection of connections) connection.destroy();
      if (faults.length > 0) throw faults[0];
    },
  };
}
