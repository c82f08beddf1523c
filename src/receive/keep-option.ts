import type { About } from "../conversation/messages.ts";
import { digestOf } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";
import type { NonEmpty } from "../non-empty.ts";
import { messageOf } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import type { Target } from "./target.ts";

/** The number of images of a repository that stay: this side's --keep, or the sender's if this side accepts it. */
interface KeepRequested {
  keep?: number | undefined;
  acceptsKeep?: boolean | undefined;
}

/** The images that --keep has removed, for the result. */
interface Removed {
  removed?: string[];
  bytesFreed?: number;
}

/** Removes older images because of --keep. Reports an error as a warning, because the image has already arrived. */
export async function keepNewest(
  target: Target,
  request: KeepRequested,
  about: About,
  names: NonEmpty<Reference>,
  arrived: string,
  output: Output,
): Promise<Removed> {
  const keep = keepOf(request, about);
  if (keep === undefined || target.removeOld === undefined) return {};
  try {
    const { names: removed, bytesFreed } = await target.removeOld(names, keep, arrived);
    return { removed: [...removed], ...(bytesFreed !== undefined && { bytesFreed }) };
  } catch (error) {
    output.warn({ code: "old-images-not-removed", error: messageOf(error) });
    return {};
  }
}

/**
 * Returns the images that --keep would remove, for a dry run. The image may already be present. Its ID is then the digest of its config, or
 * in a containerd store the digest of its manifest or index, which the sender names if it is to be preserved.
 *
 * @param found the ID of the image, if the target has found it
 */
export async function planKeep(
  target: Target,
  request: KeepRequested,
  about: About,
  names: NonEmpty<Reference>,
  found: string | undefined,
): Promise<Removed> {
  const keep = keepOf(request, about);
  if (keep === undefined || target.oldNames === undefined) return {};
  const manifest = about.manifest && digestOf(about.manifest.bytes);
  const ids = [found, about.configDigest, manifest, about.index?.root.descriptor.digest].filter(
    (id) => id !== undefined,
  );
  return { removed: await target.oldNames(names, keep, ids) };
}

/** Returns at least 2, whichever side has set the number: the next delta needs the previous image. */
function keepOf({ keep, acceptsKeep }: KeepRequested, about: About): number | undefined {
  const count = keep ?? (acceptsKeep ? about.keep : undefined);
  return count === undefined ? undefined : Math.max(2, count);
}
