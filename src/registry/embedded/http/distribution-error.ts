import type { OutgoingHttpHeaders } from "node:http";

/** The error codes of the OCI distribution spec 1.1 ("Error Codes"), and `UNKNOWN` for an error of this process. */
export type ErrorCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DENIED"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "TOOMANYREQUESTS"
  | "UNAUTHORIZED"
  | "UNKNOWN"
  | "UNSUPPORTED";

/** An error that becomes the answer to a request. Engines show the message to their users. */
export class DistributionError extends Error {
  override readonly name = "DistributionError";
  /** The HTTP status. */
  readonly status: number;
  readonly code: ErrorCode;
  readonly headers: OutgoingHttpHeaders;

  constructor(status: number, code: ErrorCode, message: string, headers: OutgoingHttpHeaders = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }

  /** The error body of the spec. */
  get body(): string {
    return JSON.stringify({ errors: [{ code: this.code, message: this.message }] });
  }
}
