/** The program behind a connection could not be started, or ended with anything but success. */
export class DialError extends Error {
  override readonly name = "DialError";
  /** Its exit status; undefined when a signal ended it or it never started. */
  readonly status: number | undefined;
  /** It is not installed. */
  readonly missing: boolean;

  constructor(message: string, ended: Ended) {
    super(message, { cause: ended.error });
    this.status = ended.status;
    this.missing = ended.error?.code === "ENOENT";
  }
}

/** How a program has ended. */
export interface Ended {
  status?: number | undefined;
  signal?: string | undefined;
  /** It could not be started. */
  error?: NodeJS.ErrnoException | undefined;
}
