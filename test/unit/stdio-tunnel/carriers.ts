/** The three kinds of streams that a tunnel runs over in these tests. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { spawnRemote, type RemoteProcess } from "../../../src/stdio-tunnel/remote-process.ts";
import type { Role } from "../../../src/stdio-tunnel/handshake.ts";
import type { Tunnel } from "../../../src/stdio-tunnel/session.ts";
import { StdioTransport } from "../../../src/stdio-tunnel/transport.ts";
import { openEnd } from "../../fixtures/remote/open-end.ts";

export type Pair = [StdioTransport, StdioTransport];

/** A pair of streams in this process. */
export function duplexPair(): Pair {
  const [there, back] = [new PassThrough(), new PassThrough()];
  return [new StdioTransport(there, back), new StdioTransport(back, there)];
}

export async function tcpPair(): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const near = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [remote] = (await once(server, "connection")) as [Socket];
  await once(near, "connect");
  server.close();
  return [new StdioTransport(near, near), new StdioTransport(remote, remote)];
}

/** Opens both sides of a tunnel. */
export async function tunnelPair(
  pair: Pair = duplexPair(),
  silence?: number,
): Promise<{ sender: Tunnel; receiver: Tunnel }> {
  const [sender, receiver] = await Promise.all([
    openEnd(pair[0], "initiator", "sender", silence),
    openEnd(pair[1], "spawned", "receiver", silence),
  ]);
  return { sender, receiver };
}

/** Returns the command that runs a program of test/fixtures/remote. */
export function remoteProgram(name: string, ...args: string[]): string[] {
  const path = fileURLToPath(new URL(`../../fixtures/remote/${name}`, import.meta.url));
  const runner = name.endsWith(".ts") ? ["--import", "tsx"] : [];
  return [process.execPath, ...runner, path, ...args];
}

/** Starts the remote half of a scenario in a child process. */
export function spawnScenario(role: Role, name: string): RemoteProcess {
  return spawnRemote(remoteProgram("tunnel.ts", role, name), (line) => process.stderr.write(`remote: ${line}\n`));
}
