import { askMessage } from "./conversation/ask.ts";
import { OFFERS_NAMES, SECOND_WANT } from "./conversation/features.ts";
import { parseAbout, resultMessage, type About, type Result, type Want } from "./conversation/messages.ts";
import { nextMessage, LOOK_UP_TIMEOUT } from "./conversation/next-message.ts";
import { refuseOldPeer } from "./conversation/refuse-old-peer.ts";
import { shareProgress } from "./conversation/share-progress.ts";
import { dryRunEvent, agreeOnDryRun, plannedResult } from "./dry-run.ts";
import type { Digest } from "./image/digest.ts";
import { fullName, type Reference } from "./image/reference.ts";
import { openTarget } from "./locations/locations.ts";
import type { NonEmpty } from "./non-empty.ts";
import type { TransferResult } from "./output/events.ts";
import type { Progress } from "./output/output.ts";
import { refuseUnsupported } from "./packing/agree-on-packing.ts";
import { CODECS } from "./packing/codecs.ts";
import { createAsk } from "./receive/create-ask.ts";
import { giveNames } from "./receive/give-names.ts";
import { keepNewest, planKeep } from "./receive/keep-option.ts";
import { imageNames, offersNoName, ownNames } from "./receive/names-to-give.ts";
import { planIndex, receiveIndex, refuseIndex, verifyIndex } from "./receive/receive-index.ts";
import { checkPlatforms } from "./receive/check-platform.ts";
import type { ReceiveOptions } from "./receive/receive-options.ts";
import { resultOf, type ReceivedImage } from "./receive/received-image.ts";
import type { Target } from "./receive/target.ts";
import { wantLayers } from "./receive/want-layers.ts";
import { verifyManifest, verifyStored } from "./receive/verify-stored.ts";
import { isInitiator, isOneProcess, type PullRequest, type SharedRequest } from "./request.ts";
import { newRunId, type RunId } from "./run/run-id.ts";
import { removeDeadSpools } from "./run/spool-folder.ts";
import type { Conversation } from "./stdio-tunnel/conversation.ts";
import { ResumeCache } from "./store/resume-cache.ts";
import { abortable } from "./streams/abortable.ts";
import { mayResume } from "./explain-error.ts";
import { type Traffic } from "./traffic.ts";
import {
  connectEarly,
  reasonAgainstDelta,
  transferResult,
  connectByCommand,
  planEvent,
  startTransfer,
  type Context,
  type Connect,
} from "./transfer.ts";

/**
 * Receives an image: fetches the layers that the target lacks through the tunnel, verifies them, and only then gives the image its name.
 * Rejects with a Failure, or with the signal's reason; in either case it removes everything that it created for the transfer.
 *
 * @param connect connects to the sender
 */
export async function pull(
  request: PullRequest,
  context: Context,
  connect: Connect = connectByCommand(request, context),
): Promise<TransferResult> {
  const { started, succeed } = startTransfer(request, context);
  const initiates = isInitiator(request.connection);
  if (initiates) refuseUnsupported(request.compress, "receiving"); // the sender reports what a spawned receiver lacks
  await using location = openTarget(request, context);
  const ready = acceptingTarget(location.opened, request);
  const result = await connectEarly(
    connect,
    initiates ? ready : Promise.resolve(),
    context.signal,
    async (tunnel, stop, traffic) => {
      const target = await abortable(ready, stop);
      return await receiveOver(tunnel, target, request, { ...context, signal: stop }, { traffic, started });
    },
  );
  return succeed(result);
}

/** Resolves to a target that is being opened, when it answers and accepts the name. */
function acceptingTarget(opened: Promise<Target>, request: PullRequest): Promise<Target> {
  const accepting = opened.then((target) => {
    const names = ownNames(request);
    if (names !== undefined) target.namesFor(names);
    if (request.platforms !== undefined) target.indexes(); // throws if the target accepts no index
    return target;
  });
  accepting.catch(() => {}); // a spawned side reports it through the tunnel
  return accepting;
}

/** Receives an image over an open tunnel, or in a conversation. Returns the result for people; the plan of a dry run is an event. */
export async function receiveOver(
  tunnel: Conversation,
  target: Target,
  request: PullRequest,
  context: Context,
  { traffic, started }: { traffic: Traffic; started: number },
): Promise<TransferResult> {
  const received = await receive(tunnel, target, request, context);
  const plan = dryRunEvent(request.role, received, traffic);
  if (plan !== undefined && isInitiator(request.connection)) context.output.event(plan);
  return transferResult(request, received, traffic, performance.now() - started);
}

