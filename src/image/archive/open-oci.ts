import { InvalidImage } from "../manifest.ts";
import { choose, type Candidate } from "./choose.ts";
import { openFolderFiles } from "./folder-files.ts";
import type { ArchivedImage, ImageArchive } from "./image-archive.ts";
import { blobPath, notThere, type Files } from "./listing.ts";
import { ociEntries, readOciImage, type OciEntry, type OciImage } from "./oci-images.ts";
import { proven } from "./prove.ts";
import { openTarFiles } from "./tar-files.ts";

/** Bytes. The file says `{"imageLayoutVersion":"1.0.0"}`. */
const MAX_LAYOUT_FILE = 4096;

/** An OCI layout in a folder (OCI image spec, image-layout.md). Throws `InvalidImage`, and the file system's errors. */
export async function openOciLayout(folder: string): Promise<ImageArchive> {
  return await openLayout(openFolderFiles(folder));
}

/** An OCI layout in a tar. Throws `InvalidImage`, and the file system's errors. */
export async function openOciArchive(path: string): Promise<ImageArchive> {
  const files = await openTarFiles(path);
  try {
    return await openLayout(files);
  } catch (error) {
    await files.close();
    throw error;
  }
}

async function openLayout(files: Files): Promise<ImageArchive> {
  await checkVersion(files);
  const entries = await ociEntries(files);
  const candidates = entries.map((entry) => candidateOf(files, entry));
  return {
    list: () =>
      candidates.map(({ names, platform, digest }) => ({
        names,
        ...(digest && { digest }),
        ...(platform && { platform }),
      })),
    find: async (reference, platform) => await describe(files, await choose(candidates, reference, platform)),
    close: files.close,
    [Symbol.asyncDispose]: files.close,
  };
}

function candidateOf(files: Files, entry: OciEntry): Candidate<OciImage> {
  const { names, descriptor } = entry;
  const { os, architecture, variant } = descriptor.platform ?? {};
  const platform = os === undefined ? undefined : [os, architecture, variant].filter(Boolean).join("/");
  return {
    id: descriptor.digest,
    names,
    digest: descriptor.digest,
    ...(platform && { platform }),
    read: async () => await readOciImage(files, entry),
  };
}

async function describe(files: Files, image: OciImage): Promise<ArchivedImage> {
  for (const { blob } of image.layers) {
    const size = await files.sizeOf(blobPath(blob.digest));
    if (size === undefined) throw notThere(blobPath(blob.digest));
    if (size !== blob.size) throw new InvalidImage(`${blob.digest} has ${size} bytes, announced were ${blob.size}`);
  }
  return {
    ...image,
    layers: image.layers.map(({ diffId, blob }) => ({
      diffId,
      blob,
      open: () =>
        proven(files.open(blobPath(blob.digest)), { what: `layer ${diffId}`, digest: blob.digest, size: blob.size }),
    })),
  };
}

async function checkVersion(files: Files): Promise<void> {
  const text = (await files.read("oci-layout", MAX_LAYOUT_FILE)).toString("utf8");
  const [, version = ""] = /"imageLayoutVersion"\s*:\s*"([^"]*)"/.exec(text) ?? [];
  if (!version.startsWith("1.")) throw new InvalidImage("its oci-layout names no version 1 of the format");
}
