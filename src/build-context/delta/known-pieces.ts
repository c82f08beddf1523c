import { hash } from "node:crypto";
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "../../files/cache-folder.ts";
import { isOwn, isPrivate, openPrivateFolder } from "../../files/private-folder.ts";
import { hexOf, type Digest } from "../../image/digest.ts";
import { partialFile, removePartialFiles } from "../../run/partial-file.ts";
import type { RunId } from "../../run/run-id.ts";
import type { ContextFile } from "../build-context.ts";
import { changedAt } from "../folder/fingerprint.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import type { ListedEntry } from "./listing.ts";
import { DIGEST_BYTES, type Piece } from "./piece.ts";

/** The folder of known pieces in the cache folder: a file for each project. */
export const KNOWN_PIECES_FOLDER = "pieces";
const MAGIC = Buffer.from("dosmem 1");
/** The maximum size of a file in bytes. For a million files, it has 60 MB. */
const MAX_BYTES = 256 * 1024 * 1024;
/** A file is removed this many ms after its last use. */
const MAX_AGE = 30 * 24 * 3600_000;
/** Bytes of a key: enough to make equal keys of two files of a user improbable. */
const KEY_BYTES = 16;
/**
 * ms in which a file may change twice with the same timestamps: those of FAT have steps of two seconds. The next run reads a file again if
 * it changed less than this before the listing, as git does ("racy git").
 */
const RACY = 2000;

export interface KnownPiecesOptions {
  env: NodeJS.ProcessEnv;
  runId: RunId;
  /** The key of the project */
  project: Digest;
  /**
   * A time before the first file was listed, in ms since the epoch. The fingerprints of files that changed shortly before it, or later, are
   * not trusted. Default: the start of this process
   */
  listedAt?: number;
}

/**
 * The pieces of a project's files in the last run, by path and fingerprint: files that have not changed since need not be read again. The
 * cache folder has one file with them for each project. It is only an optimisation: if it is missing or damaged, all files of the project
 * are read.
 */
export class KnownPieces {
  /** The pieces of the last listing, which the receiver probably has. */
  readonly listing = new Set<string>();
  readonly #path: string | undefined;
  readonly #runId: RunId;
  readonly #listedAt: number;
  readonly #pieces = new Map<string, readonly Piece[]>();
  /** By path */
  readonly #keys = new Map<string, string>();

  private constructor(path: string | undefined, runId: RunId, listedAt: number) {
    this.#path = path;
    this.#runId = runId;
    this.#listedAt = listedAt;
  }

  /** Reads the known pieces of a project. Never rejects. */
  static async open({
    env,
    runId,
    project,
    listedAt = performance.timeOrigin,
  }: KnownPiecesOptions): Promise<KnownPieces> {
    const folder = await openFolder(env).catch(() => undefined);
    const known = new KnownPieces(folder && join(folder, hexOf(project)), runId, listedAt);
    if (folder !== undefined) await removeOld(folder);
    await known.#load().catch(() => known.#clear()); // a damaged file counts as empty
    return known;
  }

  get isEmpty(): boolean {
    return this.#pieces.size === 0;
  }

  /** Returns the pieces of a file that has not changed since the last run; undefined for any other file. */
  piecesOf(file: ContextFile): readonly Piece[] | undefined {
    return file.fingerprint === undefined ? undefined : this.#pieces.get(this.#keyOf(file));
  }

