import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Failure } from "../../output/errors.ts";
import { commonCodec } from "../../packing/codecs.ts";
import { PacedPacker } from "../../packing/paced-packer.ts";
import { resolveWithin } from "../../streams/resolve-within.ts";
import type { BuildContext, ContextFile } from "../build-context.ts";
import { readAhead } from "../read-ahead.ts";
import { batchPieces } from "./batch-pieces.ts";
import { cutListing, wantedPieces, withoutContent } from "./cut-content.ts";
import { encodeListing } from "./encode-listing.ts";
import { encodeMessage, type FarMessage, type NearMessage } from "./exchange-messages.ts";
import { incomingMessages, toldFailure, unexpected } from "./inbox.ts";
import { listContext } from "./list-context.ts";
import { distinctPieces, MAX_LISTING, type ListedEntry, type ListedFile } from "./listing.ts";
import type { PieceMemory } from "./piece-memory.ts";
import type { FilledPiece } from "./piece.ts";

/** Bytes of new pieces that are sent before they are asked for, which saves two round trips. */
const UNASKED = 1024 * 1024;

/** ms in which a failure must reach the other side. */
const FAREWELL = 5000;

/** How far the sending of a context is. All are bytes of content, before packing. */
export interface SendProgress {
  /** Of files whose pieces are known */
  listed: number;
  /** Of pieces that were sent, with those of the listing */
  sent: number;
  /** Of pieces of files that the other side lacks; undefined until it has told */
  wanted: number | undefined;
}

export interface SendContextOptions {
  /** Left out: all files are read. */
  memory?: PieceMemory | undefined;
  signal: AbortSignal;
  onProgress?: ((progress: SendProgress) => void) | undefined;
}

/**
 * Sends a context over a stream to `receiveContext`, which gets what it lacks. Resolves when the other side has all of it. Ends the stream;
 * the context stays open. Throws `context-invalid` for a file that changes meanwhile, the other side's failure, `link-lost` for a stream
 * that ends early, and the signal's reason.
 */