/** The options of a pull that the receiver's side of the conversation needs. */
export type ReceiveRequest = SharedRequest &
  Pick<PullRequest, "image" | "name" | "isRenamed" | "acceptsNames" | "acceptsKeep" | "maxSize">;

/** The values that all phases of a receiver use. */
interface Receiver {
  tunnel: Conversation;
  target: Target;
  request: ReceiveRequest;
  runId: RunId;
  isDryRun: boolean;
  onProgress: (progress: Progress) => void;
  context: Context;
}

/** The result of the phase "agree". */
interface Agreement {
  about: About;
  /** The names that the image gets. */
  names: NonEmpty<Reference>;
}

/**
 * Runs the receiver's side of the conversation: agree, choose, transfer, verify, tag. Resolves when the target has the image under its name, and
 * the sender is notified.
 */
export async function receive(
  tunnel: Conversation,
  target: Target,
  request: ReceiveRequest,
  context: Context,
): Promise<Result> {
  const { output, signal, env } = context;
  const isDryRun = agreeOnDryRun(request, tunnel);
  refuseOldPeer(request, tunnel);
  if (request.platforms !== undefined) target.indexes();
  const runId = newRunId();
  const onProgress = shareProgress(tunnel, isInitiator(request.connection), output, () => target.moved);
  const receiver = { tunnel, target, request, runId, isDryRun, onProgress, context };
  const agreement = await agree(receiver);
  const terms = choose(receiver, agreement);
  if (isDryRun) return await plan(receiver, agreement, terms);
  const onStored = (bytes: number): void => output.note({ code: "layers-kept", bytes });
  // Between two sides in one process layers cross no link, so there is nothing to resume.
  const crossesLink = !isOneProcess(request.connection);
  await using resumeCache = crossesLink ? new ResumeCache({ env, runId, onStored }) : undefined;
  let result: Result;
  {
    // The temporary name is removed before the sender gets the result.
    await using received = await transfer(receiver, agreement, terms, resumeCache);
    const manifestDigest = await verify(receiver, agreement, received);
    signal.throwIfAborted();
    const { id, ...removal } = await tag(receiver, agreement, received, resumeCache);
    const { bytesReceived } = tunnel;
    result = { ...resultOf(received, { id, names: agreement.names, manifestDigest, bytesReceived }), ...removal };
  }
  const confirmed = await tunnel.finish(resultMessage(result));
  if (!confirmed) output.warn({ code: "sender-not-notified" });
  return result;
}

/** Requests the image, and receives the `about`. Fails if the target cannot store this image, or not under its names. */
async function agree({ tunnel, target, request, runId, isDryRun, context }: Receiver): Promise<Agreement> {
  const { output, signal, env } = context;
  const { image, preserveDigest: preserve, timeout = LOOK_UP_TIMEOUT } = request;
  if (image === undefined && !tunnel.peer.features.includes(OFFERS_NAMES)) throw offersNoName(tunnel.peer.tool);
  const ask = createAsk(request, target, runId);
  await tunnel.send(askMessage(ask));
  const leftovers = isDryRun
    ? Promise.resolve([])
    : removeDeadSpools(env).then(async () => await target.removeLeftovers());
  leftovers.catch(() => {}); // awaited below
  const about = parseAbout(
    await nextMessage(tunnel, "about", { timeout, what: "description of the image", stop: signal }),
  );
  // Leftovers are removed before the search for present layers, which must not count them.
  for (const leftover of await leftovers) output.detail({ code: "leftover-removed", leftover });
  refuseIndex(about, request, target);
  checkPlatforms(about, request, target, (warning) => output.warn(warning));
  if ((preserve || about.preserve) && about.manifest === undefined && about.index === undefined) {
    output.note({ code: "manifest-not-kept", ...(!ask.storesManifests && { address: target.address }) });
  }
  const names = imageNames(request, about);
  target.namesFor(names); // throws for a name that the target cannot store
  return { about, names };
}

