import type { Duplex } from "node:stream";
import { Failure } from "../output/errors.ts";
import { MAX_CONTROL_LINE } from "./constants.ts";

/** One object on the control stream (PROTOCOL.md, 3). */
export interface Message {
  type: string;
  [field: string]: unknown;
}

/**
 * JSON lines in both directions over one stream. When the peer ends its half, this side ends its own half.
 *
 * `onMessage` is called for each object, and `onBroken` once for a line that is not an object with a `type`.
 */
export class ControlChannel {
  readonly #stream: Duplex;

  constructor(stream: Duplex, onMessage: (message: Message) => void, onBroken: (failure: Failure) => void) {
    this.#stream = stream;
    let pending: Buffer[] = [];
    let size = 0;
    const broken = (why: string): void => {
      stream.removeAllListeners("data").resume();
      onBroken(
        new Failure("transfer-failed", `the remote side broke the protocol: ${why}`, {
          expected: "one JSON object a line",
        }),
      );
    };
    stream.once("end", () => this.end());
    stream.on("data", (chunk: Buffer) => {
      let rest = chunk;
      for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
        const line = Buffer.concat([...pending, rest.subarray(0, end)]).toString("utf8");
        pending = [];
        size = 0;
        rest = rest.subarray(end + 1);
        const message = parseMessage(line);
        if (message === undefined) return broken("a control line is not a message");
        onMessage(message);
      }
      if (rest.length === 0) return;
      pending.push(rest);
      size += rest.length;
      if (size > MAX_CONTROL_LINE) broken("a control line is longer than 1 MB");
    });
  }

  /** Resolves when the transport has accepted the line, or to false if the stream has ended, which is reported elsewhere. */
  send(message: Message): Promise<boolean> {
    return new Promise((resolve) => {
      if (!this.#stream.writable) return resolve(false);
      this.#stream.write(`${JSON.stringify(message)}\n`, (error) => resolve(error === null || error === undefined));
    });
  }

  /** Ends this half, after the messages sent so far. */
  end(): void {
    if (this.#stream.writable) this.#stream.end();
  }
}

function parseMessage(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && typeof (value as Message).type === "string"
      ? (value as Message)
      : undefined;
  } catch {
    return undefined;
  }
}
