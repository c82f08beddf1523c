import { Duplex } from "node:stream";
import { NoiseFilter } from "../engine/noise.ts";
import type { Failure } from "../output/errors.ts";
import { engineLost, noEngine } from "./far-end.ts";
import type { FarLink } from "./far-link.ts";

/**
 * A far command's stdin and stdout as the connection to an engine. What it prints before the first answer is passed over.
 * When it ends in order, the engine has hung up, as HTTP allows. Any other end is the Failure that this is destroyed with, and
 * that `onLost` hears of. Destroying it closes the command's stdin and stdout.
 */
export class EngineConnection extends Duplex {
  readonly #link: FarLink;
  readonly #filter = new NoiseFilter();
  readonly #onLost: (failure: Failure) => void;

  constructor(link: FarLink, onLost: (failure: Failure) => void) {
    super();
    this.#link = link;
    this.#onLost = onLost;
    const { transport } = link.far;
    transport.on("data", (chunk: Buffer) => this.#heard(chunk));
    transport.once("end", () => void this.#ended());
    transport.once("close", () => void this.#ended());
  }

  /** What was printed before the first answer. */
  get noise(): string {
    return this.#filter.noise;
  }

  override _read(): void {
    this.#link.far.transport.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#link.far.transport.write(chunk, (error) => {
      if (error) void this.#ended().then(() => done(error)); // how the command ended says more than EPIPE
      else done();
    });
  }

  override _final(done: () => void): void {
    this.#link.far.transport.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#link.far.transport.destroy();
    done(error);
  }

  #heard(chunk: Buffer): void {
    try {
      const answer = this.#filter.take(chunk);
      if (answer !== undefined && !this.push(answer)) this.#link.far.transport.pause();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  async #ended(): Promise<void> {
    if (this.destroyed) return;
    const exit = await this.#link.far.exit();
    if (this.destroyed) return;
    if (this.#filter.passed && exit?.status === 0) return void this.push(null);
    const failure = this.#filter.passed ? engineLost(this.#link, exit) : noEngine(this.#link, exit, this.noise);
    this.#onLost(failure);
    this.destroy(failure);
  }
}
