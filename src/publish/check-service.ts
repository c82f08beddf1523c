import { Failure } from "../output/errors.ts";
import type { RetryPolicy } from "./retry-while-away.ts";
import { noService, refusal } from "./problem.ts";
import { NotReached, serverUnreachable, type ServiceClient } from "./service-client.ts";

export interface CheckOptions {
  retries: RetryPolicy;
  signal: AbortSignal;
  /** The log is also read, which needs another scope of the token than the build. */
  isFollowed: boolean;
}

/** Checks, before files are read and sent, that the build service exists and accepts the token. Throws a Failure. */
export async function checkService(
  client: ServiceClient,
  { retries, signal, isFollowed }: CheckOptions,
): Promise<void> {
  const { address } = client;
  for (;;) {
    try {
      const { status, headers, value } = await client.json({ method: "GET", path: "api/v2/builds?limit=1", signal });
      const isAllowed = status < 400 || (status === 403 && !isFollowed);
      if (isAllowed && value !== undefined) return;
      if (status < 400) throw noService(address.shown, `it answers ${status} without JSON`);
      throw refusal({ status, headers, value }, address);
    } catch (error) {
      // An address that is unreachable on the first request is most likely wrong.
      if (error instanceof NotReached && !signal.aborted) throw serverUnreachable(client, error);
      await retries.wait(error, signal, (last) => tooBusy(address.shown, last));
    }
  }
}

/** Returns the Failure for a server that has accepted no builds for too long. */
export function tooBusy(shown: string, error: Error): Failure {
  return new Failure("refused", error.message, {
    expected: `${shown} to accept the build within some minutes`,
    hint: "Run the same command again later.",
    cause: error,
  });
}
