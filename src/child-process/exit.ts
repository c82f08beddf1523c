import { messageOf } from "../output/errors.ts";

/** How a program ended. */
export interface Exit {
  /** Its exit status; undefined when a signal ended it or it could not be started. */
  status?: number | undefined;
  signal?: string | undefined;
  /** It could not be started; `ENOENT`: there is no such program. */
  error?: NodeJS.ErrnoException | undefined;
}

/** Returns whether a shell, here or on a host, has not found the command that it was to run, or may not run it. */
export function isNotFound(exit: Exit | undefined): boolean {
  return exit?.status === 127 || exit?.status === 126;
}

/** Returns the end of a message about a program: its output, if there is any. */
export function withOutput(output: string): string {
  const text = output.trim();
  return text === "" ? "" : `. It printed:\n${text}`;
}

/** Returns the predicate of a sentence about the program, e.g. `ended with status 255`. `undefined` means that it has not ended yet. */
export function describeExit(exit: Exit | undefined): string {
  if (exit === undefined) return "is still running";
  if (exit.error !== undefined) return `could not be started (${messageOf(exit.error)})`;
  return exit.signal ? `was ended by ${exit.signal}` : `ended with status ${exit.status}`;
}
