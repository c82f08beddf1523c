import type { NonEmpty } from "../non-empty.ts";
import { Failure } from "../output/errors.ts";
import type { TransferResult } from "../output/events.ts";
import { outputFor } from "../output/output.ts";
import { SharedSources } from "../locations/shared-sources.ts";
import type { PushRequest, RemoteBatch } from "../request.ts";
import { asFailure, reportOf } from "../explain-error.ts";
import { transferName, type Context } from "../transfer.ts";
import { LoginQueue } from "./login-queue.ts";

/** The outcome of the transfers with one host. */
export type Outcome = { results: NonEmpty<TransferResult> } | { failure: Failure };

/** Pushes the images to one host, from sources that hosts share. A single host has sources of its own. */
type PushToHost = (
  remote: RemoteBatch<PushRequest>,
  context: Context,
  open: SharedSources["open"] | undefined,
) => Promise<NonEmpty<TransferResult>>;

/** Hosts that are pushed to at a time, without --parallel */
const PARALLEL = 4;

/**
 * Pushes to several hosts, `parallel` at a time. Each image is read, packed and cut once for all of them. A failed host does not stop the others.
 * Rejects with the code of the first failed host in the order of the command line.
 */
export async function pushToHosts(
  remotes: NonEmpty<RemoteBatch<PushRequest>>,
  parallel: number | undefined,
  context: Context,
  pushToHost: PushToHost,
): Promise<NonEmpty<TransferResult>> {
  await using sources = new SharedSources(context);
  const open = remotes.length > 1 ? sources.open : undefined;
  const logins = new LoginQueue();
  const outcomes = new Map<RemoteBatch<PushRequest>, Outcome>();
  const waiting = [...remotes];
  const work = async (): Promise<void> => {
    for (let remote = waiting.shift(); remote !== undefined; remote = waiting.shift()) {
      context.signal.throwIfAborted();
      outcomes.set(remote, await pushTo(remote));
    }
  };
  const pushTo = async (remote: RemoteBatch<PushRequest>): Promise<Outcome> => {
    const [request] = remote.transfers;
    const { image, ...host } = transferName(request);
    const only = remote.transfers.length === 1 && image !== undefined ? { image, ...host } : host;
    const output = outputFor(context.output, only);
    try {
      const once = async () =>
        await logins.run(output, async (own) => await pushToHost(remote, { ...context, ...own }, open));
      const results = await once().catch(async (error: unknown) => {
        const isOurDisk =
          open !== undefined && asFailure(error).code === "no-space" && (await sources.isOutOfSpace(request));
        if (!isOurDisk || context.signal.aborted) throw error;
        return await once();
      });
      return { results };
    } catch (error) {
      context.signal.throwIfAborted();
      output.event({ type: "error", ...reportOf(error) });
      return { failure: asFailure(error) };
    }
  };
  // After Ctrl-C, wait until all pushes have cleaned up, because the process exits after this.
  await Promise.allSettled(Array.from({ length: parallel ?? PARALLEL }, work));
  context.signal.throwIfAborted();
  return resultsOf(remotes.map((remote) => outcomes.get(remote)));
}

/**
 * Returns the results of all hosts, in the order of the command line. If a host has failed, throws a Failure with the code of the first one.
 *
 * @param outcomes undefined for a host whose push was not started
 */
export function resultsOf(outcomes: readonly (Outcome | undefined)[]): NonEmpty<TransferResult> {
  const failures = outcomes.flatMap((outcome) =>
    outcome !== undefined && "failure" in outcome ? [outcome.failure] : [],
  );
  const [result, ...others] = outcomes.flatMap((it) => (it !== undefined && "results" in it ? [...it.results] : []));
  if (failures.length === 0 && result !== undefined) return [result, ...others];
  throw new Failure(failures[0]?.code ?? "internal", `${failures.length} of ${outcomes.length} hosts have failed`, {
    expected: "all hosts to succeed; the exit status is that of the first failed host",
    hint: "Fix the failures above, and run the same command again: it sends nothing to hosts that have the image.",
  });
}
