import type { Offer } from "../conversation/messages.ts";
import { matchesPlatform } from "../image/platform.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { MAX_CONFIG, parseConfig } from "../image/config.ts";
import { refuseNonLayerType } from "../image/layer/compression.ts";
import { type ImageManifest } from "../image/manifest.ts";
import { Failure } from "../output/errors.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import type { ReceiveOptions } from "./received-image.ts";

/** The sender's image, as its registry describes it. */
export interface ImageMetadata {
  manifest: ImageManifest;
  /** Byte for byte. */
  config: Buffer;
}

/** Reads manifest and config through the tunnel, and sees that they belong together and are what was offered. */
export async function readImageMetadata(
  client: RegistryClient,
  { repository, tag }: Offer,
  { about }: ReceiveOptions,
): Promise<ImageMetadata> {
  try {
    // Beside the manifest, which may be given no sooner than the last layer.
    const { configDigest } = about;
    const asked = configDigest === undefined ? undefined : client.small(repository, configDigest, MAX_CONFIG);
    const early = asked?.catch(() => undefined); // why not, it is asked for once more to see
    const manifest = await client.manifest(repository, tag, about.platform);
    if (about.manifest !== undefined && !about.manifest.bytes.equals(manifest.bytes))
      throw new InvalidImage("its manifest is not the one that was announced");
    const { digest, size } = manifest.config;
    const known = digest === configDigest ? await early : undefined;
    const config = known?.length === size ? known : await client.blob(repository, manifest.config, MAX_CONFIG);
    const { diffIds, platform } = parseConfig(config);
    // One of the two may leave the variant out: engines do.
    if (!matchesPlatform(platform, about.platform) && !matchesPlatform(about.platform, platform))
      throw new InvalidImage(`its config is for ${platform}, offered was ${about.platform}`);
    if (diffIds.join() !== about.diffIds.join())
      throw new InvalidImage("its config names other layers than were offered");
    if (diffIds.length !== manifest.layers.length)
      throw new InvalidImage("its manifest and its config differ in layers");
    for (const { mediaType } of manifest.layers) refuseNonLayerType(mediaType);
    return { manifest, config };
  } catch (error) {
    if (!(error instanceof InvalidImage)) throw error;
    throw new Failure("not-verified", `the image that is offered cannot be right: ${error.message}`, {
      expected: "a manifest and a config that belong together",
      hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
      cause: error,
    });
  }
}
