import type { Duplex } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { CODECS } from "../../packing/codecs.ts";
import { pack } from "../../packing/pack.ts";
import { Failure } from "../../output/errors.ts";
import { RemoteFailure } from "../../stdio-tunnel/failures.ts";
import { queue } from "../../streams/queue.ts";
import { resolveWithin } from "../../streams/resolve-within.ts";
import type { BuildContext } from "../build-context.ts";
import { CONTEXT_LIMITS, type ContextLimits } from "../limits.ts";
import { ContextReceiver } from "./context-receiver.ts";
import { encodeMessage, type ContextReceiverMessage } from "./exchange-messages.ts";
import { FAILURE_DELIVERY_TIMEOUT, failureToSend, incomingMessages } from "./incoming-messages.ts";
import type { PieceStore } from "./piece-store.ts";
import { ReceivedContext } from "./received-context.ts";
import type { StoredContext } from "./stored-context.ts";

export interface ReceiveContextOptions {
  limits?: ContextLimits | undefined;
  signal: AbortSignal;
  /** Receives the number of bytes of content that have arrived. */
  onProgress?: ((received: number) => void) | undefined;
  /** Called once if this run waits for another run that receives a context of the same project. */
  onWait?: (() => void) | undefined;
  /** The codecs that may be used. Empty if both sides are in one process: no compression. */
  codecs?: readonly string[] | undefined;
}

/**
 * Receives a context from `sendContext`, which sends only the pieces that the stored context lacks. Resolves when the context is complete.
 * The caller disposes of it. Pieces that arrived before a failure remain in the stored context for the next run. Ends the stream.
 *
 * Throws `context-invalid` for a listing that is not valid or exceeds the limits, `no-space`, `not-verified` for a damaged piece store, the
 * other side's failure, `link-lost` for a stream that ends early, and the signal's reason.
 */
export async function receiveContext(
  stream: Duplex,
  stored: StoredContext,
  options: ReceiveContextOptions,
): Promise<BuildContext> {
  const { limits = CONTEXT_LIMITS, signal, onProgress, onWait, codecs = CODECS.map(({ name }) => name) } = options;
  stream.on("error", () => {}); // reading and writing report it
  const outbox = queue<ContextReceiverMessage>();
  const sending = pipeline(packed(outbox), stream, { end: true });
  sending.catch(() => {}); // the stream reports it
  const onAbort = (): void => void stream.destroy();
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    let receiver: ContextReceiver | undefined;
    const store = await stored.update({ signal, ...(onWait && { onWait }) }, async (opened: PieceStore) => {
      receiver = new ContextReceiver(opened, { limits, onProgress, send: (message) => outbox.push(message) });
      outbox.push({ type: "hello", isEmpty: opened.isEmpty, codecs });
      return await receiver.receive(incomingMessages(stream));
    });
    outbox.end();
    stream.resume(); // until the other side ends it
    return new ReceivedContext(receiver?.entries ?? [], store);
  } catch (error) {
    if (!signal.aborted && !(error instanceof RemoteFailure) && !stream.destroyed) {
      outbox.push({ type: "failure", failure: failureToSend(error) });
    }
    outbox.end();
    stream.resume();
    if (error instanceof Failure && error.code === "link-lost") stream.destroy();
    await resolveWithin(
      FAILURE_DELIVERY_TIMEOUT,
      finished(stream).catch(() => {}),
    );
    stream.destroy();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function* packed(outbox: AsyncIterable<ContextReceiverMessage>): AsyncGenerator<Buffer> {
  async function* encoded(): AsyncGenerator<Buffer> {
    for await (const message of outbox) yield encodeMessage(message);
  }
  const codec = CODECS.find(({ name }) => name === "brotli"); // which every version of Node has
  yield* pack(encoded(), { codec, level: () => codec?.levels.medium, blockPerChunk: true });
}
