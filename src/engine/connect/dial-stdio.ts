import { Duplex } from "node:stream";
import { execa } from "execa";
import { checkOpenFileLimit } from "../../files/open-file-limit.ts";
import { messageOf } from "../../output/errors.ts";
import { DialError, type Ended } from "./dial-error.ts";
import { NoiseFilter } from "./noise-filter.ts";

/** How much of what the program prints on stderr is kept, bytes. The end says why it failed. */
const STDERR_KEPT = 4096;

/** How long a program may take to leave after SIGTERM before it gets SIGKILL, ms. docker/cli allows 3 s. */
const KILL_TIMEOUT = 3_000;

/**
 * How long the rest of stderr is waited for after the program has ended, ms. An ssh that left a master connection behind
 * (ControlPersist) has ended, while the master holds stderr open for as long as it lives.
 */
const STDERR_TIMEOUT = 500;

/** How long the program may stay after it has closed its stdout, ms. docker/cli's figure. */
const LEAVE_TIMEOUT = 10_000;

/**
 * A program's stdin and stdout as one connection that `node:http` takes for a socket.
 * Destroying it ends the program: SIGTERM, then SIGKILL. A program that fails destroys it with a `DialError`
 * that holds the last words of its stderr; one that succeeds ends it like a peer that hangs up.
 */
export class StdioConnection extends Duplex {
  /** Resolves when the program has ended; never rejects. */
  readonly ended: Promise<Ended>;
  readonly #child: ReturnType<typeof start>;
  readonly #noise = new NoiseFilter();
  #stderr = Buffer.alloc(0);

  constructor(program: string, argv: readonly string[]) {
    super();
    const child = start(program, argv);
    this.#child = child;
    this.ended = waitFor(child);

    child.stderr.on(
      "data",
      (chunk: Buffer) => (this.#stderr = Buffer.concat([this.#stderr, chunk]).subarray(-STDERR_KEPT)),
    );
    child.stdout.on("data", (chunk: Buffer) => this.#nextMessage(chunk));
    child.stdout.on("end", () => {
      const late = setTimeout(() => child.kill(), LEAVE_TIMEOUT).unref();
      void this.ended.then((ended) => {
        clearTimeout(late);
        this.#hangUp(ended);
      });
    });
    child.stdin.on("error", () => {}); // EPIPE when the program is gone; the callback of the write has it
    void this.ended.then((ended) => ended.error && this.#hangUp(ended));

    function waitFor(running: typeof child): Promise<Ended> {
      // execa settles when the program has ended and its streams have; the first is enough, see STDERR_TIMEOUT.
      const settled = running.then(({ exitCode, signal, cause }) =>
        exitCode === undefined && signal === undefined ? { error: cause as Error } : { status: exitCode, signal },
      );
      const exited = new Promise<Ended>((resolve) => {
        running.once("exit", (status, signal) => {
          setTimeout(resolve, STDERR_TIMEOUT, { status: status ?? undefined, signal: signal ?? undefined }).unref();
        });
      });
      return Promise.race([settled, exited]);
    }
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, (error) => {
      if (!error) return done();
      this.#child.kill(); // it does not listen any more; how it ended says more than EPIPE
      void this.ended.then((ended) => done(this.#failure(ended) ?? error));
    });
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    this.#child.stderr.destroy(); // what the program has to say now is of no interest, nor who else holds it open
    this.#child.kill();
    done(error);
  }

  /** Ends the program at once, for when this process exits. */
  killNow(): void {
    this.#child.kill("SIGKILL");
  }

  /** While it is idle between two requests it does not keep this process alive. */
  unref(): this {
    for (const part of this.#parts()) part.unref?.();
    return this;
  }

  ref(): this {
    for (const part of this.#parts()) part.ref?.();
    return this;
  }

  #parts(): { ref?: () => unknown; unref?: () => unknown }[] {
    const { stdin, stdout, stderr } = this.#child;
    return [this.#child, stdin, stdout, stderr] as { ref?: () => unknown; unref?: () => unknown }[]; // pipes are net.Sockets
  }

  #nextMessage(chunk: Buffer): void {
    try {
      const answer = this.#noise.take(chunk);
      if (answer !== undefined && !this.push(answer)) this.#child.stdout.pause();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #hangUp(ended: Ended): void {
    const failure = this.#failure(ended);
    if (failure) return void this.destroy(failure);
    if (this.destroyed) return;
    this.once("end", () => this.destroy()); // half open, it would be given the next request
    this.push(null);
  }

  #failure(ended: Ended): DialError | undefined {
    if (ended.status === 0) return undefined;
    const how = ended.error
      ? messageOf(ended.error)
      : ended.signal
        ? `it was ended by ${ended.signal}`
        : `it ended with status ${ended.status}`;
    const noise = this.#noise.passed ? "" : this.#noise.noise;
    const words = `${noise}${this.#stderr.toString("utf8")}`.trim();
    return new DialError(words === "" ? how : `${how} and printed: ${words}`, ended);
  }
}

/** The one place of this room that starts a program. */
function start(program: string, argv: readonly string[]) {
  checkOpenFileLimit();
  return execa(program, argv, {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    buffer: false,
    reject: false,
    forceKillAfterDelay: KILL_TIMEOUT,
    // A session of its own, as docker/cli does: Ctrl-C goes to the whole foreground group, and would take away
    // the connection over which we are about to remove what we made. On Windows this would open a console instead.
    detached: process.platform !== "win32",
  });
}
