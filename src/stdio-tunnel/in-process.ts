import { PassThrough } from "node:stream";
import { PROTOCOL_VERSION } from "./constants.ts";
import type { Hello, Role } from "./handshake.ts";
import { useTunnel, type TunnelOptions } from "./open.ts";
import { Tunnel } from "./session.ts";
import { StdioTransport } from "./transport.ts";

/** One side of a transfer. */
export type Side = (tunnel: Tunnel, signal: AbortSignal) => Promise<void>;

/**
 * Runs both sides of a transfer in this process, with a tunnel in memory between them. If one side fails, the other gets the failure, and
 * this rejects with the failure of the side in which it occurred. Settles when both sides have ended.
 */
export async function runBothSides(
  halves: Record<Role, Side>,
  options: Pick<TunnelOptions, "tool" | "features" | "signal" | "explain">,
): Promise<void> {
  options.signal.throwIfAborted();
  const [toSender, toReceiver] = [new PassThrough(), new PassThrough()];
  const ends = { sender: new StdioTransport(toSender, toReceiver), receiver: new StdioTransport(toReceiver, toSender) };
  const failures: { error: unknown; isOwn: boolean }[] = [];
  const run = async (role: Role, other: Role): Promise<void> => {
    const peer: Hello = {
      protocol: PROTOCOL_VERSION,
      tool: options.tool,
      role: other,
      features: [...(options.features ?? [])],
    };
    const tunnel = new Tunnel(ends[role], { peer, noise: "" }, { role });
    try {
      await useTunnel(tunnel, options, halves[role]);
    } catch (error) {
      failures.push({ error, isOwn: error !== tunnel.signal.reason });
    } finally {
      await tunnel.close();
    }
  };
  await Promise.all([run("sender", "receiver"), run("receiver", "sender")]);
  if (failures.length > 0) throw (failures.find(({ isOwn }) => isOwn) ?? failures[0])?.error;
}

/**
 * Like {@link runBothSides}. Returns the result of the side with this role.
 *
 * @param run runs that side
 * @param runOther runs the other side
 */
export async function runWithOtherSide<T>(
  role: Role,
  run: (tunnel: Tunnel, signal: AbortSignal) => Promise<T>,
  runOther: Side,
  options: Parameters<typeof runBothSides>[1],
): Promise<T> {
  let result: { value: T } | undefined;
  const own: Side = async (tunnel, signal) => {
    result = { value: await run(tunnel, signal) };
  };
  await runBothSides(
    role === "sender" ? { sender: own, receiver: runOther } : { sender: runOther, receiver: own },
    options,
  );
  if (result === undefined) throw new Error("the transfer has ended without a result");
  return result.value;
}
