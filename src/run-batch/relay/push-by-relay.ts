import { asFailure, reportOf } from "../../explain-error.ts";
import type { NonEmpty } from "../../non-empty.ts";
import type { TransferResult } from "../../output/events.ts";
import { outputFor, outputTo } from "../../output/output.ts";
import type { Batch, HostConnection, PushRequest, RelayOrder, RemoteBatch } from "../../request.ts";
import { imageOf, type Context } from "../../transfer.ts";
import { hostName } from "../../remote/login/login.ts";
import { resultsOf, type Outcome } from "../push-to-hosts.ts";
import { pushImagesOf, runAfterwards } from "../run-batch.ts";
import { openRelay, type Relay } from "./open-relay.ts";
import { RelayedHosts } from "./relayed-hosts.ts";

type FirstHost = RemoteBatch<PushRequest> & { connection: HostConnection };

/**
 * Pushes to the first host, which passes the images on to the others, so each image crosses the uplink of this side once. An image that
 * does not reach the first host does not stop the others. Rejects with the code of the first failed host in the order of the command line.
 * If the first host cannot pass images on, rejects before anything is sent.
 */
export async function pushByRelay(
  { remotes }: Batch<PushRequest>,
  order: RelayOrder,
  context: Context,
): Promise<NonEmpty<TransferResult>> {
  const { output, signal } = context;
  const [first, ...others] = remotes as [FirstHost, ...RemoteBatch<PushRequest>[]];
  const [request] = first.transfers;
  const ofFirst = { ...context, output: outputFor(output, { host: first.connection.given }) };
  await using relay = await openRelay(first.connection, order, request, ofFirst);
  const { arrived, outcome } = await pushToFirst(first, context);
  signal.throwIfAborted();
  if (request.dryRun) {
    const note = { code: "relay-not-planned", host: hostName(first.connection) } as const;
    for (const host of order.hosts) outputFor(output, { host }).note(note);
    return resultsOf([outcome]);
  }
  const hosts = new RelayedHosts(first, others, order, output);
  const [relayed, run] = await Promise.allSettled([
    passOn({ relay, hosts, first, order, arrived, outcome }, ofFirst),
    "results" in outcome ? runAfterwards(first, context) : undefined,
  ]);
  signal.throwIfAborted();
  const relayedOutcomes = hosts.outcomes(relayed.status === "rejected" ? relayed.reason : undefined);
  if (run.status === "fulfilled") return resultsOf([outcome, ...relayedOutcomes]);
  ofFirst.output.event({ type: "error", ...reportOf(run.reason) });
  return resultsOf([{ failure: asFailure(run.reason) }, ...relayedOutcomes]);
}

/**
 * Passes on the images that the first host has: its docker-over-ssh pushes them to the others. Rejects with the code of the first failed
 * host in the order of the command line.
 */
export async function relayFromFirst(
  { remotes }: Batch<PushRequest>,
  order: RelayOrder,
  context: Context,
): Promise<NonEmpty<TransferResult>> {
  const { output, signal } = context;
  const [first, ...others] = remotes as [FirstHost, ...RemoteBatch<PushRequest>[]];
  const ofFirst = { ...context, output: outputFor(output, { host: first.connection.given }) };
  await using relay = await openRelay(first.connection, order, first.transfers[0], ofFirst);
  const hosts = new RelayedHosts(first, others, order, output);
  output.note({ code: "relaying", host: hostName(first.connection), hosts: order.hosts });
  const ended = await relay
    .pass(order.images, (line) => hosts.read(line))
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  signal.throwIfAborted();
  return resultsOf(hosts.outcomes(ended));
}

/** Pushes to the first host. Returns the images that have arrived there, verbatim from the command line. */
async function pushToFirst(first: FirstHost, context: Context): Promise<{ arrived: Set<string>; outcome: Outcome }> {
  const arrived = new Set<string>();
  const output = outputTo((event) => {
    if (event.type === "result") arrived.add(event.image);
    context.output.event(event);
  });
  try {
    const results = await pushImagesOf(first, { ...context, output });
    for (const { image } of results) arrived.add(image);
    return { arrived, outcome: { results } };
  } catch (error) {
    context.signal.throwIfAborted();
    outputFor(context.output, { host: first.connection.given }).event({ type: "error", ...reportOf(error) });
    return { arrived, outcome: { failure: asFailure(error) } };
  }
}

interface Passing {
  relay: Relay;
  hosts: RelayedHosts;
  first: FirstHost;
  order: RelayOrder;
  arrived: ReadonlySet<string>;
  outcome: Outcome;
}

async function passOn({ relay, hosts, first, order, arrived, outcome }: Passing, { output }: Context): Promise<void> {
  const missing = first.transfers.map(imageOf).filter((image) => !arrived.has(image));
  if (missing.length > 0) hosts.notArrived(missing, "failure" in outcome ? outcome.failure : undefined);
  const images = order.images.filter((_, index) => arrived.has(imageOf(first.transfers[index] ?? first.transfers[0])));
  if (images.length === 0) return;
  output.note({ code: "relaying", host: hostName(first.connection), hosts: order.hosts });
  await relay.pass(images, (line) => hosts.read(line));
}
