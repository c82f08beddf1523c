import { randomUUID } from "node:crypto";
import { DistributionError } from "../http/distribution-error.ts";
import type { PushPolicy, PushObserver, BeforeChunk } from "./push-policy.ts";
import type { UploadSpool, SpooledBlob } from "./upload-spool.ts";
import { Upload } from "./upload.ts";

/** Each upload keeps a file open. Engines upload 3 to 6 blobs at a time. */
const MAX_UPLOADS = 32;

/** A repository that accepts pushes until this is disposed of. */
export class PushSession implements AsyncDisposable {
  readonly policy: PushPolicy;
  readonly observer: PushObserver;
  readonly #spool: UploadSpool;
  readonly #uploads = new Map<string, Upload>();
  #opening = 0;
  #isClosed = false;

  constructor(policy: PushPolicy, observer: PushObserver, spool: UploadSpool) {
    this.policy = policy;
    this.observer = observer;
    this.#spool = spool;
  }

  /** Starts an upload. Throws a {@link DistributionError} if there are too many uploads, or if the session is closed. */
  async startUpload(beforeChunk?: BeforeChunk): Promise<Upload> {
    if (this.#uploads.size + this.#opening >= MAX_UPLOADS) {
      throw new DistributionError(429, "TOOMANYREQUESTS", `there are already ${MAX_UPLOADS} uploads`);
    }
    this.#opening++;
    const file = await this.#spool.create().finally(() => this.#opening--);
    const upload = new Upload(randomUUID(), file, {
      limit: this.policy.maxUpload ?? Infinity,
      onBytes: () => this.observer.active?.(),
      ...(beforeChunk !== undefined && { beforeChunk }),
    });
    if (this.#isClosed) {
      await this.cancel(upload);
      throw new DistributionError(403, "DENIED", "this repository accepts no more pushes");
    }
    this.#uploads.set(upload.id, upload);
    return upload;
  }

  find(id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload === undefined) throw new DistributionError(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload");
    return upload;
  }

  /** Ends an upload, verifies its digest, and passes the blob to the policy. */
  async finish(upload: Upload, digest: string): Promise<SpooledBlob> {
    upload.refuseWhileAppending();
    this.#uploads.delete(upload.id);
    const blob = await upload.file.finish();
    try {
      if (blob.digest !== digest) {
        throw new DistributionError(400, "DIGEST_INVALID", `the upload has the digest ${blob.digest}, not ${digest}`);
      }
      await this.policy.blobReceived(blob);
      return blob;
    } catch (error) {
      await blob.remove();
      throw error;
    }
  }

  /** Ends an upload, closes the connection that sends it, and removes its file. */
  async cancel(upload: Upload): Promise<void> {
    this.#uploads.delete(upload.id);
    upload.interrupt();
    await upload.file.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const upload of this.#uploads.values()) await this.cancel(upload);
  }
}
