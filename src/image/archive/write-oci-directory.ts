import { constants } from "node:fs";
import { chmod, copyFile, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../digest.ts";
import { InvalidImage, isIndex, parseManifest, type Descriptor } from "../manifest.ts";
import { openFolderFiles } from "./folder-files.ts";
import { blobPath } from "./listing.ts";
import { loadableImages, writeLoadable } from "./loadable-manifest.ts";
import { IMAGE_NAME, namedDescriptors, OCI_LAYOUT, REF_NAME, writeIndex, type OciLayoutToWrite } from "./oci-layout.ts";

/**
 * Puts an image's blobs into a folder that is, or becomes, an OCI layout (OCI image spec, image-layout.md). Each appears whole or
 * not at all. The files that come along are moved where the file system can do that. Nobody finds the image before it is listed.
 *
 * @param run tells the files that are not whole yet from others: they end with `.RUN.part`
 */
export async function putOciImage(
  folder: string,
  { config, manifest, blobs }: Omit<OciLayoutToWrite, "names">,
  run: string,
): Promise<void> {
  await mkdir(join(folder, "blobs", "sha256"), { recursive: true });
  for (const { digest, path, size } of blobs) {
    const to = join(folder, blobPath(digest));
    if (!(await isThere(to, size))) await moveFile(path, to, size, run);
  }
  await putBytes(join(folder, blobPath(digestOf(config))), config, run);
  await putBytes(join(folder, blobPath(manifest.descriptor.digest)), manifest.bytes, run);
}

/**
 * Gives an image of the folder names, in its index. What else is in there stays, but for these names, which lead to one image.
 * The index is replaced at once and last, so that whoever reads meanwhile, or after a crash, finds the old state or the new
 * one. Not for two writers at once.
 *
 * Throws `InvalidImage` when the folder has an index.json that is none, and the file system's errors.
 */
export async function listOciImage(
  folder: string,
  manifest: Descriptor,
  names: OciLayoutToWrite["names"],
  run: string,
): Promise<void> {
  const before = await readIndex(folder);
  const manifests = extend(before.manifests, namedDescriptors(manifest, names));
  const loadable = writeLoadable(await loadableImages(openFolderFiles(folder), manifests));
  await putBytes(join(folder, "oci-layout"), OCI_LAYOUT, run);
  await replace(join(folder, "manifest.json"), loadable, run);
  await replace(join(folder, "index.json"), Buffer.from(JSON.stringify({ ...before, manifests })), run);
}

/** Entries as they were read, with whatever they hold; this program need not understand them to keep them. */
interface RawIndex {
  manifests: RawEntry[];
}

type RawEntry = Descriptor & { [key: string]: unknown };

async function readIndex(folder: string): Promise<RawIndex> {
  let bytes: Buffer;
  try {
    bytes = await readFile(join(folder, "index.json"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    bytes = writeIndex([]);
  }
  if (!isIndex(parseManifest(bytes))) throw new InvalidImage(`${join(folder, "index.json")} is not an index`);
  return JSON.parse(bytes.toString("utf8")) as RawIndex;
}

function extend(before: readonly RawEntry[], added: readonly Descriptor[]): Descriptor[] {
  return [...before.flatMap((entry) => giveWay(entry, added)), ...added];
}

/** What is left of an entry when others take its names over. The same image without a name is not listed twice. */
function giveWay(entry: RawEntry, added: readonly Descriptor[]): RawEntry[] {
  const taken = (key: string): boolean =>
    entry.annotations?.[key] !== undefined &&
    added.some(({ annotations }) => annotations?.[key] === entry.annotations?.[key]);
  const { [REF_NAME]: ref, ...others } = entry.annotations ?? {};
  if (ref === undefined && others[IMAGE_NAME] === undefined) {
    return added.some(({ digest }) => digest === entry.digest) ? [] : [entry];
  }
  if (taken(IMAGE_NAME)) return [];
  if (!taken(REF_NAME)) return [entry];
  // Others may have given several images one tag, which is no whole name: docker save does.
  return others[IMAGE_NAME] === undefined ? [] : [{ ...entry, annotations: others }];
}

async function putBytes(path: string, bytes: Uint8Array, run: string): Promise<void> {
  if (!(await isThere(path, bytes.length))) await replace(path, bytes, run);
}

/** A blob that is there in its size is the same: it was put there whole, and its name is its digest. */
async function isThere(path: string, size: number): Promise<boolean> {
  const there = await stat(path).catch(() => undefined);
  return there?.isFile() === true && there.size === size;
}

async function replace(path: string, bytes: Uint8Array, run: string): Promise<void> {
  await viaPart(path, run, async (part) => await writeFile(part, bytes));
}

async function moveFile(from: string, to: string, size: number, run: string): Promise<void> {
  const { size: written } = await stat(from);
  if (written !== size) throw new InvalidImage(`a layer to be stored has ${written} bytes, not ${size}`);
  try {
    await sync(from);
    await chmod(from, 0o644);
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await viaPart(to, run, async (part) => {
      await copyFile(from, part, constants.COPYFILE_FICLONE);
      await rm(from);
    });
  }
}

async function viaPart(path: string, run: string, write: (part: string) => Promise<void>): Promise<void> {
  const part = `${path}.${run}.part`;
  try {
    await write(part);
    await sync(part);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
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