  /** Replaces the file for the next run. Never rejects. */
  async save(entries: readonly ListedEntry[], listing: readonly Piece[]): Promise<void> {
    if (this.#path === undefined) return;
    try {
      if (this.#isSame(entries, listing)) {
        const now = new Date();
        await utimes(this.#path, now, now);
        return;
      }
      const bytes = this.#encode(entries, listing);
      const part = partialFile(this.#path, this.#runId);
      await writeFile(part, bytes, { flag: "wx", mode: 0o600 });
      await rename(part, this.#path);
    } catch {
      // the next run reads more
    }
  }

  /** Removes the file, because it was wrong. Never rejects. */
  async forget(): Promise<void> {
    if (this.#path !== undefined) await rm(this.#path, { force: true }).catch(() => {});
  }

  async #load(): Promise<void> {
    if (this.#path === undefined) return;
    await using file = await open(this.#path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    const { size } = await file.stat();
    if (size > MAX_BYTES) return;
    const bytes = await file.readFile();
    const body = bytes.subarray(MAGIC.length + DIGEST_BYTES);
    const check = bytes.toString("latin1", MAGIC.length, MAGIC.length + DIGEST_BYTES);
    if (!bytes.subarray(0, MAGIC.length).equals(MAGIC) || checkOf(body) !== check) return;
    const from = new ByteReader(body);
    for (const { digest } of readPieces(from)) this.listing.add(digest);
    while (from.left > 0) this.#pieces.set(from.text(KEY_BYTES), readPieces(from));
  }

  /** Returns whether the pieces on disk already equal the new ones. A file that had changed too recently to be stored counts as new. */
  #isSame(entries: readonly ListedEntry[], listing: readonly Piece[]): boolean {
    if (listing.length !== this.listing.size || listing.some(({ digest }) => !this.listing.has(digest))) return false;
    let known = 0;
    for (const entry of entries) {
      if (entry.kind !== "file" || entry.size === 0 || entry.fingerprint === undefined) continue;
      if (!this.#pieces.has(this.#keyOf(entry))) return false;
      known += 1;
    }
    return known === this.#pieces.size;
  }

  #clear(): void {
    this.listing.clear();
    this.#pieces.clear();
  }

  #encode(entries: readonly ListedEntry[], listing: readonly Piece[]): Buffer {
    const to = new ByteWriter(64 * entries.length + 1024);
    to.bytes(MAGIC);
    to.bytes(Buffer.alloc(DIGEST_BYTES));
    writePieces(to, listing);
    for (const entry of entries) {
      if (
        entry.kind !== "file" ||
        entry.size === 0 ||
        entry.fingerprint === undefined ||
        this.#isRacy(entry.fingerprint)
      )
        continue;
      to.text(this.#keyOf(entry));
      writePieces(to, entry.pieces);
    }
    const bytes = to.take();
    bytes.write(checkOf(bytes.subarray(MAGIC.length + DIGEST_BYTES)), MAGIC.length, "latin1");
    return bytes;
  }

  #isRacy(fingerprint: string): boolean {
    return changedAt(fingerprint) / 1000 > this.#listedAt - RACY;
  }

  #keyOf(file: ContextFile): string {
    const known = this.#keys.get(file.path);
    if (known !== undefined) return known;
    const key = hash("sha256", `${file.path}\0${file.fingerprint}`, "binary").slice(0, KEY_BYTES);
    this.#keys.set(file.path, key);
    return key;
  }
}

async function openFolder(env: NodeJS.ProcessEnv): Promise<string> {
  const cache = cacheFolder(env);
  if (cache === undefined) throw new Error("there is no cache folder");
  const folder = join(openPrivateFolder(cache, { make: true }), KNOWN_PIECES_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  if (!found.isDirectory() || (process.platform !== "win32" && !isPrivate(found))) throw new Error("it is not private");
  return folder;
}

async function removeOld(folder: string): Promise<void> {
  await removePartialFiles(folder);
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() && isOwn(found) && Date.now() - found.mtimeMs > MAX_AGE) {
      await rm(path, { force: true }).catch(() => {});
    }
  }
}

function writePieces(to: ByteWriter, pieces: readonly Piece[]): void {
  to.number(pieces.length);
  for (const { size, digest } of pieces) {
    to.number(size);
    to.text(digest);
  }
}

function readPieces(from: ByteReader): Piece[] {
  const pieces: Piece[] = [];
  for (let left = from.number(); left > 0; left -= 1) {
    pieces.push({ size: from.number(), digest: from.text(DIGEST_BYTES) });
  }
  return pieces;
}

function checkOf(body: Uint8Array): string {
  return hash("sha256", body, "binary");
}
