import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";

/** EMFILE: this process may open no more files, pipes and connections (`ulimit -n`); ENFILE: the machine may not. */
const CODES = new Set<unknown>(["EMFILE", "ENFILE"]);

/** What a program that is started takes of them: two for each of its pipes, and some that Node opens beside them. */
const OF_A_PROGRAM = 10;

/** The error among this one and its causes that says that no more files can be opened; undefined without one. */
export function openFileLimitError(error: unknown): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  return CODES.has((error as NodeJS.ErrnoException).code) ? error : openFileLimitError(error.cause);
}

/**
 * Makes sure that a program can be started: else throws the file system's error. execa (9.6) throws a TypeError in its place, and then the
 * process ends by an error that nobody can hear.
 */
export function checkOpenFileLimit(): void {
  const files: number[] = [];
  try {
    while (files.length < OF_A_PROGRAM) files.push(openSync(devNull, "r"));
  } finally {
    for (const file of files) closeSync(file);
  }
}