/** Finds out what a transfer would do, reports it to the sender, and changes nothing. */
async function plan(receiver: Receiver, agreement: Agreement, terms: Terms): Promise<Result> {
  const { tunnel, target, request, runId, context } = receiver;
  const codecs = request.connection.kind === "in-process" && target.compressesLoads ? ["gzip"] : terms.packing.codecs;
  const packing = { ...terms.packing, codecs };
  await using resumeCache = new ResumeCache({ env: context.env, runId, limits: { size: Infinity, age: Infinity } }); // removes nothing
  const options = receiveOptions(receiver, agreement, { ...terms, packing }, resumeCache);
  const { about, names } = agreement;
  const { index } = about;
  const found = index === undefined ? await target.plan(options) : await planIndex(target.indexes(), index, options);
  const removal = await planKeep(target, request, about, names, found.id);
  const result = { ...plannedResult(found, options, tunnel.bytesReceived), ...removal };
  await tunnel.finish(resultMessage(result));
  return result;
}

/** How missing layers may be sent. */
interface Terms extends Pick<ReceiveOptions, "noDeltaReason" | "delta" | "allowsSecondWant"> {
  packing: Pick<Want, "codecs" | "compress">;
}

/** Chooses how missing layers may be sent: whole or by delta, in which codecs. Which layers are missing, the target finds in `transfer`. */
function choose({ tunnel, request }: Receiver, { about: { manifest, index, delta } }: Agreement): Terms {
  const { compress, connection } = request;
  const codecs = isOneProcess(connection) ? [] : CODECS.map(({ name }) => name);
  return {
    noDeltaReason: reasonAgainstDelta(request, { manifest, index }, tunnel),
    delta: request.delta === "always" ? request.delta : delta,
    allowsSecondWant: tunnel.peer.features.includes(SECOND_WANT),
    packing: { codecs, ...(compress && { compress }) },
  };
}

/**
 * Lets the target find the missing layers, send a `want`, fetch them, and store the image under a temporary name. If this fails for a temporary reason,
 * the layers that have arrived stay in the resume cache.
 */
async function transfer(
  receiver: Receiver,
  agreement: Agreement,
  terms: Terms,
  resumeCache: ResumeCache | undefined,
): Promise<ReceivedImage> {
  const { target } = receiver;
  const { index } = agreement.about;
  const options = receiveOptions(receiver, agreement, terms, resumeCache);
  try {
    if (index !== undefined) return await receiveIndex(target.indexes(), index, options);
    return await target.receive(options);
  } catch (error) {
    if (!mayResume(error)) await resumeCache?.forget();
    throw error;
  }
}

/** Returns the options with which the target finds and requests the missing layers. */
function receiveOptions(
  { tunnel, request, runId, isDryRun, onProgress, context: { output, signal, env } }: Receiver,
  { about, names }: Agreement,
  { packing, ...terms }: Terms,
  resumeCache: ResumeCache | undefined,
): ReceiveOptions {
  const { maxSize, bwlimit } = request;
  const [image] = names;
  const onWant = (missing: number | undefined): void => {
    if (!isDryRun) output.event(planEvent("receiver", fullName(image), about, missing)); // a dry run reports more at the end
  };
  return {
    tunnel,
    about,
    isOneProcess: isOneProcess(request.connection),
    ...wantLayers(tunnel, { packing, onWant, signal }),
    ...terms,
    image,
    names,
    runId,
    env,
    resumeCache,
    output,
    signal,
    onProgress,
    maxSize,
    bwlimit,
  };
}

/** Compares the image under its temporary name with the sender's. Returns the digest of its manifest, if it is known. */
async function verify(
  { target, runId }: Receiver,
  { about }: Agreement,
  received: ReceivedImage,
): Promise<Digest | undefined> {
  const { name, id, isVerified } = received;
  if (about.index !== undefined) return await verifyIndex(target, name, about.index);
  if (isVerified !== true) await verifyStored(target, name, id, about.diffIds);
  return await verifyManifest(target, name, about, runId);
}

/** Gives the verified image its names, and removes the layers stored for a next run and, because of --keep, older images. */
async function tag(
  { target, request, context: { output } }: Receiver,
  { about, names }: Agreement,
  received: ReceivedImage,
  resumeCache: ResumeCache | undefined,
): Promise<Pick<Result, "id" | "removed" | "bytesFreed">> {
  const id = await giveNames(target, names, received, about);
  await resumeCache?.forget();
  return { id, ...(await keepNewest(target, request, about, names, id, output)) };
}
