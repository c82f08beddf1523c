import { stat } from "node:fs/promises";
import { join } from "node:path";
import { openFolderFiles } from "../../image/archive/folder-files.ts";
import { parseArchivedName } from "../../image/archived-name.ts";
import { digestOf, type Digest } from "../../image/digest.ts";
import { partsOf } from "../../image/index-content.ts";
import type { FileLocation } from "../../image/location.ts";
import type { Descriptor } from "../../image/manifest.ts";
import { listOciEntries } from "../../image/oci/oci-entries.ts";
import { blobPath } from "../../image/oci/oci-layout.ts";
import { readRoot } from "../../image/oci/oci-roots.ts";
import { writeIndexBlobs } from "../../image/oci/write-index-content.ts";
import { verifyBlob } from "../../store/verify-blob.ts";
import type { IndexTarget } from "../index-target.ts";
import { locationErrors } from "./location-errors.ts";
import type { ReceiveOptions } from "../receive-options.ts";
import { spaceForFiles } from "../free-space.ts";

/** The callbacks of the layout: it lists a stored index when the index gets its name. */
interface Layout {
  onStored: (root: Descriptor, options: ReceiveOptions) => void;
  onMoved: (bytes: number) => void;
}

/** Returns an OCI layout in a folder as a target of images with their index. An index that is not yet listed is named by its digest. */
export function indexesInLayout(location: FileLocation, { onStored, onMoved }: Layout): IndexTarget {
  const { path: folder } = location;
  const explain = locationErrors(location);
  return {
    store: "layout",
    async present(blobs, options) {
      await explain(refuseFull(folder));
      return await explain(verified(folder, blobs, options, onMoved));
    },
    space: async (options, wanted) => await spaceForFiles(folder, options, wanted),
    async put(index, files, options) {
      await explain(writeIndexBlobs(folder, index, files, options.runId));
      onStored(index.root.descriptor, options);
      // Blobs that no image in the index uses are harmless, and the next run can use them.
      return { name: index.root.descriptor.digest, [Symbol.asyncDispose]: async () => {} };
    },
    async digestOf(name, index) {
      const { digest } = index.root.descriptor;
      for (const part of partsOf(index)) if (!(await holds(folder, part))) return undefined;
      if (name === digest) return digest;
      return digestOf(await explain(readRoot(openFolderFiles(folder), parseArchivedName(name))));
    },
  };
}

/** Throws `InvalidImage`, before anything is sent, if index.json is invalid, or has no space for another image. */
async function refuseFull(folder: string): Promise<void> {
  const files = openFolderFiles(folder);
  if ((await files.sizeOf("index.json")) !== undefined) await listOciEntries(files, { willGrow: true });
}

/** Reads the blobs that the folder has, and returns those that match their digests. */
async function verified(
  folder: string,
  blobs: readonly Descriptor[],
  { signal, onProgress }: ReceiveOptions,
  onMoved: (bytes: number) => void,
): Promise<Set<Digest>> {
  const progress = { stage: "checking" as const, current: 0 };
  const onBytes = (count: number): void => {
    onMoved(count);
    progress.current += count;
    onProgress(progress);
  };
  const found = new Set<Digest>();
  for (const blob of blobs) {
    const isThere = await verifyBlob(join(folder, blobPath(blob.digest)), blob, { signal, onBytes });
    if (isThere !== undefined) found.add(blob.digest);
  }
  return found;
}

async function holds(folder: string, { digest, size }: Descriptor): Promise<boolean> {
  const found = await stat(join(folder, blobPath(digest))).catch(() => undefined);
  return found?.isFile() === true && found.size === size;
}
