import { Failure } from "../../output/errors.ts";
import type { ContextLimits } from "../limits.ts";
import { decodeListing } from "./decode-listing.ts";
import { wantMessages, type ContextReceiverMessage, type ContextSenderMessage } from "./exchange-messages.ts";
import { brokenProtocol, unexpected } from "./incoming-messages.ts";
import { distinctPieces, MAX_LISTING, type ListedEntry } from "./listing.ts";
import type { PieceStore } from "./piece-store.ts";
import { pieceDigest, type FilledPiece, type Piece } from "./piece.ts";

export interface ContextReceiverOptions {
  limits: ContextLimits;
  onProgress?: ((received: number) => void) | undefined;
  /** Sends a message to the other side. */
  send: (message: ContextReceiverMessage) => void;
}

/** The receiving half of an exchange. Tracks which pieces are present, and which have been requested. */
export class ContextReceiver {
  /** The entries of the context, once it is complete. */
  entries: readonly ListedEntry[] | undefined;
  readonly #store: PieceStore;
  readonly #options: ContextReceiverOptions;
  /** The pieces of the listing, once they are known. */
  #listing: readonly Piece[] | undefined;
  #files: readonly Piece[] = [];
  /** Digests of the requested pieces that have not arrived. */
  #missing = new Set<string>();
  #received = 0;

  constructor(store: PieceStore, options: ContextReceiverOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Reads messages until the context is complete. Returns the pieces of files and listing. */
  async receive(messages: AsyncIterable<ContextSenderMessage | ContextReceiverMessage>): Promise<readonly Piece[]> {
    for await (const message of messages) {
      if (message.type === "pieces") await this.#add(message.contents);
      else if (message.type === "listing" && this.#listing === undefined) this.#begin(message.pieces);
      else throw unexpected(message);
      if (this.#listing === undefined || this.#missing.size > 0) continue;
      if (this.entries === undefined) await this.#readListing(this.#listing);
      if (this.#missing.size > 0) continue;
      for (const entry of this.entries ?? []) if (entry.kind === "file") this.#refuseOtherSizes(entry.pieces);
      this.#options.send({ type: "done" });
      return [...this.#listing, ...this.#files];
    }
    throw unexpected(undefined);
  }

  /**
   * Adds pieces to the piece store under their actual digests. A piece with another digest than the announced one counts as not arrived.
   */
  async #add(contents: readonly Uint8Array[]): Promise<void> {
    const fresh = new Map<string, FilledPiece>();
    for (const content of contents) {
      this.#received += content.length;
      const digest = pieceDigest(content);
      this.#missing.delete(digest);
      if (this.#store.sizeOf(digest) === undefined) fresh.set(digest, { digest, content });
    }
    if (this.#received > this.#options.limits.bytes + MAX_LISTING) {
      throw new Failure("context-invalid", "the context has more bytes than are allowed");
    }
    await this.#store.append([...fresh.values()]);
    this.#options.onProgress?.(this.#received);
  }

  #begin(pieces: readonly Piece[]): void {
    if (pieces.reduce((sum, { size }) => sum + size, 0) > MAX_LISTING) {
      throw new Failure("context-invalid", "the listing of the context is too large", {
        expected: "a million files at most",
      });
    }
    this.#listing = pieces;
    this.#request(pieces);
  }

  async #readListing(pieces: readonly Piece[]): Promise<void> {
    this.#refuseOtherSizes(pieces);
    const parts: Buffer[] = [];
    for (const piece of pieces) parts.push(await this.#store.read(piece));
    this.entries = decodeListing(Buffer.concat(parts), this.#options.limits);
    this.#files = distinctPieces(this.entries);
    this.#request(this.#files);
  }

  #request(pieces: readonly Piece[]): void {
    const numbers: number[] = [];
    for (const [number, { digest }] of pieces.entries()) {
      if (this.#store.sizeOf(digest) !== undefined || this.#missing.has(digest)) continue;
      numbers.push(number);
      this.#missing.add(digest);
    }
    for (const message of wantMessages(numbers)) this.#options.send(message);
  }

  /**
   * Refuses a listing with a wrong size for a piece. Pieces are identified by their digests, and a listing of real files never contradicts
   * them.
   */
  #refuseOtherSizes(pieces: readonly Piece[]): void {
    const isOther = ({ digest, size }: Piece): boolean => this.#store.sizeOf(digest) !== size;
    if (pieces.some(isOther)) throw brokenProtocol("a piece has another size than its listing declares");
  }
}
