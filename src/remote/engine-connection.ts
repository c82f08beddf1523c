import { Duplex } from "node:stream";
import { NoiseFilter } from "../engine/connect/noise-filter.ts";
import type { Failure } from "../output/errors.ts";
import { engineLost, noEngine } from "./remote-errors.ts";
import type { RemoteCommand } from "./remote-command.ts";

/**
 * A far command's stdin and stdout as the connection to an engine. What it prints before the first answer is passed over.
 * When it ends in order, the engine has hung up, as HTTP allows. Any other end is the Failure that this is destroyed with, and
 * that `onLost` hears of. Destroying it closes the command's stdin and stdout.
 */
export class EngineConnection extends Duplex {
  readonly #link: RemoteCommand;
  readonly #filter = new NoiseFilter();
  readonly #onLost: (failure: Failure) => void;
  bytesRead = 0;
  bytesWritten = 0;

  constructor(link: RemoteCommand, onLost: (failure: Failure) => void) {
    super();
    this.#link = link;
    this.#onLost = onLost;
    const { stdout } = link.far;
    stdout.on("data", (chunk: Buffer) => this.#nextMessage(chunk));
    for (const end of ["end", "error", "close"]) stdout.once(end, () => void this.#ended());
  }

  override _read(): void {
    this.#link.far.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.bytesWritten += chunk.length;
    this.#link.far.stdin.write(chunk, (error) => {
      // It listens no more. What it still says, and how it ends, says more than EPIPE.
      if (error) this.#link.far.stdout.resume();
      else done();
    });
  }

  override _final(done: () => void): void {
    this.#link.far.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { stdin, stdout } = this.#link.far;
    stdin.destroy();
    stdout.destroy();
    done(error);
  }

  #nextMessage(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    try {
      const answer = this.#filter.take(chunk);
      if (answer !== undefined && !this.push(answer)) this.#link.far.stdout.pause();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  async #ended(): Promise<void> {
    if (this.destroyed) return;
    const exit = await this.#link.far.exit();
    if (this.destroyed) return;
    const answered = this.#filter.passed;
    if (answered && exit?.status === 0) {
      this.once("end", () => this.destroy()); // the next request would wait for ever on one that is half open
      return void this.push(null);
    }
    const failure = answered ? engineLost(this.#link, exit) : noEngine(this.#link, exit, this.#filter.noise);
    this.#onLost(failure);
    this.destroy(failure);
  }
}
