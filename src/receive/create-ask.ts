import type { Ask } from "../conversation/ask.ts";
import type { PlatformChoice } from "../image/index-content.ts";
import type { ImageName } from "../image/image-name.ts";
import type { Platform } from "../image/platform.ts";
import type { RunId } from "../run/run-id.ts";
import { ownNames, type NamesRequested } from "./names-to-give.ts";
import type { Target } from "./target.ts";

/** The parts of a request that are sent to the sender. */
interface Request extends NamesRequested {
  image?: ImageName | undefined;
  isRenamed: boolean;
  acceptsKeep?: boolean | undefined;
  platform?: Platform | undefined;
  platforms?: PlatformChoice | undefined;
  preserveDigest?: boolean | undefined;
}

/** Returns the `ask` for the sender. */
export function createAsk(request: Request, target: Target, runId: RunId): Ask {
  const { image, acceptsNames, acceptsKeep, isRenamed, platform, platforms, preserveDigest: preserve } = request;
  const storesManifests = target.manifestOf !== undefined;
  const receiver = { receiverPlatform: target.platform, storesManifests };
  return {
    image,
    names: ownNames(request),
    acceptsNames,
    acceptsKeep,
    isRenamed,
    runId,
    platform,
    platforms,
    preserve,
    ...receiver,
  };
}