export async function sendContext(
  stream: Duplex,
  context: BuildContext,
  options: SendContextOptions,
): Promise<SendProgress> {
  stream.on("error", () => {}); // reading and writing report it
  const sender = new ContextSender(stream, context, options);
  try {
    await sender.run();
    return sender.progress;
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

class ContextSender {
  readonly progress: SendProgress = { listed: 0, sent: 0, wanted: undefined };
  readonly #stream: Duplex;
  readonly #context: BuildContext;
  readonly #options: SendContextOptions;
  readonly #incoming: AsyncGenerator<NearMessage | FarMessage>;
  /** Aborted when the other side has failed, or the stream has. */
  readonly #broken = new AbortController();
  readonly #signal: AbortSignal;
  readonly #entries: ListedEntry[] = [];
  /** The next message, which is awaited even while pieces are sent: it may be a failure. */
  #next: Promise<IteratorResult<NearMessage | FarMessage, unknown>>;
  #failure: { error: unknown } | undefined;
  /** The other side has all. */
  #isDone = false;
  #keeping: Promise<void> | undefined;

  constructor(stream: Duplex, context: BuildContext, options: SendContextOptions) {
    this.#stream = stream;
    this.#context = context;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#broken.signal]);
    this.#incoming = incomingMessages(stream);
    this.#next = this.#listen();
  }

  async run(): Promise<void> {
    try {
      await pipeline(this.#packed(), this.#stream, { signal: this.#signal });
    } catch (error) {
      if (this.#isDone) return await this.#keeping; // HTTP/2 may close a stream before it emits "finish"
      this.#signal.throwIfAborted(); // the true reason
      throw this.#failure?.error ?? error;
    }
    if (this.#failure === undefined) return;
    await resolveWithin(
      FAREWELL,
      this.#next.catch(() => {}),
    ); // until the other side has read it
    throw this.#failure.error;
  }

  async *#packed(): AsyncGenerator<Buffer> {
    const { memory } = this.#options;
    // Only a side that has kept nothing gets pieces at once; otherwise, they are found out while its first message is on its way.
    const early = memory === undefined || memory.isEmpty ? undefined : this.#list();
    early?.catch(() => {}); // awaited below
    const hello = await this.#receive("hello");
    const packer = new PacedPacker({ codec: commonCodec(hello.codecs) });
    yield* packer.pack(this.#messages(hello.isEmpty, early), { blockPerChunk: true });
  }

  /** Tells the other side of a failure of this one. */
  async *#messages(isEmpty: boolean, early?: Promise<FilledPiece[]>): AsyncGenerator<Buffer> {
    try {
      yield* this.#story(isEmpty, early);
    } catch (error) {
      this.#failure = { error };
      if (this.#signal.aborted) throw error;
      if (error instanceof Failure && error.code === "context-invalid") await this.#options.memory?.forget();
      yield encodeMessage({ type: "failure", failure: toldFailure(error) });
    }
  }

  async *#story(isEmpty: boolean, early?: Promise<FilledPiece[]>): AsyncGenerator<Buffer> {
    const { memory } = this.#options;
    if (early === undefined && isEmpty) yield* this.#send(contentsOf(this.#listed()));
    else yield* this.#send(contentsOf(await (early ?? this.#list())));
    const listing = this.#cutListing();
    this.#keeping = memory?.keep(this.#entries, listing.map(withoutContent));
    yield* this.#send(contentsOf(isEmpty ? listing : this.#likelyMissing(listing)));

    yield encodeMessage({ type: "listing", pieces: listing.map(withoutContent) });
    yield* this.#send(contentsOf(await this.#wanted(() => listing)));

    const wanted = await this.#wanted(() => distinctPieces(this.#entries));
    this.progress.wanted = wanted.reduce((sum, { size }) => sum + size, 0);
    yield* this.#send(this.#contents(new Set(wanted.map(({ digest }) => digest))));
    await this.#receive("done");
    this.#isDone = true;
    await this.#keeping;
  }

  async *#listed(): AsyncGenerator<FilledPiece> {
    const { memory } = this.#options;
    const sent = new Set<string>();
    for await (const piece of listContext(this.#context, this.#entries, { memory, signal: this.#signal })) {
      this.#report({ listed: piece.content.length });
      if (!sent.has(piece.digest)) yield piece;
      sent.add(piece.digest);
    }
  }

  /** Lists the context. Returns the pieces that are new since the last run, if they are few. */
  async #list(): Promise<FilledPiece[]> {
    const found: FilledPiece[] = [];
    let bytes = 0;
    for await (const piece of this.#listed()) {
      bytes += piece.content.length;
      if (bytes <= UNASKED) found.push(piece);
    }
    const { memory } = this.#options;
    return memory === undefined || memory.isEmpty || bytes > UNASKED ? [] : found;
  }

  /** The pieces of the listing that the other side did not get in the last run: sent unasked, they save a round trip. */
  #likelyMissing(listing: readonly FilledPiece[]): FilledPiece[] {
    const { memory } = this.#options;
    return memory === undefined || memory.isEmpty ? [] : listing.filter(({ digest }) => !memory.listing.has(digest));
  }

  #cutListing(): FilledPiece[] {
    const bytes = encodeListing(this.#entries);
    if (bytes.length <= MAX_LISTING) return cutListing(bytes);
    throw new Failure("context-invalid", `the context has too many files: ${this.#entries.length} entries`, {
      expected: "a million at most",
      hint: "Leave out what the build does not need (.dockerignore).",
    });
  }

  async *#contents(wanted: Set<string>): AsyncGenerator<Buffer> {
    if (wanted.size === 0) return;
    const listed = new Map<ContextFile, ListedFile>();
    const { entries } = this.#context;
    const listings = this.#entries;
    function* files(): Generator<ContextFile> {
      for (const [at, entry] of listings.entries()) {
        if (entry.kind !== "file" || !entry.pieces.some(({ digest }) => wanted.has(digest))) continue;
        listed.set(entries[at] as ContextFile, entry);
        yield entries[at] as ContextFile;
      }
    }
    for await (const { file, chunks } of readAhead(this.#context, files(), this.#signal)) {
      const isWanted = (digest: string): boolean => wanted.delete(digest);
      yield* wantedPieces(listed.get(file) as ListedFile, chunks, isWanted);
      listed.delete(file);
    }
  }

  async *#send(contents: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Buffer> {
    for await (const batch of batchPieces(contents)) {
      yield encodeMessage({ type: "pieces", contents: batch });
      this.#report({ sent: batch.reduce((sum, { length }) => sum + length, 0) });
    }
  }

  /** Returns those of the pieces that the other side asks for. */
  async #wanted<T>(all: () => readonly T[]): Promise<T[]> {
    const wanted: T[] = [];
    let pieces: readonly T[] | undefined;
    for (;;) {
      const { numbers, isLast } = await this.#receive("want");
      if (numbers.length > 0) pieces ??= all();
      for (const number of numbers) {
        const piece = pieces?.[number];
        if (piece === undefined || wanted.length === pieces?.length) throw unexpected({ type: "want" });
        wanted.push(piece);
      }
      if (isLast) return wanted;
    }
  }

  async #receive<T extends FarMessage["type"]>(type: T): Promise<FarMessage & { type: T }> {
    const { done, value } = await this.#next;
    this.#next = this.#listen();
    const message = done === true ? undefined : value;
    if (message?.type !== type) throw unexpected(message);
    return message as FarMessage & { type: T };
  }

  #listen(): Promise<IteratorResult<NearMessage | FarMessage, unknown>> {
    const next = this.#incoming.next();
    next.catch((error: unknown) => this.#broken.abort(error));
    return next;
  }

  #report({ listed = 0, sent = 0 }: { listed?: number; sent?: number }): void {
    this.progress.listed += listed;
    this.progress.sent += sent;
    this.#options.onProgress?.(this.progress);
  }
}

async function* contentsOf(pieces: AsyncIterable<FilledPiece> | Iterable<FilledPiece>): AsyncGenerator<Uint8Array> {
  for await (const { content } of pieces) yield content;
}
