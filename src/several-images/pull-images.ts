import { MORE_IMAGES } from "../conversation/features.ts";
import type { ImageName } from "../image/image-name.ts";
import { openTarget } from "../locations/locations.ts";
import type { NonEmpty } from "../non-empty.ts";
import { Failure } from "../output/errors.ts";
import type { TransferResult } from "../output/events.ts";
import { refuseUnsupported } from "../packing/agree-on-packing.ts";
import { pull, receiveOver } from "../pull.ts";
import type { Target } from "../receive/target.ts";
import { isInitiator, storesOneImage, type PullRequest, type RemoteBatch } from "../request.ts";
import { CONVERSATIONS } from "../stdio-tunnel/constants.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { abortable } from "../streams/abortable.ts";
import { DividedTraffic } from "../traffic.ts";
import {
  connectEarly,
  failureForPeer,
  imageOf,
  startTransfer,
  type Connect,
  type Context,
  type Use,
} from "../transfer.ts";
import { acceptsOneImage, oneConnectionPerImage } from "./one-connection-per-image.ts";
import { Outcomes } from "./outcomes.ts";
import { receiveImages } from "./receive-images.ts";

/**
 * Receives several images over one connection, one after the other, so that shared layers are sent once. A failed image does not stop the others.
 * After all have been tried, rejects if any has failed.
 *
 * @param connectTo returns the connection for an image, which may also carry the others
 */
export async function pullImages(
  batch: RemoteBatch<PullRequest>,
  context: Context,
  connectTo: (request: PullRequest) => Promise<Connect>,
): Promise<NonEmpty<TransferResult>> {
  const [first] = batch.transfers;
  if (isInitiator(batch.connection)) refuseUnsupported(first.compress, "receiving");
  const outcomes = new Outcomes(batch, context);
  await using location = openTarget(first, context);
  let peerAcceptsOne = false;
  const requests = new Map<string, PullRequest>();
  /** Returns the existing request for an image that is sent again, so that its last outcome counts. */
  const known = (request: PullRequest): PullRequest => {
    const name = imageOf(request);
    const found = requests.get(name) ?? request;
    requests.set(name, found);
    return found;
  };
  const use: Use<void> = async (tunnel, stop, traffic) => {
    peerAcceptsOne = acceptsOneImage(tunnel);
    const target = await abortable(location.opened, stop);
    const divided = new DividedTraffic(traffic);
    const receiveOne = async (conversation: Conversation, request: PullRequest, signal: AbortSignal): Promise<void> =>
      await receiveInto(target, outcomes, conversation, request, signal, divided);
    if (peerAcceptsOne) return await receiveOne(tunnel, first, stop);
    const isConfirmed = await receiveImages(tunnel, {
      timeout: first.timeout,
      imagesFor: (named) => (batch.acceptsOthers ? requestsFor(named, first).map(known) : batch.transfers),
      acceptsMore: batch.acceptsOthers ?? false,
      receiveOne,
      onFailed: (error) => void outcomes.failCurrent(error),
      signal: stop,
      failureForPeer: failureForPeer(first),
    });
    if (!isConfirmed) context.output.warn({ code: "sender-not-notified" });
  };
  try {
    const ready = isInitiator(batch.connection) ? location.opened : Promise.resolve();
    // A side with its own list of images cannot accept others later.
    const features = [CONVERSATIONS, ...(batch.acceptsOthers ? [MORE_IMAGES] : [])];
    await connectEarly(await connectTo(first), ready, context.signal, use, { features });
  } catch (error) {
    context.signal.throwIfAborted();
    const isOne = outcomes.failCurrent(error) && peerAcceptsOne;
    if (!isOne) return outcomes.finish(error);
  }
  await oneConnectionPerImage(
    outcomes,
    batch,
    context,
    async (request, own) => await pull(request, own, await connectTo(request)),
  );
  return outcomes.finish();
}

async function receiveInto(
  target: Target,
  outcomes: Outcomes<PullRequest>,
  conversation: Conversation,
  request: PullRequest,
  signal: AbortSignal,
  traffic: DividedTraffic,
): Promise<void> {
  const context = { ...outcomes.begin(request), signal };
  const { started, succeed } = startTransfer(request, context);
  const result = await traffic.use(
    async (own) => await receiveOver(conversation, target, request, context, { traffic: own, started }),
  );
  outcomes.succeed(request, succeed(result));
}

/** Returns the requests for the images that the sender has named. Throws a Failure for several if this side can store only one. */
function requestsFor(named: readonly ImageName[], template: PullRequest): PullRequest[] {
  if (named.length > 1 && storesOneImage(template)) {
    throw new Failure("refused", `the receiving side accepts one image, but the sending side has ${named.length}`, {
      expected: "one image, or a receiving side without --as that stores images in an engine or with --to oci:FOLDER",
      hint: "Name one image on the sending side, or omit --as and --to on the receiving side.",
    });
  }
  // --as: the sender must not choose the name on this side.
  return named.map((image) => (template.isRenamed ? { ...template, image } : requestFor(image, template)));
}

/** Returns the request for an image that the sender has named. */
function requestFor(image: ImageName, template: PullRequest): PullRequest {
  const { reference } = image;
  if (reference !== undefined) return { ...template, image, name: reference, isRenamed: false };
  throw new Failure(
    "refused",
    `the sending side names the image ${image.given}, but the receiving side needs a name for it`,
    {
      expected: "names, not IDs",
      hint: "Tag the image on the sending side first.",
    },
  );
}
