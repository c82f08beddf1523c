import { randomUUID } from "node:crypto";
import { DistributionError } from "./distribution-error.ts";
import type { PushPolicy, PushObserver, BeforeChunk } from "./push-policy.ts";
import type { UploadSpool, SpooledBlob } from "./upload-spool.ts";
import { Upload } from "./upload.ts";

/** Engines send 3 to 6 blobs at once, and each upload holds a file open. */
const MAX_UPLOADS = 32;

/** A repository that takes pushes, for as long as somebody wants them. */
export class PushSession implements AsyncDisposable {
  readonly policy: PushPolicy;
  readonly observer: PushObserver;
  readonly #spool: UploadSpool;
  readonly #uploads = new Map<string, Upload>();
  #opening = 0;
  #closed = false;

  constructor(policy: PushPolicy, observer: PushObserver, spool: UploadSpool) {
    this.policy = policy;
    this.observer = observer;
    this.#spool = spool;
  }

  /** Begins an upload, of which there may be so many at once. */
  async open(proxy?: BeforeChunk): Promise<Upload> {
    if (this.#uploads.size + this.#opening >= MAX_UPLOADS) {
      throw new DistributionError(429, "TOOMANYREQUESTS", `there are ${MAX_UPLOADS} uploads already`);
    }
    this.#opening++;
    const file = await this.#spool.create().finally(() => this.#opening--);
    const upload = new Upload(randomUUID(), file, {
      limit: this.policy.maxUpload ?? Infinity,
      onBytes: () => this.observer.active?.(),
      ...(proxy !== undefined && { proxy }),
    });
    if (!this.#closed) return this.#keep(upload);
    await this.cancel(upload);
    throw new DistributionError(403, "DENIED", "nothing is taken here any more");
  }

  #keep(upload: Upload): Upload {
    this.#uploads.set(upload.id, upload);
    return upload;
  }

  find(id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload === undefined) throw new DistributionError(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload");
    return upload;
  }

  /** Ends an upload and hands its blob to the policy. */
  async finish(upload: Upload, digest: string): Promise<SpooledBlob> {
    upload.needIdle();
    this.#uploads.delete(upload.id);
    const blob = await upload.file.finish();
    try {
      if (blob.digest !== digest) {
        throw new DistributionError(400, "DIGEST_INVALID", `what came is ${blob.digest}, not ${digest}`);
      }
      await this.policy.received(blob);
      return blob;
    } catch (error) {
      await blob.remove();
      throw error;
    }
  }

  /** Gives an upload up: its file goes, and so does the connection that is still sending it. */
  async cancel(upload: Upload): Promise<void> {
    this.#uploads.delete(upload.id);
    upload.interrupt();
    await upload.file.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const upload of this.#uploads.values()) await this.cancel(upload);
  }
}
