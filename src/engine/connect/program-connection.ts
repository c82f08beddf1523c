import { Duplex, type Readable, type Writable } from "node:stream";
import type { Exit } from "../../child-process/exit.ts";
import { NoiseFilter } from "./noise-filter.ts";

/** A running program whose stdin and stdout lead to an engine. */
export interface ConnectedProgram {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Called once stdout has ended. Resolves to the exit, or to undefined if the program is still running. Never rejects. */
  exit(): Promise<Exit | undefined>;
  /** Called when the program no longer reads its stdin. */
  onStdinClosed?(): void;
  /** Returns the error for an exit; undefined if the program succeeded, which counts as if the engine had closed the connection. */
  failureOf(exit: Exit | undefined, output: ProgramOutput): Error | undefined;
  /** Called with each part of the engine's answers. */
  onAnswer?(): void;
  /** Called when the connection is destroyed. */
  close?(): void;
  ref?(): void;
  unref?(): void;
}

/** The stdout of a program so far. */
export interface ProgramOutput {
  /** Whether an engine's answer has begun. */
  answered: boolean;
  /** The text before it. */
  noise: string;
}

/**
 * A connection to an engine over a program's stdin and stdout, which `node:http` uses like a socket. Skips text before the first answer.
 * The connection ends when the program succeeds. Any other exit destroys it with the program's failure. Destroying it closes stdin and
 * stdout.
 */
export class ProgramConnection extends Duplex {
  bytesRead = 0;
  bytesWritten = 0;
  readonly #program: ConnectedProgram;
  readonly #noise = new NoiseFilter();

  constructor(program: ConnectedProgram) {
    super();
    this.#program = program;
    const { stdout } = program;
    stdout.on("data", (chunk: Buffer) => this.#receive(chunk));
    if (stdout.destroyed) void this.#end();
    for (const end of ["end", "error", "close"]) stdout.once(end, () => void this.#end());
    program.stdin.on("error", () => {}); // EPIPE after the program has ended; the callback of the write receives it
  }

  override _read(): void {
    this.#program.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.bytesWritten += chunk.length;
    this.#program.stdin.write(chunk, (error) => {
      if (!error) return done();
      // The program's exit and the rest of its output are better reasons than EPIPE.
      this.#program.onStdinClosed?.();
      this.#program.stdout.resume();
    });
  }

  override _final(done: () => void): void {
    this.#program.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#program.stdin.destroy();
    this.#program.stdout.destroy();
    this.#program.close?.();
    done(error);
  }

  ref(): this {
    this.#program.ref?.();
    return this;
  }

  /** Called by `node:http` between two requests. */
  unref(): this {
    this.#program.unref?.();
    return this;
  }

  #receive(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    try {
      const answer = this.#noise.take(chunk);
      if (answer === undefined) return;
      this.#program.onAnswer?.();
      if (!this.push(answer)) this.#program.stdout.pause();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  async #end(): Promise<void> {
    if (this.destroyed) return;
    const exit = await this.#program.exit();
    if (this.destroyed) return;
    const failure = this.#program.failureOf(exit, { answered: this.#noise.passed, noise: this.#noise.noise });
    if (failure !== undefined) return void this.destroy(failure);
    this.once("end", () => this.destroy()); // otherwise, the next request would wait for ever on a half-open connection
    this.push(null);
  }
}
