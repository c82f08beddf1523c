import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Failure } from "../../output/errors.ts";
import { commonCodec } from "../../packing/codecs.ts";
import { PacedPacker } from "../../packing/paced-packer.ts";
import { resolveWithin } from "../../streams/resolve-within.ts";
import type { BuildContext, ContextFile } from "../build-context.ts";
import { readAhead } from "../read-ahead.ts";
import { groupPieces } from "./group-pieces.ts";
import { cutListing, wantedPieces, withoutContent } from "./cut-content.ts";
import { encodeListing } from "./encode-listing.ts";
import { encodeMessage, type ContextReceiverMessage, type ContextSenderMessage } from "./exchange-messages.ts";
import { FAILURE_DELIVERY_TIMEOUT, failureToSend, incomingMessages, unexpected } from "./incoming-messages.ts";
import type { KnownPieces } from "./known-pieces.ts";
import { listContext } from "./list-context.ts";
import { distinctPieces, MAX_LISTING, type ListedEntry, type ListedFile } from "./listing.ts";
import type { FilledPiece } from "./piece.ts";

/** Bytes of new pieces that are sent before they are requested, which saves two round trips. */
const MAX_UNREQUESTED = 1024 * 1024;

/** The progress of sending a context. All numbers are bytes of content, before packing. */
export interface SendProgress {
  /** Bytes of files whose pieces are known */
  listed: number;
  /** Bytes of pieces that were sent, including the pieces of the listing */
  sent: number;
  /** Bytes of pieces of files that the other side requests; undefined until it has done so */
  wanted: number | undefined;
}

export interface SendContextOptions {
  /** If undefined, all files are read. */
  known?: KnownPieces | undefined;
  signal: AbortSignal;
  onProgress?: ((progress: SendProgress) => void) | undefined;
}

/**
 * Sends a context over a stream to `receiveContext`, which requests the pieces that it lacks. Resolves when the other side has the whole
 * context. Ends the stream. The context stays open. Throws `context-invalid` for a file that changes during the transfer, the other side's
 * failure, `link-lost` for a stream that ends early, and the signal's reason.
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
  readonly #incoming: AsyncGenerator<ContextSenderMessage | ContextReceiverMessage>;
  /** Aborted when the other side or the stream has failed. */
  readonly #broken = new AbortController();
  readonly #signal: AbortSignal;
  readonly #entries: ListedEntry[] = [];
  /** The next message. It is awaited even while pieces are sent, because it may be a failure. */
  #next: Promise<IteratorResult<ContextSenderMessage | ContextReceiverMessage, unknown>>;
  #failure: { error: unknown } | undefined;
  /** The other side has the whole context. */
  #isDone = false;
  #savingPieces: Promise<void> | undefined;

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
      if (this.#isDone) return await this.#savingPieces; // HTTP/2 may close a stream before it emits "finish"
      this.#signal.throwIfAborted(); // the true reason
      throw this.#failure?.error ?? error;
    }
    if (this.#failure === undefined) return;
    await resolveWithin(
      FAILURE_DELIVERY_TIMEOUT,
      this.#next.catch(() => {}),
    ); // until the other side has read it
    throw this.#failure.error;
  }

  async *#packed(): AsyncGenerator<Buffer> {
    const { known } = this.#options;
    // If the other side probably has a stored context, list the files while its first message is on its way. Otherwise, it gets the pieces
    // as they are read.
    const early = known === undefined || known.isEmpty ? undefined : this.#list();
    early?.catch(() => {}); // awaited below
    const hello = await this.#receive("hello");
    const packer = new PacedPacker({ codec: commonCodec(hello.codecs) });
    yield* packer.pack(this.#messages(hello.isEmpty, early), { blockPerChunk: true });
  }

  /** Yields the messages of this side. Sends a failure of this side to the other one. */
  async *#messages(isEmpty: boolean, early?: Promise<FilledPiece[]>): AsyncGenerator<Buffer> {
    try {
      yield* this.#exchange(isEmpty, early);
    } catch (error) {
      this.#failure = { error };
      if (this.#signal.aborted) throw error;
      if (error instanceof Failure && error.code === "context-invalid") await this.#options.known?.forget();
      yield encodeMessage({ type: "failure", failure: failureToSend(error) });
    }
  }

  async *#exchange(isEmpty: boolean, early?: Promise<FilledPiece[]>): AsyncGenerator<Buffer> {
    const { known } = this.#options;
    if (early === undefined && isEmpty) yield* this.#send(contentsOf(this.#listed()));
    else yield* this.#send(contentsOf(await (early ?? this.#list())));
    const listing = this.#cutListing();
    this.#savingPieces = known?.save(this.#entries, listing.map(withoutContent));
    yield* this.#send(contentsOf(isEmpty ? listing : this.#likelyMissing(listing)));

    yield encodeMessage({ type: "listing", pieces: listing.map(withoutContent) });
    yield* this.#send(contentsOf(await this.#wanted(() => listing)));

    const wanted = await this.#wanted(() => distinctPieces(this.#entries));
    this.progress.wanted = wanted.reduce((sum, { size }) => sum + size, 0);
    yield* this.#send(this.#contents(new Set(wanted.map(({ digest }) => digest))));
    await this.#receive("done");
    this.#isDone = true;
    await this.#savingPieces;
  }

  async *#listed(): AsyncGenerator<FilledPiece> {
    const { known } = this.#options;
    const sent = new Set<string>();
    for await (const piece of listContext(this.#context, this.#entries, { known, signal: this.#signal })) {
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
      if (bytes <= MAX_UNREQUESTED) found.push(piece);
    }
    const { known } = this.#options;
    return known === undefined || known.isEmpty || bytes > MAX_UNREQUESTED ? [] : found;
  }

  /** Returns the pieces of the listing that were not sent in the last run. Sending them before they are requested saves a round trip. */
  #likelyMissing(listing: readonly FilledPiece[]): FilledPiece[] {
    const { known } = this.#options;
    return known === undefined || known.isEmpty ? [] : listing.filter(({ digest }) => !known.listing.has(digest));
  }

  #cutListing(): FilledPiece[] {
    const bytes = encodeListing(this.#entries);
    if (bytes.length <= MAX_LISTING) return cutListing(bytes);
    throw new Failure("context-invalid", `the context has too many files: ${this.#entries.length} entries`, {
      expected: "a million at most",
      hint: "Exclude files that the build does not need (.dockerignore).",
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
    for await (const group of groupPieces(contents)) {
      yield encodeMessage({ type: "pieces", contents: group });
      this.#report({ sent: group.reduce((sum, { length }) => sum + length, 0) });
    }
  }

  /** Returns the pieces that the other side requests. */
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

  async #receive<T extends ContextReceiverMessage["type"]>(type: T): Promise<ContextReceiverMessage & { type: T }> {
    const { done, value } = await this.#next;
    this.#next = this.#listen();
    const message = done === true ? undefined : value;
    if (message?.type !== type) throw unexpected(message);
    return message as ContextReceiverMessage & { type: T };
  }

  #listen(): Promise<IteratorResult<ContextSenderMessage | ContextReceiverMessage, unknown>> {
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
