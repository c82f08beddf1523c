import type { ImageName } from "../image/image-name.ts";
import type { openSource } from "../locations/locations.ts";
import type { NonEmpty } from "../non-empty.ts";
import { Failure } from "../output/errors.ts";
import type { TransferResult } from "../output/events.ts";
import { outputFor } from "../output/output.ts";
import { pull } from "../pull.ts";
import { push } from "../push.ts";
import type { Batch, PullRequest, PushRequest, RemoteBatch, TransferRequest } from "../request.ts";
import { contextOf, type Context } from "../transfer.ts";
import { chooseConnection } from "../remote/connect.ts";

/** Pushes the images of a batch. After all have been tried, rejects if any has failed. */
export async function pushToRemotes(batch: Batch<PushRequest>, context: Context): Promise<NonEmpty<TransferResult>> {
  const { remotes } = batch;
  const [first] = remotes;
  if (remotes.length > 1) return await pushToEach(batch, context);
  return await (first.watch ? watchAll : pushAll)(first, context);
}

/** Pushes like to several hosts, even if there is only one, so that an event reports each failed host. */
export async function pushToEach(batch: Batch<PushRequest>, context: Context): Promise<NonEmpty<TransferResult>> {
  const { remotes, parallel } = batch;
  const { pushToHosts } = await import("./push-to-hosts.ts");
  if (!remotes[0].watch) return await pushToHosts(remotes, parallel, context, pushAll);
  return await pushToHosts(remotes, remotes.length, context, watchAll); // no watch waits for the end of another one
}

/** Keeps the images of a batch on one remote side up to date with this side. */
async function watchAll(remote: RemoteBatch<PushRequest>, context: Context): Promise<never> {
  const { watchImages } = await import("../watch/watch-images.ts");
  return await watchImages(remote, context, {
    connectTo: async (image, own) => await chooseConnection(image, own),
    afterwards: async (own) => await runAfterwards(remote, own),
  });
}

/** Pushes the images of a batch to one remote side. `open`: opens sources that several remote sides share. */
async function pushAll(
  remote: RemoteBatch<PushRequest>,
  context: Context,
  open?: typeof openSource,
): Promise<NonEmpty<TransferResult>> {
  const results = await pushImagesOf(remote, context, open);
  await runAfterwards(remote, context);
  return results;
}

/** Pushes the images of a batch to one remote side, without running a command afterwards. */
export async function pushImagesOf(
  remote: RemoteBatch<PushRequest>,
  context: Context,
  open?: typeof openSource,
): Promise<NonEmpty<TransferResult>> {
  const [request, ...others] = remote.transfers;
  if (others.length === 0 && !remote.acceptsOthers) {
    return [await pushToRemote(request, contextOf(request, context), open)];
  }
  const { pushImages } = await import("../several-images/push-images.ts");
  return await pushImages(remote, context, async (image) => await chooseConnection(image, context), open);
}

/** Pulls the images of a batch. After all have been tried, rejects if any has failed. */
export async function pullFromRemotes(batch: Batch<PullRequest>, context: Context): Promise<NonEmpty<TransferResult>> {
  const remote = onlyRemote(batch);
  const [request, ...others] = remote.transfers;
  if (others.length === 0 && !remote.acceptsOthers) return [await pullFromRemote(request, contextOf(request, context))];
  const { pullImages } = await import("../several-images/pull-images.ts");
  return await pullImages(remote, context, async (image) => await chooseConnection(image, context));
}

function onlyRemote<Request extends TransferRequest>({
  remotes: [remote, ...others],
}: Batch<Request>): RemoteBatch<Request> {
  if (others.length === 0) return remote;
  throw new Failure("usage", `${others.length + 1} hosts are named`, {
    expected: "one host",
    hint: "Run the command once for each host.",
  });
}

/** Runs the command of --run, if there is one and this is not a dry run. Called when the remote side has all images. */
export async function runAfterwards(
  { run, connection, transfers: [request] }: RemoteBatch,
  context: Context,
): Promise<void> {
  if (run === undefined || connection.kind !== "host" || request.dryRun) return;
  const { runOnHost } = await import("../remote/login/run-on-host.ts");
  const output = outputFor(context.output, { host: connection.given });
  await runOnHost(run, connection, request, { ...context, output });
}

/** Pushes to the remote side: docker-over-ssh, or an engine alone. */
export async function pushToRemote(
  request: PushRequest,
  context: Context,
  open?: Parameters<typeof push>[3],
): Promise<TransferResult> {
  const { connection, remoteName } = request;
  if (remoteName !== undefined || (connection.kind !== "host" && connection.kind !== "engine")) {
    return await push(request, context, await chooseConnection(request, context), open);
  }
  const byName = async (name: ImageName | undefined) =>
    await chooseConnection({ ...request, remoteName: name?.reference }, context);
  return await push(request, context, { byName }, open);
}

/** Pulls from the remote side. */
export async function pullFromRemote(request: PullRequest, context: Context): Promise<TransferResult> {
  return await pull(request, context, await chooseConnection(request, context));
}
