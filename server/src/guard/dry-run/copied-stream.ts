import { Duplex } from "node:stream";

/**
 * A stream on which a server reads a copy of the data that a tenant sends. It discards the server's answers: the tenant
 * gets those of the engine.
 */
export class CopiedStream extends Duplex {
  readonly #onAnswer: (() => void) | undefined;

  /** @param onAnswer called when the server writes */
  constructor(onAnswer?: () => void) {
    super({ allowHalfOpen: true });
    this.#onAnswer = onAnswer;
    this.on("error", () => {}); // the reader reports the error
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, callback: () => void): void {
    this.#onAnswer?.();
    callback();
  }
}
