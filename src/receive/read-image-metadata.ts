import type { Offer } from "../conversation/messages.ts";
import { formatPlatform, matchesPlatform } from "../image/platform.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { MAX_CONFIG, parseConfig } from "../image/config.ts";
import { refuseNonLayerType } from "../image/layer/compression.ts";
import { type ImageManifest } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import type { ReceiveOptions } from "./receive-options.ts";

/** The manifest and config of the sender's image. */
export interface ImageMetadata {
  manifest: ImageManifest;
  /** Raw. */
  config: Buffer;
}

/** Reads manifest and config through the tunnel, and verifies that they belong to each other and to the image of `about`. */
export async function readImageMetadata(
  client: RegistryClient,
  { repository, tag }: Offer,
  { about }: ReceiveOptions,
): Promise<ImageMetadata> {
  try {
    // Requested concurrently with the manifest, which may be available only after the last layer.
    const { configDigest } = about;
    const request = configDigest === undefined ? undefined : client.blobByDigest(repository, configDigest, MAX_CONFIG);
    const early = request?.catch(() => undefined); // requested again below, which throws its error
    const manifest = await client.manifest(repository, tag, about.platform);
    if (about.manifest !== undefined && !about.manifest.bytes.equals(manifest.bytes))
      throw new InvalidImage("its manifest is not the one that was announced");
    const { digest, size } = manifest.config;
    const received = digest === configDigest ? await early : undefined;
    const config = received?.length === size ? received : await client.blob(repository, manifest.config, MAX_CONFIG);
    const { diffIds, platform } = parseConfig(config);
    // Engines may omit the variant of a platform.
    if (!matchesPlatform(platform, about.platform) && !matchesPlatform(about.platform, platform))
      throw new InvalidImage(
        `its config is for ${formatPlatform(platform)}, and ${formatPlatform(about.platform)} was offered`,
      );
    if (diffIds.join() !== about.diffIds.join())
      throw new InvalidImage("its config names other layers than were offered");
    if (diffIds.length !== manifest.layers.length)
      throw new InvalidImage("its manifest and its config have different numbers of layers");
    for (const { mediaType } of manifest.layers) refuseNonLayerType(mediaType);
    return { manifest, config };
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
    throw new Failure("not-verified", `the offered image is inconsistent: ${error.message}`, {
      expected: "a manifest and a config that belong together",
      hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
      cause: error,
    });
  }
}
