import type { IncomingMessage } from "node:http";
import { DistributionError } from "./distribution-error.ts";
import { readContentRange } from "./range.ts";
import type { BeforeChunk } from "./push-policy.ts";
import { announcedLength, bodyOf } from "./request-body.ts";
import type { UploadFile } from "./upload-spool.ts";

/** An upload under way (spec, "Pushing blobs"): its bytes go to a file of the spool as they come. */
export class Upload {
  readonly id: string;
  readonly file: UploadFile;
  readonly #limit: number;
  readonly #onBytes: () => void;
  readonly #proxy: BeforeChunk | undefined;
  /** The one request that may append at a time. */
  #appending: IncomingMessage | undefined;

  /** `limit`: bytes at most. `onBytes`: some have come. `gate`: each chunk goes through it. */
  constructor(
    id: string,
    file: UploadFile,
    { limit, onBytes, proxy }: { limit: number; onBytes: () => void; proxy?: BeforeChunk },
  ) {
    this.id = id;
    this.file = file;
    this.#limit = limit;
    this.#onBytes = onBytes;
    this.#proxy = proxy;
  }

  /** As the `Range` header tells it; an upload of nothing yet has no form of its own there. */
  get range(): string {
    return `0-${Math.max(0, this.file.size - 1)}`;
  }

  /**
   * Appends the body of a request. Throws a {@link DistributionError}: with 416 before anything was written, and the upload
   * goes on; else it is of no use any more. Rejects with the connection's error when the client went away.
   */
  async append(request: IncomingMessage): Promise<void> {
    this.needIdle();
    const length = announcedLength(request);
    const chunk = this.#location(request.headers["content-range"]);
    if (chunk !== undefined && length !== undefined && length !== chunk) throw sizeLies();
    if (this.file.size + (length ?? 0) > this.#limit) throw this.#tooLarge();
    this.#appending = request;
    try {
      const before = this.file.size;
      for await (const bytes of bodyOf(request)) {
        if (this.file.size + bytes.length > this.#limit) throw this.#tooLarge();
        await this.#proxy?.();
        await this.file.write(bytes);
        this.#onBytes();
      }
      if (chunk !== undefined && this.file.size - before !== chunk) throw sizeLies();
    } finally {
      this.#appending = undefined;
    }
  }

  /** Throws a {@link DistributionError} while a chunk is on its way. */
  needIdle(): void {
    if (this.#appending === undefined) return;
    throw new DistributionError(416, "BLOB_UPLOAD_INVALID", "another chunk of this upload is on its way");
  }

  /** Breaks the connection that is sending, if one is. */
  interrupt(): void {
    this.#appending?.destroy();
  }

  /** The length that a Content-Range announces, when it begins where the upload is. */
  #location(header: string | undefined): number | undefined {
    if (header === undefined) return undefined;
    const range = readContentRange(header);
    if (range?.first === this.file.size) return range.last - range.first + 1;
    throw new DistributionError(416, "BLOB_UPLOAD_INVALID", `the next byte is ${this.file.size}`);
  }

  #tooLarge(): DistributionError {
    return new DistributionError(413, "SIZE_INVALID", `an upload may have ${this.#limit} bytes`);
  }
}

function sizeLies(): DistributionError {
  return new DistributionError(400, "SIZE_INVALID", "the length is not the one that was announced");
}
