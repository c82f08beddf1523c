import { parseReference } from "../image/reference.ts";
import { Failure } from "../output/errors.ts";
import type { TransferResult } from "../output/events.ts";
import { outputFor } from "../output/output.ts";
import { pull } from "../pull.ts";
import { push } from "../push.ts";
import type { Batch, NonEmpty, PullRequest, PushRequest, RemoteBatch, TransferRequest } from "../request.ts";
import { transferName, type Context } from "../transfer.ts";
import { chooseConnection } from "./connect.ts";

/** Hosts that are pushed to at a time, without --parallel. */
const PARALLEL = 4;

/** Pushes the images of a batch. Rejects with a `usage` Failure for more than this version can do. */
export async function pushToRemotes(batch: Batch<PushRequest>, context: Context): Promise<NonEmpty<TransferResult>> {
  const { remotes } = batch;
  if (remotes.length > 1) {
    const { pushToHosts } = await import("./push-to-hosts.ts");
    return await pushToHosts(remotes, batch.parallel ?? PARALLEL, context, async (remote, hostContext, open) => {
      const request = single({ remotes: [remote] });
      const result = await pushToRemote(request, contextOf(request, hostContext), open);
      await runAfterwards(remote, hostContext);
      return [result];
    });
  }
  const request = single(batch);
  const result = await pushToRemote(request, contextOf(request, context));
  await runAfterwards(batch.remotes[0], context);
  return [result];
}

/** As {@link pushToRemotes}. */
export async function pullFromRemotes(batch: Batch<PullRequest>, context: Context): Promise<NonEmpty<TransferResult>> {
  const request = single(batch);
  return [await pullFromRemote(request, contextOf(request, context))];
}

/** Runs the command of --run, if there is one. Called when the remote side has all images. */
async function runAfterwards({ run, connection, transfers: [request] }: RemoteBatch, context: Context): Promise<void> {
  if (run === undefined || connection.kind !== "host") return;
  const { runThere } = await import("./run-there.ts");
  const output = outputFor(context.output, { host: connection.given });
  await runThere(run, connection, request, { ...context, output });
}

/** The events of a transfer name it. */
function contextOf(request: TransferRequest, context: Context): Context {
  return { ...context, output: outputFor(context.output, transferName(request)) };
}

function single<Request extends TransferRequest>({ remotes: [remote, ...others] }: Batch<Request>): Request {
  const [request, ...further] = remote.transfers;
  if (others.length > 0) {
    throw new Failure("usage", `${others.length + 1} hosts are named`, { expected: "one host" });
  }
  if (further.length > 0)
    throw new Failure("usage", `${further.length + 1} images are named`, { expected: "one image" });
  return request;
}

/** Pushes to whatever is on the remote side: docker-over-ssh, or an engine alone. */
export async function pushToRemote(
  request: PushRequest,
  context: Context,
  open?: Parameters<typeof push>[3],
): Promise<TransferResult> {
  const { connection, remoteName } = request;
  if (remoteName !== undefined || (connection.kind !== "host" && connection.kind !== "engine")) {
    return await push(request, context, await chooseConnection(request, context), open);
  }
  const byName = async (name: string | undefined) => {
    const named = name === undefined ? request : { ...request, remoteName: parseReference(name) };
    return await chooseConnection(named, context);
  };
  return await push(request, context, { byName }, open);
}

/** Pulls from whatever is on the remote side. */
export async function pullFromRemote(request: PullRequest, context: Context): Promise<TransferResult> {
  return await pull(request, context, await chooseConnection(request, context));
}
