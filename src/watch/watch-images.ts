import { setTimeout as delay } from "node:timers/promises";
import { asFailure } from "../explain-error.ts";
import { outputFor } from "../output/output.ts";
import { refuseUnsupported } from "../packing/agree-on-packing.ts";
import type { PushRequest, RemoteBatch } from "../request.ts";
import { transferName, type Context } from "../transfer.ts";
import { Watch, type WatchSteps } from "./watch.ts";

/**
 * Sends images, and sends each again when its tag in the engine of this side moves, over one link that stays, until the signal is aborted. When
 * the link or the engine is lost, connects again, and sends what has moved meanwhile. A transfer that fails otherwise is told, and the watch
 * goes on.
 *
 * @throws Failure where the first connection fails, or no other can mend it
 */
export async function watchImages(
  batch: RemoteBatch<PushRequest>,
  context: Context,
  steps: WatchSteps,
): Promise<never> {
  const [first] = batch.transfers;
  refuseUnsupported(first.compress, "sending");
  const { host } = transferName(first);
  const output = outputFor(context.output, { ...(host !== undefined && { host }) });
  const watch = new Watch(batch, { ...context, output }, steps);
  for (;;) {
    try {
      await watch.attempt();
    } catch (error) {
      context.signal.throwIfAborted();
      if (!watch.mayMend(error)) throw error;
      const seconds = watch.backOff.next();
      output.note({ code: "connecting-in", seconds, error: asFailure(error).message });
      await delay(seconds * 1000, undefined, { signal: context.signal });
    }
  }
}
