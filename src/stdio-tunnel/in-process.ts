import { PassThrough } from "node:stream";
import { PROTOCOL_VERSION } from "./constants.ts";
import type { Hello, Role } from "./handshake.ts";
import { telling, type TunnelOptions } from "./open.ts";
import { Tunnel } from "./session.ts";
import { StdioTransport } from "./transport.ts";

/** One side of a transfer: what it does with its end of the tunnel. */
export type Half = (tunnel: Tunnel, signal: AbortSignal) => Promise<void>;

/**
 * Both sides of a transfer in this process, with a tunnel between them that leads through its memory. Each half is told when
 * the other fails; what this rejects with is the failure of the one that it happened to. Both are over when it settles.
 */
export async function bothHalves(
  halves: Record<Role, Half>,
  options: Pick<TunnelOptions, "tool" | "features" | "signal" | "explain">,
): Promise<void> {
  options.signal.throwIfAborted();
  const [there, back] = [new PassThrough(), new PassThrough()];
  const ends = { sender: new StdioTransport(there, back), receiver: new StdioTransport(back, there) };
  const failures: { error: unknown; ownWords: boolean }[] = [];
  const run = async (role: Role, other: Role): Promise<void> => {
    const peer: Hello = {
      protocol: PROTOCOL_VERSION,
      tool: options.tool,
      role: other,
      features: [...(options.features ?? [])],
    };
    const tunnel = new Tunnel(ends[role], { peer, noise: "" }, { role });
    try {
      await telling(tunnel, options, halves[role]);
    } catch (error) {
      failures.push({ error, ownWords: error !== tunnel.signal.reason });
    } finally {
      await tunnel.close();
    }
  };
  await Promise.all([run("sender", "receiver"), run("receiver", "sender")]);
  if (failures.length > 0) throw (failures.find(({ ownWords }) => ownWords) ?? failures[0])?.error;
}
