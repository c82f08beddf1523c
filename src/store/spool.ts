import { statfs } from "node:fs/promises";
import { join } from "node:path";
import type { RunId } from "../run/run-id.ts";
import { makeSpoolFolder } from "../run/spool-folder.ts";
import { cacheFolder } from "../files/cache-folder.ts";
import { isNoSpace } from "../files/no-space.ts";
import { removeFolder } from "../files/remove-folder.ts";
import { CannotDecompress } from "../image/layer/decompress-layer.ts";
import { SizeLimitExceeded } from "../image/layer/size-limit.ts";
import { InvalidImage } from "../image/invalid-image.ts";
import { bytes } from "../output/describe.ts";
import { Failure, messageOf } from "../output/errors.ts";
import { InvalidPackedStream } from "../packing/unpack.ts";

/** A folder for what is on its way, until it has been loaded or sent. */
export interface Spool extends AsyncDisposable {
  /** A file of its own for a layer. */
  pathFor(name: string): string;
}

/** The same, opened when it is first asked for. */
export interface LazySpool extends AsyncDisposable {
  open(): Promise<Spool>;
}

export function lazySpool(env: NodeJS.ProcessEnv, run: RunId): LazySpool {
  let opened: Promise<Spool> | undefined;
  return {
    open: async () => await (opened ??= openSpool(env, run)),
    async [Symbol.asyncDispose]() {
      const spool = await opened?.catch(() => {});
      await spool?.[Symbol.asyncDispose]();
    },
  };
}

/** Opens a folder that only this user can look into, in the user's cache; it goes when disposed of. */
export async function openSpool(env: NodeJS.ProcessEnv, run: RunId): Promise<Spool> {
  const folder = await makeSpoolFolder(run, cacheFolder(env));
  return {
    pathFor: (name) => join(folder, name),
    // What cannot be removed now, the next run removes: it must not hide what went wrong before.
    [Symbol.asyncDispose]: async () => await removeFolder(folder),
  };
}

/** Fails when so many bytes have no room, before they are fetched. */
export async function refuseWithoutSpace(spool: Spool, size: number): Promise<void> {
  const { bavail, bsize } = await statfs(spool.pathFor("."));
  if (size <= bavail * bsize) return;
  throw new Failure(
    "no-space",
    `a layer of ${bytes(size)} is to come, and the cache folder's disk has not that much left`,
    {
      expected: "room for the layers that are missing, in the cache folder (~/.cache/docker-over-ssh)",
      hint: "Free some, or name a folder on a larger disk with XDG_CACHE_HOME.",
    },
  );
}

/** Codes of Node's zlib for what is not packed as it says. */
const BAD_ZLIB = /^(?:Z_|ERR_?_)/;

/** The bytes of a layer are not its own. */
export function isInvalidContent(error: unknown): boolean {
  return error instanceof InvalidImage || BAD_ZLIB.test(codeOf(error));
}

/** A connection ended before its time. */
export function isBroken(error: unknown): boolean {
  return ["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code);
}

/** What went wrong while layers were read, proven and written, as a person should be told it. */
export function layerFailure(error: unknown, whose: string): unknown {
  if (error instanceof Failure) return error;
  if (isBroken(error)) {
    return new Failure(
      "registry-unavailable",
      `the connection to the sending side's registry broke: ${messageOf(error)}`,
      {
        expected: "it to stay open until all layers are here",
        hint: "Nothing was loaded. Run the same command again.",
        cause: error,
      },
    );
  }
  if (isNoSpace(error)) {
    return new Failure("no-space", `there is no space left for the layers that wait to be ${whose}`, {
      expected: "room for the layers that are missing, in the cache folder (~/.cache/docker-over-ssh)",
      hint: "Free some, or name a folder on a larger disk with XDG_CACHE_HOME.",
      cause: error,
    });
  }
  if (error instanceof SizeLimitExceeded) {
    return new Failure("refused", `the receiving side does not take this image: ${error.message}`, {
      expected: "an image whose missing layers, unpacked, stay below its --max-size",
      hint: "Nothing was loaded. Allow more there, if the image is right.",
      cause: error,
    });
  }
  if (error instanceof CannotDecompress) {
    return new Failure("refused", `the image cannot be proven here: ${error.message}`, {
      expected: "layers packed with gzip, or not at all, or Node 22.15 or later on the receiving side",
      hint: "Nothing was loaded. Install that Node there, or build the image with gzip.",
      cause: error,
    });
  }
  if (!isInvalidContent(error) && !(error instanceof InvalidPackedStream)) return error;
  return new Failure("not-verified", `a layer is not what it should be: ${messageOf(error)}`, {
    expected: "bytes that have the digest of their layer",
    hint: "Nothing was loaded. Run the same command again; if it happens again, please report it.",
    cause: error,
  });
}
