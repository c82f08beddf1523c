import type { About } from "../conversation/messages.ts";
import { digestOf } from "../image/digest.ts";
import { messageOf } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import type { NamesToGive } from "./names-to-give.ts";
import type { Target } from "./target.ts";

/** How many images of a repository stay: this side's --keep, or the sender's where this side accepts that. */
interface KeepRequested {
  keep?: number | undefined;
  acceptsKeep?: boolean | undefined;
}

/** What --keep has removed, for the result. */
interface Removed {
  removed?: string[];
  bytesFreed?: number;
}

/** Removes older images because of --keep. The image has arrived, whatever happens: an error is a warning. */
export async function keepNewest(
  target: Target,
  request: KeepRequested,
  about: About,
  names: NamesToGive,
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
 * Returns what --keep would remove, for a dry run. The image may be there already: its ID is the digest of its config; in a containerd store that
 * of the manifest or the index, which the sender names where it is kept.
 *
 * @param found ID of the image, which the target has found
 */
export async function planKeep(
  target: Target,
  request: KeepRequested,
  about: About,
  names: NamesToGive,
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

/** No less than 2, whoever says so: the next delta needs the previous image. */
function keepOf({ keep, acceptsKeep }: KeepRequested, about: About): number | undefined {
  const count = keep ?? (acceptsKeep ? about.keep : undefined);
  return count === undefined ? undefined : Math.max(2, count);
}
