import { manifestText } from "./conversation/fields.ts";
import { indexField } from "./conversation/index-field.ts";
import { parseAsk, type Ask } from "./conversation/ask.ts";
import {
  parseResult,
  parseWant,
  REGISTRY_SERVICE,
  layerMessage,
  offerMessage,
  type AnnouncedLayer,
  type Result,
  type Want,
} from "./conversation/messages.ts";
import { nextMessage, LOOK_UP_TIMEOUT } from "./conversation/next-message.ts";
import { refuseOldPeer } from "./conversation/refuse-old-peer.ts";
import { shareProgress } from "./conversation/share-progress.ts";
import { dryRunEvent, agreeOnDryRun } from "./dry-run.ts";
import type { Digest } from "./image/digest.ts";
import type { ImageName } from "./image/image-name.ts";
import type { ImageManifest } from "./image/manifest.ts";
import { formatPlatform } from "./image/platform.ts";
import { fullName } from "./image/reference.ts";
import { checkedSource, openSource } from "./locations/locations.ts";
import { Failure } from "./output/errors.ts";
import type { TransferResult } from "./output/events.ts";
import type { Progress } from "./output/output.ts";
import { agreeOnPacking, refuseUnsupported } from "./packing/agree-on-packing.ts";
import type { Packing } from "./packing/paced-packer.ts";
import { isInitiator, isOneProcess, type PushRequest, type SharedRequest } from "./request.ts";
import { newRunId, type RunId } from "./run/run-id.ts";
import { removeDeadSpools } from "./run/spool-folder.ts";
import { NOTHING_OFFERED, type FoundImage } from "./send/found-image.ts";
import { manifestToPreserve } from "./send/manifest-to-preserve.ts";
import { agreeOnPlatforms } from "./send/agree-on-platforms.ts";
import { requestedImage, isNameGiven, keepToGive, namesToGive } from "./send/names-for-receiver.ts";
import type { Source } from "./send/source.ts";
import type { Conversation } from "./stdio-tunnel/conversation.ts";
import { abortable } from "./streams/abortable.ts";
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

/** ms within which the receiver must be ready after the tunnel is open. */
const ASK_TIMEOUT = 60_000;

/** A connection that needs the image's name, which only the archive knows. */
export interface ConnectByName {
  /** @param name the name of the image in the archive, if it has one */
  byName(name: ImageName | undefined): Promise<Connect>;
}

/**
 * Sends an image: makes it available in a temporary registry, and serves it through the tunnel until the receiver's store has the image under its
 * name. Rejects with a Failure, or with the signal's reason; in either case it removes everything that it created for the transfer.
 *
 * @param connect connects to the receiver
 * @param open opens the source. Default: opens a source for this transfer only
 */
export async function push(
  request: PushRequest,
  context: Context,
  connect: Connect | ConnectByName = connectByCommand(request, context),
  open: typeof openSource = openSource,
): Promise<TransferResult> {
  const { started, succeed } = startTransfer(request, context);
  const initiates = isInitiator(request.connection);
  if (initiates) refuseUnsupported(request.compress, "sending"); // a spawned side reports it through the tunnel
  await using location = open(request, context);
  const ready = checkedSource(location, request);
  if (initiates && (await location.takesTime?.())) await ready;
  const chosen = "byName" in connect ? await connect.byName(await (await ready).name?.(request)) : connect;
  const result = await connectEarly(
    chosen,
    initiates ? ready : Promise.resolve(),
    context.signal,
    async (tunnel, stop, traffic) => {
      const source = await abortable(ready, stop);
      return await sendOver(tunnel, source, request, { ...context, signal: stop }, { traffic, started });
    },
  );
  return succeed(result);
}

/** Sends an image over an open tunnel, or in a conversation. Returns the result for people; the plan of a dry run is an event. */
export async function sendOver(
  tunnel: Conversation,
  source: Source,
  request: PushRequest,
  context: Context,
  { traffic, started, ask }: { traffic: Traffic; started: number; ask?: Ask },
): Promise<TransferResult> {
  const sent = await send(tunnel, source, request, context, ask);
  const plan = dryRunEvent(request.role, sent, traffic);
  if (plan !== undefined && isInitiator(request.connection)) context.output.event(plan);
  return transferResult(request, sent, traffic, performance.now() - started);
}

/** The options of a push that the sender's side of the conversation needs. */
export type SendRequest = SharedRequest & Pick<PushRequest, "as">;

/** The values that all phases of a sender use. */
interface Sender {
  tunnel: Conversation;
  request: SendRequest;
  isDryRun: boolean;
  onProgress: (progress: Progress) => void;
  context: Context;
}

/** The result of the phase "agree": both sides know it before a layer is sent. */
interface Agreement {
  /** The receiver's name for the image, for messages. */
  name: string;
  found: FoundImage;
  /** The run ID of this side, and that of the receiver. */
  runIds: readonly [RunId, RunId];
  /** The manifest that the receiver must preserve; undefined if any manifest with the same layers is sufficient. */
  manifest: ImageManifest | undefined;
}

/** Receives the receiver's first message, the `ask`. */
export async function receiveAsk(
  tunnel: Conversation,
  { timeout = ASK_TIMEOUT }: Pick<SharedRequest, "timeout">,
  stop: AbortSignal,
): Promise<Ask> {
  return parseAsk(await nextMessage(tunnel, "ask", { timeout, what: "request for an image", stop }));
}

