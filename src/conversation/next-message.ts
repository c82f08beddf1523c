import { Failure } from "../output/errors.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { stallTimer } from "../streams/stall-timer.ts";

/**
 * ms for what the other side has to look up. Its engine is given a minute for each of some answers, and it says so if one does not
 * come, which tells more than that nothing was said.
 */
export const LOOK_UP_TIMEOUT = 300_000;

export interface NextMessageOptions {
  /** ms without anything that moves; keep-alive shows that the other side lives, and not that it gets somewhere. */
  timeout: number;
  /** What is to be said, for messages: "what it wants". */
  what: string;
  stop: AbortSignal;
}

/** The next message of a type. Rejects with a Failure `remote-no-answer` when the other side does not get to it, or as the tunnel ends. */
export async function nextMessage(
  tunnel: Tunnel,
  type: string,
  { timeout, what, stop }: NextMessageOptions,
): Promise<Message> {
  using watch = stallTimer((ms) => late(what, ms), stop);
  const message = tunnel.next(type);
  message.catch(() => {}); // whoever is late is told so before it ends
  return (await new Promise((resolve, reject) => {
    const look = (): void => watch.start(timeout);
    tunnel.onMoved = look;
    look();
    watch.signal.addEventListener("abort", () => reject(watch.signal.reason as Error), { once: true });
    if (watch.signal.aborted) reject(watch.signal.reason as Error);
    message.then(resolve, reject);
  }).finally(() => (tunnel.onMoved = undefined))) as Message;
}

function late(what: string, ms: number): Failure {
  return new Failure(
    "remote-no-answer",
    `the tunnel is open, but the remote side has not said for ${Number((ms / 1000).toFixed(1))} s ${what}`,
    {
      expected: "the engine there to answer",
      hint: "See whether the engine there hangs (docker info); a slow one can be given more time with --timeout SECONDS.",
    },
  );
}
