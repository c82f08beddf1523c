import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32 } from "node:zlib";
import { pack, type Header, type Pack } from "tar-stream";
import { openPromise, type Entry, type ZipFile } from "yauzl";
import { Failure, messageOf } from "../../output/errors.ts";
import { quoted } from "../../image/tar/entry-path.ts";
import type { ContextLimits } from "../limits.ts";
import { invalidArchive, tooLarge } from "./invalid-archive.ts";
import { MAX_LINK } from "./limits.ts";

/** The systems in "version made by" whose external attributes contain a mode (APPNOTE.TXT 4.4.2): Unix and macOS. */
const HAS_MODE = new Set([3, 19]);
/** The kind of file in a mode (stat(2), S_IFMT). */
const KIND = 0o170_000;
const KINDS = { file: 0o100_000, folder: 0o040_000, symlink: 0o120_000 };
/** Matches error codes of the file system. Those of zlib begin with Z, and errors of yauzl have no code. */
const FILE_SYSTEM_ERROR = /^E[A-Z]+$/;

/**
 * Yields a zip as a tar: the same files with their modes, times and symbolic links. The zip is a file, because its directory is at its end.
 * The reader of the tar checks for duplicate paths and for links that lead out. Throws a Failure `context-invalid`, and the file system's
 * errors.
 */
export async function* zipToTar(path: string, limits: ContextLimits): AsyncGenerator<Buffer> {
  const tar = pack();
  const filled = fill(tar, path, limits);
  filled.catch((error: Error) => tar.destroy(error)); // awaited below, unless the reader leaves earlier
  try {
    yield* tar as AsyncIterable<Buffer>;
    await filled;
  } catch (error) {
    throw zipFailure(error);
  } finally {
    tar.destroy();
  }
}

async function fill(tar: Pack, path: string, limits: ContextLimits): Promise<void> {
  const zip = await openPromise(path, { autoClose: false, validateEntrySizes: true });
  try {
    if (zip.entryCount > limits.entries) throw tooMany(limits);
    let entries = 0;
    let bytes = 0;
    for await (const entry of zip.eachEntry()) {
      entries += 1;
      bytes += entry.uncompressedSize;
      if (entries > limits.entries) throw tooMany(limits);
      if (bytes > limits.bytes) throw tooLarge(limits);
      await add(tar, zip, entry);
    }
    tar.finalize();
  } finally {
    zip.close();
  }
}

async function add(tar: Pack, zip: ZipFile, entry: Entry): Promise<void> {
  const { fileName: name, uncompressedSize: size } = entry;
  if (entry.isEncrypted()) throw invalidArchive(`the archive's file ${quoted(name)} is encrypted`);
  const mode = HAS_MODE.has(entry.versionMadeBy >>> 8) ? entry.externalFileAttributes >>> 16 : 0;
  const kind = kindOf(name, mode);
  const header = { name, mode: mode & 0o7777 || (kind === "folder" ? 0o755 : 0o644), mtime: entry.getLastModDate() };
  if (kind === "folder") return void tar.entry({ ...header, type: "directory" });
  if (kind === "symlink") {
    if (size > MAX_LINK) throw invalidArchive(`the archive's link ${quoted(name)} has a target of ${size} bytes`);
    const target = Buffer.concat(await (await contentOf(zip, entry)).toArray()).toString("utf8");
    return void tar.entry({ ...header, type: "symlink", linkname: target });
  }
  await addFile(tar, { ...header, size }, await contentOf(zip, entry));
}

async function addFile(tar: Pack, header: Partial<Header> & Pick<Header, "name">, content: Readable): Promise<void> {
  const sink = tar.entry(header);
  sink.on("error", () => {}); // reported by the pipeline, or by the tar
  await pipeline(content, sink as unknown as Writable);
}

function kindOf(name: string, mode: number): keyof typeof KINDS {
  if (name.endsWith("/")) return "folder";
  const kind = mode & KIND;
  if (kind === 0 || kind === KINDS.file) return "file";
  if (kind === KINDS.symlink) return "symlink";
  if (kind === KINDS.folder) return "folder";
  throw invalidArchive(`the archive's entry ${quoted(name)} is neither a file, a folder nor a link`);
}

/** Opens a file as a stream that verifies the checksum: yauzl (3.4) verifies only the size. */
async function contentOf(zip: ZipFile, entry: Entry): Promise<Readable> {
  const content = await zip.openReadStreamPromise(entry);
  let sum = 0;
  content.on("data", (chunk: Buffer) => (sum = crc32(chunk, sum))).pause();
  content.once("end", () => {
    if (sum !== entry.crc32) content.destroy(new Error(`the checksum of ${quoted(entry.fileName)} is wrong`));
  });
  return content;
}

function tooMany({ entries }: ContextLimits): Failure {
  return invalidArchive(`the archive has more than ${entries} entries`);
}

/** Converts an error of yauzl or zlib into a failure: these errors mean that the input is not a zip, or a damaged one. */
function zipFailure(error: unknown): unknown {
  if (error instanceof Failure || FILE_SYSTEM_ERROR.test((error as NodeJS.ErrnoException).code ?? "")) return error;
  return invalidArchive(`the archive is a zip that is cut off or damaged: ${messageOf(error)}`, error);
}
