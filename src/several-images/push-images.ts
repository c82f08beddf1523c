import type { openSource } from "../locations/locations.ts";
import type { NonEmpty } from "../non-empty.ts";
import type { TransferResult } from "../output/events.ts";
import { refuseUnsupported } from "../packing/agree-on-packing.ts";
import { push, receiveAsk } from "../push.ts";
import { isInitiator, type PushRequest, type RemoteBatch } from "../request.ts";
import { CONVERSATIONS } from "../stdio-tunnel/constants.ts";
import type { Tunnel } from "../stdio-tunnel/session.ts";
import { DividedTraffic } from "../traffic.ts";
import { connectEarly, failureForPeer, type Connect, type Context, type Use } from "../transfer.ts";
import { acceptsOneImage, oneConnectionPerImage } from "./one-connection-per-image.ts";
import { PushedImages } from "./pushed-images.ts";
import { sendImages } from "./send-images.ts";

/**
 * Sends several images over one connection, one after the other, so that shared layers are sent once. A failed image does not stop the
 * others. After all have been tried, rejects if any has failed.
 *
 * @param connectTo returns the connection for an image, which may also carry the others
 * @param open opens the sources. Default: opens sources for this push only
 */
export async function pushImages(
  batch: RemoteBatch<PushRequest>,
  context: Context,
  connectTo: (request: PushRequest) => Promise<Connect>,
  open?: typeof openSource,
): Promise<NonEmpty<TransferResult>> {
  const [first] = batch.transfers;
  if (isInitiator(batch.connection)) refuseUnsupported(first.compress, "sending");
  await using images = new PushedImages(batch, context, open);
  const { outcomes } = images;
  let peerAcceptsOne = false;
  try {
    await images.readSlowOnes();
    const use: Use<void> = async (tunnel, stop, traffic) => {
      peerAcceptsOne = acceptsOneImage(tunnel);
      await sendOverTunnel(tunnel, images, first, stop, new DividedTraffic(traffic));
    };
    const ready = isInitiator(batch.connection) ? images.oneIsReady() : Promise.resolve(); // as in push.ts
    await connectEarly(await connectTo(first), ready, context.signal, use, {
      features: [CONVERSATIONS],
    });
  } catch (error) {
    context.signal.throwIfAborted();
    const isOne = outcomes.failCurrent(error) && peerAcceptsOne;
    if (!isOne) return outcomes.finish(error);
  }
  await oneConnectionPerImage(
    outcomes,
    batch,
    context,
    async (request, own) => await push(request, own, await connectTo(request), open),
  );
  return outcomes.finish();
}

/**
 * Sends all images over a tunnel, or only one if the peer accepts one image per connection. Only in the second case, a failed image rejects
 * the promise.
 *
 * @param first any of the requests, used for the options that they share
 */
export async function sendOverTunnel(
  tunnel: Tunnel,
  images: PushedImages,
  first: PushRequest,
  stop: AbortSignal,
  traffic: DividedTraffic,
): Promise<void> {
  if (acceptsOneImage(tunnel)) return await images.send(tunnel, await receiveAsk(tunnel, first, stop), stop, traffic);
  await sendImages(tunnel, {
    names: images.names,
    timeout: first.timeout,
    signal: stop,
    failureForPeer: failureForPeer(first),
    sendOne: async (conversation, ask, signal) => await images.send(conversation, ask, signal, traffic),
    onFailed: (error) => void images.outcomes.failCurrent(error),
  });
  images.failRest();
}