/**
 * Runs the sender's side of the conversation: agree, choose, transfer. The receiver verifies and tags the image. Resolves when the receiver's store
 * has the image under its name.
 *
 * @param receivedAsk the receiver's `ask`, if it has already arrived and decided which image this is
 */
export async function send(
  tunnel: Conversation,
  source: Source,
  request: SendRequest,
  context: Context,
  receivedAsk?: Ask,
): Promise<Result> {
  const isDryRun = agreeOnDryRun(request, tunnel); // throws if the receiver does not support it
  refuseOldPeer(request, tunnel);
  const onProgress = shareProgress(tunnel, isInitiator(request.connection), context.output, () => source.moved);
  const sender = { tunnel, request, isDryRun, onProgress, context };
  if (!isDryRun) await removeDeadSpools(context.env);
  const ask = receivedAsk ?? (await receiveAsk(tunnel, request, context.signal));
  const agreement = await agree(sender, source, ask);
  const waiting = {
    timeout: request.timeout ?? LOOK_UP_TIMEOUT,
    what: "list of the layers that it wants",
    stop: context.signal,
  };
  let answer: Want | Result = parseWant(await nextMessage(tunnel, "want", waiting));
  while ("kind" in answer) answer = await transfer(sender, agreement, choose(sender, agreement, answer));
  return answer;
}

/** Finds the image that the receiver requests, and answers with `about`. */
async function agree({ tunnel, request, isDryRun }: Sender, source: Source, ask: Ask): Promise<Agreement> {
  const { receiverPlatform, isRenamed } = ask;
  const image = await requestedImage(ask, request, source);
  const naming = { isNewName: isNameGiven(request, image), isRenamed };
  const names = namesToGive(ask, request, image);
  const platforms = { ...agreeOnPlatforms(ask, request), receiverPlatform };
  const found = await source.find({ image, ...platforms, ...naming, isDryRun });
  const { diffIds, configDigest, index } = found;
  const platform = formatPlatform(found.platform);
  const runIds = [newRunId(), ask.runId] as const;
  const preserve = ask.preserve || request.preserveDigest;
  const manifest = preserve && ask.storesManifests ? await manifestToPreserve(found, runIds) : undefined;
  const delta = request.delta === "always" ? request.delta : undefined;
  const about = {
    diffIds,
    platform,
    names: names?.map((name) => name.given),
    keep: keepToGive(ask, request.keep),
    configDigest,
    preserve,
    delta,
    sizes: await found.sizes?.(isDryRun || found.isRemote !== true),
    manifest: manifest && manifestText(manifest),
    index: index && indexField(index),
  };
  await tunnel.send({ type: "about", ...about });
  return { name: image.reference === undefined ? image.given : fullName(image.reference), found, runIds, manifest };
}

/** Chooses how the wanted layers are sent: whole or by delta, and how they are packed. Throws a Failure for a want that cannot be fulfilled. */
function choose(
  { tunnel, request, context: { output } }: Sender,
  { name, found, manifest }: Agreement,
  receiverWant: Want,
): { want: Want; packing: Packing } {
  const noDeltaReason =
    reasonAgainstDelta(request, { manifest, index: found.index }, tunnel) ??
    (receiverWant.kind === "layers" && receiverWant.delta ? undefined : "receiver-wants-whole");
  const want = receiverWant.kind === "layers" ? { ...receiverWant, delta: noDeltaReason === undefined } : receiverWant;
  const wanted = diffIdsOf(want);
  if (noDeltaReason !== undefined && wanted.length > 0) output.detail({ code: "all-whole", reason: noDeltaReason });
  if (!wanted.every((diffId) => found.diffIds.includes(diffId))) {
    throw new Failure("refused", "the remote side wants layers that this image does not have", {
      expected: `some of the ${found.diffIds.length} layers of ${name}`,
      hint: "Install the same version on both sides.",
    });
  }
  const { compress: receiverOption, codecs: receiverCodecs } = want;
  const codecs = isOneProcess(request.connection) ? [] : receiverCodecs;
  return { want, packing: agreeOnPacking({ sender: request.compress, receiver: receiverOption, codecs }) };
}

/** Offers the wanted layers through the tunnel until the receiver has the image, or sends another `want` because it has lost a layer. */
async function transfer(
  { tunnel, isDryRun, onProgress, context: { env, output, signal } }: Sender,
  { name, found, runIds, manifest }: Agreement,
  { want, packing }: { want: Want; packing: Packing },
): Promise<Result | Want> {
  const { configDigest } = found;
  const announce = (layer: AnnouncedLayer): void => void tunnel.send(layerMessage(layer));
  const isUnread = isDryRun && found.isRemote === true;
  await using offered =
    want.kind === "nothing" || isUnread
      ? NOTHING_OFFERED
      : await found.offer({ want, configDigest, packing, manifest, runIds, env, output, signal, onProgress, announce });
  tunnel.listen(REGISTRY_SERVICE, (stream) => offered.accept(stream));
  if (!isDryRun) output.event(planEvent("sender", name, found, diffIdsOf(want).length));
  await tunnel.send(offerMessage(isUnread ? { ...offered.offer, layers: "unread" } : offered.offer));
  const untilGone = AbortSignal.any([signal, offered.signal]);
  const result = abortable(tunnel.result(), untilGone).then(parseResult);
  const again = tunnel.next("want").then(parseWant, async () => await result); // when the tunnel ends, the result contains the reason
  return await Promise.race([result, again]);
}

function diffIdsOf(want: Want): readonly Digest[] {
  return want.kind === "nothing" ? [] : want.diffIds;
}
