import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, lstatSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { cacheFolder } from "../../files/cache-folder.ts";
import { isPrivate, openPrivateFolder } from "../../files/private-folder.ts";
import { Failure } from "../../output/errors.ts";
import { gzip } from "../../streams/gzip.ts";

/** A Node that is ready to be sent: compressed with gzip, which every system has, in the cache folder of this side. */
export interface PackedNode {
  path: string;
  packedSize: number;
  /** SHA-256 of the binary, hexadecimal */
  digest: string;
  /** Bytes of the binary */
  size: number;
}

/** Files are named by their source, and by their content: `sent-node-KEY-SIZE-DIGEST.gz`. */
const PREFIX = "sent-node-";
const NAME = /^sent-node-([0-9a-f]{16})-(\d+)-([0-9a-f]{64})\.gz$/;
/** Number of cached files, 40 MB each, for a few systems. */
const CACHED_FILES = 3;
/** ms after which a half-written file is a leftover. */
const ABANDONED = 3600_000;

/** Opens the cache folder. Throws a Failure or the system's error if there is no folder that only this user can write to. */
export function openNodeFolder(env: NodeJS.ProcessEnv): string {
  const folder = cacheFolder(env);
  if (folder === undefined) {
    throw new Failure("transfer-failed", "there is no cache folder to pack Node in", {
      expected: "a folder for caches of this user",
      hint: "Set HOME or XDG_CACHE_HOME.",
    });
  }
  return openPrivateFolder(folder, { make: true });
}

/** Returns the key of the binary in a packed Node. */
export function keyOf(source: string): string {
  return createHash("sha256").update(source).digest("hex").slice(0, 16);
}

/** Finds the Node that an earlier run has packed. */
export function findPackedNode(folder: string, key: string): PackedNode | undefined {
  for (const name of readdirSync(folder)) {
    const [, found, size, digest = ""] = NAME.exec(name) ?? [];
    if (found !== key) continue;
    const path = join(folder, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() && isPrivate(stats)) return { path, packedSize: stats.size, digest, size: Number(size) };
  }
  return undefined;
}

/** Packs a Node, and caches the file for later runs. The file gets its name when it is complete. */
export async function packNode(
  folder: string,
  key: string,
  binary: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<PackedNode> {
  const part = join(folder, `${PREFIX}${key}.${process.pid}`);
  const hash = createHash("sha256");
  let size = 0;
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const chunk of binary) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  try {
    rmSync(part, { force: true });
    await pipeline(Readable.from(gzip(hashed())), createWriteStream(part, { flags: "wx", mode: 0o600 }), { signal });
    const digest = hash.digest("hex");
    const path = join(folder, `${PREFIX}${key}-${size}-${digest}.gz`);
    renameSync(part, path);
    removeOld(folder);
    return { path, packedSize: lstatSync(path).size, digest, size };
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

/** Reads the compressed bytes of a packed Node. */
export function readPackedNode({ path, packedSize }: PackedNode): Readable {
  return createReadStream(path, { end: packedSize - 1 });
}

/** Removes a packed Node that has arrived damaged. */
export function removePackedNode({ path }: PackedNode): void {
  rmSync(path, { force: true });
}

function removeOld(folder: string): void {
  const files = readdirSync(folder)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => ({ path: join(folder, name), isWhole: NAME.test(name) }))
    .map((file) => ({ ...file, at: lstatSync(file.path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }));
  const byAge = files.filter(({ isWhole }) => isWhole).toSorted((one, other) => other.at - one.at);
  const abandoned = files.filter(({ isWhole, at }) => !isWhole && Date.now() - at > ABANDONED);
  for (const { path } of [...byAge.slice(CACHED_FILES), ...abandoned]) rmSync(path, { force: true, recursive: true });
}
