import { mapConcurrently } from "../streams/map-concurrently.ts";
import type { BuildContext, ContextFile } from "./build-context.ts";
import { quotedPath } from "./entry-checks.ts";
import { Failure } from "../output/errors.ts";

/** Files up to this size in bytes are read ahead, several at a time: opening them takes longer than reading them. */
const SMALL = 128 * 1024;

export interface FileBeingRead<T extends ContextFile> {
  file: T;
  /** Its content: exactly `size` bytes. Fails as `BuildContext.read` does. */
  chunks: AsyncIterable<Buffer>;
}

/**
 * Reads files of a context in the given order, and the next small files ahead. The caller must read each file before it requests the next.
 */
export async function* readAhead<T extends ContextFile>(
  context: BuildContext,
  files: Iterable<T>,
  signal?: AbortSignal,
): AsyncGenerator<FileBeingRead<T>> {
  const begin = async (file: T): Promise<FileBeingRead<T>> => {
    const chunks = exactly(file, context.read(file, signal));
    if (file.size > SMALL) return { file, chunks };
    const content: Buffer[] = [];
    for await (const chunk of chunks) content.push(chunk);
    return { file, chunks: single(content.length === 1 ? (content[0] as Buffer) : Buffer.concat(content)) };
  };
  yield* mapConcurrently(files, begin);
}

/** Returns the failure for a file that has changed since it was listed. */
export function changedFile(path: string): Failure {
  return new Failure("context-invalid", `the file ${quotedPath(path)} has changed while the context was read`, {
    expected: "files that do not change until they have been sent",
    hint: "Run the same command again when no program writes to it.",
  });
}

async function* exactly(file: ContextFile, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let left = file.size;
  for await (const chunk of chunks) {
    left -= chunk.length;
    if (left < 0) break;
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  }
  if (left !== 0) throw changedFile(file.path);
}

async function* single(content: Buffer): AsyncGenerator<Buffer> {
  yield content;
}
