import type { Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { resetUnlessComplete } from "./reset.ts";
import { countData } from "./watch-progress.ts";

/** The open streams of a tunnel, except the control stream, and the bytes that have moved on them. */
export class TunnelStreams {
  readonly #open = new Set<Http2Stream>();
  readonly #onMoved: () => void;
  /** Bytes in both directions. */
  moved = 0;

  /** @param onMoved called each time bytes have moved on a stream */
  constructor(onMoved: () => void) {
    this.#onMoved = onMoved;
  }

  add(stream: Http2Stream): void {
    resetUnlessComplete(stream);
    countData(stream, (bytes) => {
      this.moved += bytes;
      this.#onMoved();
    });
    this.#open.add(stream);
    stream.on("error", () => {}); // a reset must not be an uncaught error, even if the owner has stopped listening
    stream.once("close", () => this.#open.delete(stream));
  }

  /** Excludes the control stream from {@link resetAll}, because its messages must still arrive. */
  exclude(control: Duplex): void {
    this.#open.delete(control as Http2Stream);
  }

  resetAll(): void {
    for (const stream of this.#open) if (!stream.closed) stream.destroy();
  }
}
