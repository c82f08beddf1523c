import { REGISTRY_SERVICE } from "../conversation/messages.ts";
import type { Engine, EngineInfo } from "../engine/engine.ts";
import { EngineError } from "../engine/engine-error.ts";
import { LayerProgress } from "../engine/api/layer-progress.ts";
import { forgetName } from "../engine/temporary-name.ts";
import { isKnownPlatform } from "../image/platform.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { openLocalPortForward } from "../stdio-tunnel/local-port-forward.ts";
import { countLayers, type ReceivedImage, type EngineReceiveOptions } from "./received-image.ts";
import { readImageMetadata } from "./read-image-metadata.ts";
import { clientFor } from "./fetch-image.ts";

/**
 * The engine's own `docker pull`, through a door of 127.0.0.1 that leads through the tunnel to the sender's registry. It
 * skips layers that it pulled before from blobs of the same digest, and no others.
 */
export async function letEnginePull(options: EngineReceiveOptions): Promise<ReceivedImage> {
  const { tunnel, about, engine, info, signal, onProgress } = options;
  options.output.detail("missing layers are sent whole: the engine pulls by itself");
  const { offer } = await options.obtain({ kind: "image", diffIds: about.diffIds });
  using client = clientFor(offer, options);
  const { manifest } = await readImageMetadata(client, offer, options);
  const { layers } = manifest;
  await using portForward = await openLocalPortForward(tunnel, REGISTRY_SERVICE);
  const name = `127.0.0.1:${portForward.port}/${offer.repository}:${offer.tag}`;
  const progress = new LayerProgress("sending", new Map(layers.map(({ digest, size }) => [shortId(digest), size])));
  const foreign = isKnownPlatform(about.platform) && !`${about.platform}/`.startsWith(`${info.platform}/`);
  try {
    await engine.pullImage(name, {
      credentials: offer.credentials,
      ...(foreign ? { platform: about.platform } : {}),
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
      hint: "Leave --via pull out: the image is then loaded through the engine's API.",
      cause: error,
    });
  }
  await refuseHalf(engine, name, info);
  const moved = layers.map(({ digest }) => progress.moved.includes(shortId(digest)));
  const counts = countLayers(
    layers.map(({ size }) => size),
    moved,
  );
  const id = info.store === "containerd" ? {} : { id: manifest.config.digest };
  return { name, ...id, ...counts, [Symbol.asyncDispose]: async () => await forgetName(engine, name) };
}

/**
 * A containerd store does not fetch the blob of a layer that it has unpacked, whatever digest the blob had then. Of an image
 * without it, 28.5 tells no layers; 26.1 tells them all, and leaves the image out of its list.
 */
async function refuseHalf(engine: Engine, name: string, info: EngineInfo): Promise<void> {
  if (info.store !== "containerd") return;
  const found = await engine.inspectImage(name);
  const isListed = (await engine.listedSize(name)) !== undefined;
  if (found !== undefined && found.diffIds.length > 0 && isListed) return;
  await forgetName(engine, name);
  throw new Failure(
    "not-verified",
    "the engine's pull left the image incomplete, because it holds some of the layers under other digests",
    {
      expected: "a store without these layers, or with just these blobs",
      hint: "Leave --via pull out: what is missing is then loaded through the engine's API.",
    },
  );
}

/** As engines name layers in their progress. */
function shortId(digest: string): string {
  return digest.slice("sha256:".length, "sha256:".length + 12);
}
