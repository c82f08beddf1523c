import type { Exit } from "../../child-process/exit.ts";

/** Thrown when the program behind a connection cannot be started or fails. */
export class DialError extends Error {
  override readonly name = "DialError";
  /** Its exit status; undefined if a signal ended it or it could not be started. */
  readonly status: number | undefined;
  /** Whether the program is not installed. */
  readonly missing: boolean;

  constructor(message: string, exit: Exit) {
    super(message, { cause: exit.error });
    this.status = exit.status;
    this.missing = exit.error?.code === "ENOENT";
  }
}
