import type { ImageName } from "../image/image-name.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import { formatPlatform, type Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";
import { isRunId, type RunId } from "../run/run-id.ts";
import type { Message } from "../stdio-tunnel/control.ts";
import { imageName, malformed, platformChoice, platformChoiceText, platformIn, references, text } from "./fields.ts";

/** The receiver is ready, and requests an image. */
export interface Ask {
  /** If undefined, the image that the sender offers, under the names that the sender gives (feature OFFERS_NAMES). */
  image?: ImageName | undefined;
  /** The names that the image gets at the receiver. Version 0.1 does not send them. */
  names?: readonly Reference[] | undefined;
  /** Whether the sender may give the image further names. */
  acceptsNames?: boolean | undefined;
  /** Whether the sender may set the number of older images to keep. */
  acceptsKeep?: boolean | undefined;
  /** On the wire: `run` */
  runId: RunId;
  /** The receiver's --platform */
  platform?: Platform | undefined;
  /** The receiver's --all-platforms, or several --platform */
  platforms?: PlatformChoice | undefined;
  /** The platform of the receiver's engine, which decides between several variants. On the wire: `runs` */
  receiverPlatform?: Platform | undefined;
  /** Whether the receiver's target stores the manifests of images. On the wire: `keepsManifests` */
  storesManifests?: boolean | undefined;
  /** The receiver's --preserve-digest */
  preserve?: boolean | undefined;
  /** True if the image gets another name at the receiver, so that `image` may be its ID. */
  isRenamed?: boolean | undefined;
}

/** Returns the message for an `ask`. {@link parseAsk} reads it. */
export function askMessage({
  image,
  names,
  runId,
  platform,
  platforms,
  receiverPlatform,
  storesManifests: keepsManifests,
  ...ask
}: Ask): Message & { type: "ask" } {
  const runs = receiverPlatform && formatPlatform(receiverPlatform);
  const named = { image: image?.given, names: names?.map(({ given }) => given) };
  const wanted = {
    platform: platform && formatPlatform(platform),
    platforms: platforms && platformChoiceText(platforms),
  };
  return { type: "ask", ...named, run: runId, ...wanted, runs, keepsManifests, ...ask };
}

export function parseAsk({
  image,
  names,
  acceptsNames,
  acceptsKeep,
  run,
  platform,
  platforms,
  runs,
  ...flags
}: Message): Ask {
  const { keepsManifests, preserve, isRenamed } = flags;
  const ask = { ...(image !== undefined && { image: imageName(image) }), runId: text(run) };
  if (!isRunId(ask.runId)) throw malformed("ask");
  return {
    ...ask,
    ...(names !== undefined && { names: references(names) }),
    ...(acceptsNames === true && { acceptsNames }),
    ...(acceptsKeep === true && { acceptsKeep }),
    ...(platform === undefined ? {} : { platform: platformIn(platform) }),
    ...(platforms !== undefined && { platforms: platformChoice(platforms) }),
    ...(runs === undefined ? {} : { receiverPlatform: platformIn(runs) }),
    ...(keepsManifests === true && { storesManifests: true }),
    ...(preserve === true && { preserve }),
    ...(isRenamed === true && { isRenamed }),
  };
}
