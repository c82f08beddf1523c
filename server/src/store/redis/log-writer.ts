import { setTimeout as wait } from "node:timers/promises";
import { Failure } from "docker-over-ssh/builds";
import { cutLine, spaceInLog, splitLines } from "../transitions.ts";
import { LOG } from "./scripts.ts";
import type { KeySpace } from "./key-space.ts";

/** ms between two batches, and between two reports to readers */
const BATCH_EVERY = 100;
/** ms before a batch is sent again while Redis is unavailable */
const RETRY_EVERY = 500;
/** Maximum lines and bytes of a batch */
const BATCH_LINES = 500;
const BATCH_BYTES = 256 * 1024;
/**
 * Maximum bytes of one job's log in memory while Redis is unavailable. Later lines are lost, and a line in the log
 * reports it.
 */
const MAX_BUFFERED = 4 * 1024 * 1024;
/** Maximum number of lines of a log. Each needs more memory than its bytes. */
const MAX_LINES = 500_000;

/** Identifies the log: one run of a job. */
export interface Run {
  readonly id: string;
  /** The number of the run. Only the latest run may write. */
  readonly run: string;
}

/** Writes the log of one run, in batches. */
export class LogWriter {
  readonly #keySpace: KeySpace;
  readonly #run: Run;
  readonly #maxLog: number;
  readonly #signal: AbortSignal;
  readonly #lines: string[] = [];
  /** Bytes of the unwritten lines */
  #bytes = 0;
  /** The number of the first unwritten line in this run */
  #first = 0;
  /** Number of lines that were lost since the last accepted one */
  #dropped = 0;
  #isClosed = false;
  /** Aborted at the end: the last lines are written at once */
  readonly #hurry = new AbortController();
  #writing: Promise<void> | undefined;

  /** @param signal aborted when nothing more may be written */
  constructor(keySpace: KeySpace, run: Run, maxLog: number, signal: AbortSignal) {
    this.#keySpace = keySpace;
    this.#run = run;
    this.#maxLog = maxLog;
    this.#signal = signal;
  }

  add(lines: readonly string[]): void {
    for (const line of lines.flatMap(splitLines)) this.#add(line);
    if (this.#lines.length > 0) this.#writing ??= this.#write();
  }

  /** Resolves when all lines are written, or may not be written any more. */
  async end(): Promise<void> {
    this.#hurry.abort();
    await this.#writing;
    this.#isClosed = true;
  }

  #add(line: string): void {
    if (this.#isClosed) return;
    const size = Buffer.byteLength(line);
    if (this.#bytes + size > MAX_BUFFERED) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) this.#push(`[${this.#dropped} lines were lost because Redis could not be reached]`);
    this.#dropped = 0;
    this.#push(line);
  }

  #push(line: string): void {
    this.#lines.push(line);
    this.#bytes += Buffer.byteLength(line);
  }

  async #write(): Promise<void> {
    while (this.#lines.length > 0 && !this.#isClosed) {
      try {
        await this.#writeBatch(this.#batch());
      } catch (error) {
        // A full Redis accepts no lines, so the job ends without its last ones.
        if (error instanceof Failure && this.#hurry.signal.aborted) return this.#close();
        await wait(RETRY_EVERY, undefined, { signal: this.#signal }).catch(() => this.#close());
        continue;
      }
      if (this.#lines.length < BATCH_LINES) await this.#pause();
    }
    this.#writing = undefined;
  }

  async #pause(): Promise<void> {
    await wait(BATCH_EVERY, undefined, { signal: this.#hurry.signal }).catch(() => {});
  }

  #batch(): string[] {
    let bytes = 0;
    const end = this.#lines.findIndex((line, index) => {
      bytes += Buffer.byteLength(line);
      return index > 0 && (bytes > BATCH_BYTES || index >= BATCH_LINES);
    });
    return this.#lines.slice(0, end === -1 ? undefined : end);
  }

  async #writeBatch(batch: readonly string[]): Promise<void> {
    const limits = [spaceInLog(this.#maxLog), MAX_LINES, cutLine(this.#maxLog)];
    const answer = await this.#keySpace.run(LOG, this.#run.id, this.#run.run, this.#first, ...limits, ...batch);
    if (answer !== "ok") return this.#close();
    this.#lines.splice(0, batch.length);
    this.#first += batch.length;
    for (const line of batch) this.#bytes -= Buffer.byteLength(line);
  }

  #close(): void {
    this.#isClosed = true;
    this.#lines.length = 0;
  }
}
