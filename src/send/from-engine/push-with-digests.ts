import type { Reference } from "../../image/reference.ts";
import { Failure } from "../../output/errors.ts";
import { pushFailureText, type PushFailure } from "../../output/reasons.ts";
import type { Digest } from "../../image/digest.ts";
import { dryPush, type DryPushLayer, type DryPushResult } from "../../engine-push/dry-push.ts";
import { pushSelected } from "../../engine-push/push-selected.ts";
import type { EmbeddedRegistry } from "../../registry/embedded/server.ts";
import type { EngineOfferOptions } from "./engine-offer-options.ts";
import type { OutgoingLayers } from "../outgoing-layers.ts";
import { PushedLayers } from "./pushed-layers.ts";

/**
 * Exports from an engine that knows the digests of the unwanted layers: performs a dry push, then lets the engine push the wanted layers.
 * Returns false if some of them are still missing.
 *
 * @param maxBytes the maximum plain bytes that the engine may compress: see `DryPushOptions.maxBytes`
 */
export async function pushWithDigests(
  registry: EmbeddedRegistry,
  outgoing: OutgoingLayers,
  options: EngineOfferOptions,
  maxBytes: number,
): Promise<boolean> {
  const { engine, image, info, want, runIds, onlyPlatform, signal, output } = options;
  const wanted = new Set(want.diffIds);
  const pushOptions = {
    registry,
    runIds,
    signal,
    ...(onlyPlatform && { platform: info.platform }),
    onDetail: output.detail.bind(output),
  };
  const dryPushed = await dryPush(engine, image, { ...pushOptions, info, wanted, maxBytes });
  if (dryPushed === undefined) return false;
  const mediaTypes = new Map(dryPushed.layers.map(({ diffId, mediaType }) => [diffId, mediaType]));
  const pushed = new PushedLayers(outgoing, mediaTypes);
  for (const layer of dryPushed.uploaded) pushed.add(layer);
  const rest = notUploaded(dryPushed, wanted);
  await expectKnownBlobs(pushed, rest);
  const digests = new Set(rest.map(({ digest }) => digest));
  try {
    const onLayer = pushed.add.bind(pushed);
    const { reason } =
      digests.size === 0 ? {} : await pushSelected(engine, image, dryPushed, digests, { ...pushOptions, onLayer });
    pushed.giveUp(incompletePush(image, reason));
  } catch (error) {
    pushed.giveUp(error as Error);
    throw error;
  }
  await pushed.added();
  // A layer is missing if the engine did not push it, or if the name has been given to another image in the meantime.
  if (want.diffIds.some((diffId) => !outgoing.has(diffId))) return false;
  outgoing.finish(dryPushed.config);
  return true;
}

/** Returns the wanted layers that the dry push has not uploaded. */
function notUploaded({ layers, uploaded }: DryPushResult, wanted: ReadonlySet<Digest>): DryPushLayer[] {
  const come = new Set(uploaded.map(({ diffId }) => diffId));
  return layers.filter(({ diffId }) => wanted.has(diffId) && !come.has(diffId));
}

/** Announces all blobs of a containerd store, which are known before they arrive, so that the receiver can fetch the lowest first. */
async function expectKnownBlobs(pushed: PushedLayers, layers: readonly DryPushLayer[]): Promise<void> {
  for (const layer of layers) {
    if (layer.size !== undefined && layer.digest !== layer.diffId) await pushed.expect({ ...layer, size: layer.size });
  }
}

function incompletePush(image: Reference, reason: PushFailure | undefined): Failure {
  const words = `the engine did not push all announced layers of ${image.given}: ${pushFailureText(reason)}`;
  return new Failure("transfer-failed", words, {
    expected: "the layers that its manifest names",
    hint: "Run the same command again; if it happens again, serve the image from a registry:2 container: --registry container.",
  });
}
