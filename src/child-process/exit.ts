import { messageOf } from "../output/errors.ts";

/** How a program ended. */
export interface Exit {
  /** Its exit status; undefined when a signal ended it or it could not be started. */
  status?: number | undefined;
  signal?: string | undefined;
  /** It could not be started; `ENOENT`: there is no such program. */
  error?: NodeJS.ErrnoException | undefined;
}

/** Returns the predicate of a sentence about the program, e.g. `ended with status 255`. `undefined` means that it has not ended yet. */
export function describeExit(exit: Exit | undefined): string {
  if (exit === undefined) return "is still running";
  if (exit.error !== undefined) return `could not be started (${messageOf(exit.error)})`;
  return exit.signal ? `was ended by ${exit.signal}` : `ended with status ${exit.status}`;
}
