import { REGISTRY_SERVICE } from "../../conversation/messages.ts";
import type { EngineInfo } from "../../engine/engine.ts";
import { EngineError } from "../../engine/engine-error.ts";
import type { EngineImages } from "../../engine/engine-images.ts";
import { LayerProgress } from "../../engine/api/layer-progress.ts";
import { forgetName } from "../../engine/temporary-name.ts";
import { shortOf } from "../../image/digest.ts";
import { isKnownPlatform, matchesPlatform } from "../../image/platform.ts";
import { Failure, messageOf } from "../../output/errors.ts";
import { openLocalPortForward } from "../../stdio-tunnel/local-port-forward.ts";
import type { EngineReceiveOptions } from "../receive-options.ts";
import { countLayers, type ReceivedImage } from "../received-image.ts";
import { readImageMetadata } from "../read-image-metadata.ts";
import { clientFor } from "../request-layers.ts";

/**
 * Lets the engine pull the image, through a local port forward to the sender's registry. The engine skips only layers that it has pulled
 * before as blobs with the same digest.
 */
export async function letEnginePull(options: EngineReceiveOptions): Promise<ReceivedImage> {
  const { tunnel, about, engine, info, signal, onProgress } = options;
  options.output.detail({ code: "all-whole", reason: "engine-pull" });
  const { offer } = await options.obtain({ kind: "image", diffIds: about.diffIds });
  using client = clientFor(offer, options);
  const { manifest } = await readImageMetadata(client, offer, options);
  const { layers } = manifest;
  await using portForward = await openLocalPortForward(tunnel, REGISTRY_SERVICE);
  const name = `127.0.0.1:${portForward.port}/${offer.repository}:${offer.tag}`;
  const progress = new LayerProgress("sending", new Map(layers.map(({ digest, size }) => [shortOf(digest), size])));
  const isForeign = isKnownPlatform(about.platform) && !matchesPlatform(about.platform, info.platform);
  try {
    await engine.pullImage(name, {
      credentials: offer.credentials,
      ...(isForeign ? { platform: about.platform } : {}),
      signal,
      onProgress: (line) => {
        if (progress.add(line)) onProgress(progress.progress);
      },
    });
  } catch (error) {
    await forgetName(engine, name);
    signal.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    throw new Failure("transfer-failed", `the receiving engine could not pull the image: ${messageOf(error)}`, {
      expected: `${engine.address} to reach 127.0.0.1 of the machine that docker-over-ssh runs on`,
      hint: "Omit --via pull: the image is then loaded through the engine's API.",
      cause: error,
    });
  }
  await refuseIncompletePull(engine, name, info);
  const isSent = layers.map(({ digest }) => progress.moved.includes(shortOf(digest)));
  const counts = countLayers(
    layers.map(({ size }) => size),
    isSent,
  );
  const id = info.store === "containerd" ? {} : { id: manifest.config.digest };
  return { name, ...id, ...counts, [Symbol.asyncDispose]: async () => await forgetName(engine, name) };
}

/**
 * Throws if the pulled image lacks blobs: a containerd store does not fetch the blob of a layer that it has unpacked, even if it has
 * unpacked another blob. Docker 28.5 then reports no layers; 26.1 reports them, but does not list the image.
 */
async function refuseIncompletePull(engine: EngineImages, name: string, info: EngineInfo): Promise<void> {
  if (info.store !== "containerd") return;
  const found = await engine.inspectImage(name);
  const isListed = (await engine.listedSize(name)) !== undefined;
  if (found !== undefined && found.diffIds.length > 0 && isListed) return;
  await forgetName(engine, name);
  throw new Failure(
    "not-verified",
    "the engine's pull left the image incomplete, because it has some of the layers as other blobs",
    {
      expected: "a store without these layers, or with these blobs",
      hint: "Omit --via pull: missing layers are then loaded through the engine's API.",
    },
  );
}
