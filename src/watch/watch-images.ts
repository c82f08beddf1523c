import { setTimeout as delay } from "node:timers/promises";
import { asFailure } from "../explain-error.ts";
import { outputFor } from "../output/output.ts";
import { refuseUnsupported } from "../packing/agree-on-packing.ts";
import type { PushRequest, RemoteBatch } from "../request.ts";
import { transferName, type Context } from "../transfer.ts";
import { Watch, type WatchSteps } from "./watch.ts";

/**
 * Sends images, and sends each again when its tag in the engine of this side moves, over one lasting link, until the signal is aborted.
 * When the link or the engine is lost, reconnects, and sends the images whose tags have moved in the meantime. Reports any other failed
 * transfer, and continues the watch.
 *
 * @throws Failure if the first connection fails, or if no other connection can help
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
