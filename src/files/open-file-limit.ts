import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";

/** EMFILE: this process has reached its limit of open files, pipes and connections (`ulimit -n`); ENFILE: the machine has. */
const CODES = new Set<unknown>(["EMFILE", "ENFILE"]);

/** File descriptors that are needed to start a program: two for each of its pipes, and some that Node opens. */
const FOR_A_PROGRAM = 10;

/** Returns the error that reports the limit of open files, among `error` and its causes; undefined if there is none. */
export function openFileLimitError(error: unknown): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  return CODES.has((error as NodeJS.ErrnoException).code) ? error : openFileLimitError(error.cause);
}

/**
 * Checks that enough file descriptors are left to start a program. Throws the file system's error. execa (9.6) throws a TypeError instead,
 * and the process then ends with an error that cannot be caught.
 */
export function checkOpenFileLimit(): void {
  const files: number[] = [];
  try {
    while (files.length < FOR_A_PROGRAM) files.push(openSync(devNull, "r"));
  } finally {
    for (const file of files) closeSync(file);
  }
}
