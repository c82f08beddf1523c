import type { ContextEntry, ContextFile } from "docker-over-ssh/builds";
import { Refusal } from "../../refusal.ts";
import { MAX_DOCKERFILE } from "../dockerfile/logical-lines.ts";
import { textOfPath } from "./entry.ts";

/** A file in memory. */
export interface DeferredFile {
  content: Buffer;
  entry: ContextFile;
}

/** The files of a context that stay in memory until all entries were read, because the last of several files with one name counts. */
export class DeferredFiles {
  readonly #paths: readonly string[];
  readonly #files = new Map<string, DeferredFile>();
  readonly #links = new Set<string>();

  /** @param paths of the files, in the order of the search */
  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  /** Stores an entry if it is one of the files. Returns whether it is stored, in which case its content was read. Throws a Refusal 413 `dockerfile.size`. */
  async take(entry: ContextEntry, content: AsyncIterable<Buffer>): Promise<boolean> {
    const { path, kind } = entry;
    if (!this.#paths.includes(path)) return false;
    this.#files.delete(path);
    this.#links.delete(path);
    if (kind === "symlink" || kind === "hard-link") this.#links.add(path);
    if (kind !== "file") return false;
    this.#files.set(path, { content: await readSmall(content, path), entry });
    return true;
  }

  get(path: string): DeferredFile | undefined {
    return this.#files.get(path);
  }

  /** Returns all files, in the order of their arrival. */
  all(): Iterable<DeferredFile> {
    return this.#files.values();
  }

  /** Returns the first of the paths whose last entry is a link. */
  link(): string | undefined {
    return this.#paths.find((path) => this.#links.has(path));
  }
}

async function readSmall(content: AsyncIterable<Buffer>, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > MAX_DOCKERFILE) {
      throw new Refusal("dockerfile.size", `${textOfPath(path)} is larger than ${MAX_DOCKERFILE} bytes`, {
        statusCode: 413,
      });
    }
    // Copied, because it may be a small part of a large buffer.
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}
