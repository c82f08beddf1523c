import type { IncomingMessage } from "node:http";
import { DistributionError } from "../http/distribution-error.ts";
import { readContentRange } from "../pull/range.ts";
import type { BeforeChunk } from "./push-policy.ts";
import { announcedLength, bodyOf } from "../http/request-body.ts";
import type { UploadFile } from "./upload-spool.ts";

export interface UploadOptions {
  /** The maximum bytes. */
  limit: number;
  /** Called for each chunk that has been written. */
  onBytes: () => void;
  beforeChunk?: BeforeChunk;
}

/** An upload (spec, "Pushing blobs"). Writes its bytes to a file of the spool. */
export class Upload {
  readonly id: string;
  readonly file: UploadFile;
  readonly #options: UploadOptions;
  /** The request that is appending; there is only one at a time. */
  #appending: IncomingMessage | undefined;

  constructor(id: string, file: UploadFile, options: UploadOptions) {
    this.id = id;
    this.file = file;
    this.#options = options;
  }

  /** The value of the `Range` header. It cannot express an empty upload. */
  get range(): string {
    return `0-${Math.max(0, this.file.size - 1)}`;
  }

  /**
   * Appends a request's body. Throws a {@link DistributionError}: with status 416, nothing was written, and the upload continues; with any
   * other status, the upload is lost. Rejects with the connection's error if the client closes it.
   */
  async append(request: IncomingMessage): Promise<void> {
    this.refuseWhileAppending();
    const { limit, onBytes, beforeChunk } = this.#options;
    const bodyLength = announcedLength(request);
    const rangeLength = this.#rangeLength(request.headers["content-range"]);
    if (rangeLength !== undefined && bodyLength !== undefined && bodyLength !== rangeLength) throw wrongLength();
    if (this.file.size + (bodyLength ?? 0) > limit) throw tooLarge(limit);
    this.#appending = request;
    try {
      const before = this.file.size;
      for await (const bytes of bodyOf(request)) {
        if (this.file.size + bytes.length > limit) throw tooLarge(limit);
        await beforeChunk?.();
        await this.file.write(bytes);
        onBytes();
      }
      if (rangeLength !== undefined && this.file.size - before !== rangeLength) throw wrongLength();
    } finally {
      this.#appending = undefined;
    }
  }

  /** Throws a {@link DistributionError} while a request appends. */
  refuseWhileAppending(): void {
    if (this.#appending === undefined) return;
    throw new DistributionError(416, "BLOB_UPLOAD_INVALID", "another request appends to this upload");
  }

  /** Closes the connection of the request that is appending, if any. */
  interrupt(): void {
    this.#appending?.destroy();
  }

  /** Returns the length that a Content-Range header announces. Throws if the range does not begin at the end of the upload. */
  #rangeLength(header: string | undefined): number | undefined {
    if (header === undefined) return undefined;
    const range = readContentRange(header);
    if (range?.first === this.file.size) return range.last - range.first + 1;
    throw new DistributionError(416, "BLOB_UPLOAD_INVALID", `the next byte is ${this.file.size}`);
  }
}

function tooLarge(limit: number): DistributionError {
  return new DistributionError(413, "SIZE_INVALID", `an upload may have at most ${limit} bytes`);
}

function wrongLength(): DistributionError {
  return new DistributionError(400, "SIZE_INVALID", "the body does not have the announced length");
}
