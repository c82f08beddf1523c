import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../digest.ts";
import { InvalidImage, isIndex, parseManifest, type Descriptor } from "../manifest.ts";
import { blobPath } from "./listing.ts";
import { namedDescriptors, OCI_LAYOUT, type OciLayoutToWrite } from "./oci-layout.ts";

/**
 * Puts an image into a folder that is, or becomes, an OCI layout (OCI image spec, image-layout.md). What is in it stays, but
 * for the names that the image takes over. Each file appears whole or not at all, blobs first and index.json last, so that
 * whoever reads meanwhile, or after a crash, finds the old state or the new one. Not for two writers at once.
 *
 * Throws `InvalidImage` when the folder has an index.json that is none, and the file system's errors.
 */
export async function writeOciDirectory(
  folder: string,
  { config, manifest, blobs, names }: OciLayoutToWrite,
): Promise<void> {
  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  const before = await readIndex(folder);
  for (const { digest, path, size } of blobs) {
    await putFile(
      join(folder, blobPath(digest)),
      size,
      async (to) => await copyFile(path, to, constants.COPYFILE_FICLONE),
    );
  }
  await putBytes(join(folder, blobPath(digestOf(config))), config);
  await putBytes(join(folder, blobPath(manifest.descriptor.digest)), manifest.bytes);
  await putBytes(join(folder, "oci-layout"), OCI_LAYOUT);
  const manifests = extend(before.manifests, namedDescriptors(manifest.descriptor, names));
  await replace(
    join(folder, "index.json"),
    async (to) => await writeBytes(to, Buffer.from(JSON.stringify({ ...before, manifests }))),
  );
}

/** Entries as they were read, with whatever they hold; this program need not understand them to keep them. */
interface RawIndex {
  manifests: (Partial<Descriptor> & { digest: string })[];
}

async function readIndex(folder: string): Promise<RawIndex> {
  let bytes: Buffer;
  try {
    bytes = await readFile(join(folder, "index.json"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    bytes = Buffer.from('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}');
  }
  if (!isIndex(parseManifest(bytes))) throw new InvalidImage(`${join(folder, "index.json")} is not an index`);
  return JSON.parse(bytes.toString("utf8")) as RawIndex;
}

/** A name leads to one image: entries of the same name go, and the same image without a name is not listed twice. */
function extend(before: RawIndex["manifests"], added: Descriptor[]): RawIndex["manifests"] {
  const taken = new Set(added.map(nameKey));
  const digests = new Set(added.map(({ digest }) => digest));
  const stays = (entry: RawIndex["manifests"][number]): boolean => {
    const key = nameKey(entry);
    return key === "" ? !digests.has(entry.digest) : !taken.has(key);
  };
  return [...before.filter(stays), ...added];
}

function nameKey({ annotations }: Partial<Descriptor>): string {
  return annotations?.["io.containerd.image.name"] ?? annotations?.["org.opencontainers.image.ref.name"] ?? "";
}

async function putBytes(path: string, bytes: Uint8Array): Promise<void> {
  await putFile(path, bytes.length, async (to) => await writeBytes(to, bytes));
}

/** A blob that is there in its size is the same: it was put there whole, and its name is its digest. */
async function putFile(path: string, size: number, write: (to: string) => Promise<void>): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isFile() === true && there.size === size) return;
  await replace(path, async (to) => {
    await write(to);
    const written = await stat(to);
    if (written.size !== size) throw new InvalidImage(`a layer to be stored has ${written.size} bytes, not ${size}`);
  });
}

async function replace(path: string, write: (to: string) => Promise<void>): Promise<void> {
  const beside = `${path}.${randomUUID()}.part`;
  try {
    await write(beside);
    await sync(beside);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

async function writeBytes(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
}

/** Onto the disk before it gets its name: else a power failure could leave the name without the content. */
async function sync(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
