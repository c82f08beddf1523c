import { bytes as shownBytes } from "../output/describe.ts";
import { Failure } from "../output/errors.ts";
import type { ContextEntry } from "./build-context.ts";
import { MAX_PATH, type ContextLimits } from "./limits.ts";
import { shownPath } from "./paths.ts";

/** Characters of a path that a message shows. */
const SHOWN = 200;

/** Returns the failure for an entry that a context must not have. `path` as in ContextEntry. */
export function invalidEntry(path: string, why: string, text: { expected?: string; hint?: string } = {}): Failure {
  return new Failure("context-invalid", `the context has an entry ${quotedPath(path)}, ${why}`, text);
}

/** Quotes the path of an entry for a message, shortened and without control characters. */
export function quotedPath(path: string): string {
  const shown = shownPath(path);
  return JSON.stringify(shown.length > SHOWN ? `${shown.slice(0, SHOWN)}…` : shown);
}

/**
 * Matches the few paths that may be invalid: those with an empty name, a name of dots alone, or a NUL. Splitting every path takes five
 * times as long.
 */
const SUSPECT = /(?:^|\/)\.{0,2}(?:\/|$)|\0/;

/** Checks the form of a path, which is hostile input. Throws a `context-invalid` Failure. */
export function checkPath(path: string, { depth }: Pick<ContextLimits, "depth">): void {
  if (path.length < 2 * depth && !SUSPECT.test(path)) return;
  const names = path.split("/");
  if (names.includes("..")) throw invalidEntry(path, "which leads out of it");
  if (names.some((name) => name === "" || name === ".") || path.includes("\0")) {
    throw invalidEntry(path, "which is not a path");
  }
  if (path.length > MAX_PATH) throw invalidEntry(path, `whose path has more than ${MAX_PATH} bytes`);
  if (names.length > depth) throw invalidEntry(path, `which lies more than ${depth} folders deep`);
}

/**
 * Checks the target of a symbolic link. It may lead anywhere, because it is only followed in the container. Throws a `context-invalid`
 * Failure.
 */
export function checkTarget(path: string, target: string): void {
  if (target === "" || target.includes("\0") || target.length > MAX_PATH) {
    throw invalidEntry(path, "a link without a possible target");
  }
}

/** Limits the bytes of all paths and targets, which are in memory: this many for each allowed entry. In real trees, the average is 80. */
const PATH_BYTES = 256;

/** Counts the entries of a context and the bytes of its files and paths. Throws a `context-invalid` Failure if they exceed the limits. */
export class ContextTotals {
  readonly #limits: ContextLimits;
  #entries = 0;
  #bytes = 0;
  #pathBytes = 0;

  constructor(limits: ContextLimits) {
    this.#limits = limits;
  }

  add(entry: ContextEntry): void {
    this.#entries += 1;
    if (entry.kind === "file") this.#bytes += entry.size;
    this.#pathBytes += entry.path.length + ("target" in entry ? entry.target.length : 0);
    if (this.#entries > this.#limits.entries) throw tooLarge(`more than ${this.#limits.entries} entries`);
    if (this.#bytes > this.#limits.bytes) throw tooLarge(`more than ${shownBytes(this.#limits.bytes)}`);
    const pathBytes = this.#limits.entries * PATH_BYTES;
    if (this.#pathBytes > pathBytes) throw tooLarge(`paths of more than ${shownBytes(pathBytes)} in all`);
  }
}

function tooLarge(what: string): Failure {
  return new Failure("context-invalid", `the context has ${what}`, {
    expected: "a context within the limits",
    hint: "Exclude files that the build does not need (.dockerignore).",
  });
}
