import { asFailure } from "../explain-error.ts";
import { imageOf, type Context } from "../transfer.ts";
import { Failure, type FailureCode } from "../output/errors.ts";
import type { TransferResult } from "../output/events.ts";
import type { RemoteBatch, TransferRequest } from "../request.ts";
import { CONVERSATIONS } from "../stdio-tunnel/constants.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import type { Outcomes } from "./outcomes.ts";

/** Failures of a connection. The next connection would also fail, perhaps only after a minute. */
const DEAD_LINK = new Set<FailureCode>([
  "link-lost",
  "remote-command-not-found",
  "remote-no-answer",
  "remote-not-a-tunnel",
  "remote-other-protocol",
]);

/** Returns whether the peer accepts one image per connection. */
export function acceptsOneImage({ peer }: Pick<Conversation, "peer">): boolean {
  return !peer.features.includes(CONVERSATIONS);
}

/**
 * Transfers the rest of a batch, each image over a connection of its own, because the remote side accepts one image per connection: it is an
 * installed version 0.1. The user's remote command names its own image, so there the rest fails.
 */
export async function oneConnectionPerImage<Request extends TransferRequest>(
  outcomes: Outcomes<Request>,
  { connection }: Pick<RemoteBatch, "connection">,
  { output, signal }: Context,
  transferOne: (request: Request, context: Context) => Promise<TransferResult>,
): Promise<void> {
  const rest = outcomes.open;
  if (connection.kind === "host" && rest.length > 0) output.note({ code: "one-by-one", host: connection.given });
  for (const request of rest) {
    if (connection.kind !== "host" && connection.kind !== "location") {
      outcomes.fail(request, onlyOneImage(request));
      continue;
    }
    try {
      outcomes.succeed(request, await transferOne(request, outcomes.begin(request)));
    } catch (error) {
      signal.throwIfAborted();
      outcomes.fail(request, error);
      if (DEAD_LINK.has(asFailure(error).code)) return;
    }
  }
}

function onlyOneImage(request: TransferRequest): Failure {
  const image = imageOf(request);
  const other = request.role === "sender" ? "pull" : "push";
  return new Failure("refused", `${image} was not transferred: the remote side accepts one image per connection`, {
    expected: `a remote command with the same images as this command: \`docker-over-ssh ${other} IMAGE IMAGE --\``,
    hint: "Name all images in the remote command, with -- after them; a version before 0.2 accepts one.",
  });
}
