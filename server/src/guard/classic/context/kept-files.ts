import type { ContextEntry, ContextFile } from "docker-over-ssh/builds";
import { Refusal } from "../../refusal.ts";
import { MAX_DOCKERFILE } from "../dockerfile/logical-lines.ts";
import { textOfPath } from "./entry.ts";

/** A file that is in memory. */
export interface KeptFile {
  content: Buffer;
  entry: ContextFile;
}

/** The files of a context that are kept until all entries have been read: of several with one name, the last counts. */
export class KeptFiles {
  readonly #paths: readonly string[];
  readonly #files = new Map<string, KeptFile>();
  readonly #links = new Set<string>();

  /** @param paths of the files, in the order in which they are looked for */
  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  /** Takes an entry. Resolves with whether it is kept; its content was then read. Throws a Refusal 413 `dockerfile.size`. */
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

  get(path: string): KeptFile | undefined {
    return this.#files.get(path);
  }

  /** All, in the order in which they came */
  all(): Iterable<KeptFile> {
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
    // A copy: it may be a small part of a large chunk.
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}
