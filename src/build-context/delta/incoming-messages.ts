import type { Duplex } from "node:stream";
import { Failure, messageOf } from "../../output/errors.ts";
import { InvalidPackedStream, unpack } from "../../packing/unpack.ts";
import { linkLost } from "../../stdio-tunnel/failures.ts";
import { InvalidBytes } from "./byte-reader.ts";
import { decodeMessage, type ContextReceiverMessage, type ContextSenderMessage } from "./exchange-messages.ts";

/** ms to wait until the other side has received a failure. */
export const FAILURE_DELIVERY_TIMEOUT = 5000;

/**
 * Yields the messages of the other side. The stream stays open when the loop is left, because this side may still send. Throws the other
 * side's failure (`RemoteFailure`), `transfer-failed` for bytes that are not a message, and `link-lost` for a stream that ends early.
 */
export async function* incomingMessages(stream: Duplex): AsyncGenerator<ContextSenderMessage | ContextReceiverMessage> {
  try {
    const bytes = stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    for await (const block of unpack(bytes)) {
      const message = decodeMessage(block);
      if (message.type === "failure") throw message.failure;
      yield message;
    }
  } catch (error) {
    throw failureOf(error, stream);
  }
}

/** Returns the failure for a message that is not allowed at this point, or for a missing one. */
export function unexpected(message: { type: string } | undefined): Failure {
  return brokenProtocol(
    message === undefined ? "its messages end too early" : `a message ${JSON.stringify(message.type)} is out of place`,
  );
}

export function brokenProtocol(why: string, cause?: unknown): Failure {
  return new Failure("transfer-failed", `the remote side broke the protocol of contexts: ${why}`, {
    expected: "the messages of docker-over-ssh",
    hint: "Install the same version on both sides.",
    cause,
  });
}

function failureOf(error: unknown, stream: Duplex): unknown {
  if (error instanceof Failure) return error;
  const isMalformed = error instanceof InvalidBytes || error instanceof InvalidPackedStream;
  if (isMalformed && !stream.readableEnded) return brokenProtocol(error.message, error);
  return linkLost(error instanceof Error ? error : undefined);
}

/** Returns the failure that reports an error of this side to the other side. */
export function failureToSend(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure("transfer-failed", messageOf(error), { cause: error });
}
