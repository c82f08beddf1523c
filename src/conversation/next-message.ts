import { Failure } from "../output/errors.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { stallTimer } from "../streams/stall-timer.ts";

/**
 * ms for the peer's lookups. The peer gives its engine a minute for each of several answers, and reports a missing answer, which is more
 * specific than this side's timeout.
 */
export const LOOK_UP_TIMEOUT = 300_000;

export interface NextMessageOptions {
  /** ms without progress. Keep-alive shows only that the peer is alive. */
  timeout: number;
  /** The awaited message in words: "request for an image". */
  what: string;
  stop: AbortSignal;
}

/**
 * Returns the next message of a type. Rejects with a Failure `remote-no-answer` if the peer makes no progress towards it, and when the
 * tunnel ends.
 */
export async function nextMessage(
  tunnel: Conversation,
  type: string,
  { timeout, what, stop }: NextMessageOptions,
): Promise<Message> {
  using watch = stallTimer((ms) => late(what, ms), stop);
  const message = tunnel.next(type);
  message.catch(() => {}); // a timeout may reject first
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
    `the tunnel is open, but the remote side has sent no ${what} for ${Number((ms / 1000).toFixed(1))} s`,
    {
      expected: "the engine on the remote side to answer",
      hint: "Check whether the engine on the remote side hangs (docker info). For a slow engine, raise --timeout SECONDS.",
    },
  );
}
