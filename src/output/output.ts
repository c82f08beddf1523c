import type { Failure } from "./errors.ts";

/** Where a transfer is. */
export interface Progress {
  /** What is being done, e.g. `sending`. */
  stage: string;
  /** Bytes done, and to do when that is known. */
  current: number;
  total?: number;
  /** Layers: done, of all. */
  layers?: { done: number; total: number };
}

/** Where everything goes that people read. */
export interface Output {
  progress(progress: Progress): void;
  /** For --verbose, which says when it was, too, in seconds since this side's process began. */
  detail(text: string): void;
  /** For all but --quiet: a choice that was made. */
  note(text: string): void;
  warn(text: string): void;
  /** A line that the far end wrote. */
  far(line: string): void;
  /** The outcome of a transfer. */
  summary(text: string): void;
  /** An error; `far` when these are the far end's words. */
  failure(failure: Failure, whose: "here" | "far"): void;
  /** Leaves the terminal tidy. */
  close(): void;
}
