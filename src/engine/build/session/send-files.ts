import type { ServerHttp2Stream } from "node:http2";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import type { BuildContext, ContextFile } from "../../../build-context/build-context.ts";
import { messageOf } from "../../../output/errors.ts";
import { deferred } from "../../../streams/deferred.ts";
import { queue } from "../../../streams/queue.ts";
import { readFrames } from "../../grpc/grpc-frames.ts";
import { dataPacket, errorPacket, finishPacket, PACKET, readPacket, statPacket } from "./packets.ts";
import type { SentEntry } from "./select-entries.ts";

/** The maximum number of bytes of a file in a packet. */
const MAX_DATA = 256 * 1024;
/** Bytes of packets that are joined into one write: 40,000 writes, one for each entry, would take a second. */
const BATCH = 64 * 1024;
/** Bytes of a message from BuildKit, which contains an ID or the text of an error. */
const MAX_MESSAGE = 64 * 1024;
/** Files that are read at a time. */
const READERS = 4;

/** Thrown when BuildKit violates the protocol. */
class InvalidRequest extends Error {}

/**
 * Sends a folder to BuildKit (tonistiigi/fsutil, `send.go`): a packet for each entry, in order. At the same time, sends the files that
 * BuildKit lacks and requests by their number in that order. Resolves when BuildKit has all of them. On an error, sends BuildKit a packet
 * with the reason. The caller ends the stream.
 *
 * @param onServed called with the number of bytes of files that were sent
 */
export async function sendFiles(
  stream: ServerHttp2Stream,
  entries: readonly SentEntry[],
  context: BuildContext,
  onServed: (bytes: number) => void,
): Promise<void> {
  const out = new Batches(stream);
  const left = new AbortController();
  stream.once("close", () => left.abort(new Error("BuildKit has closed the call")));
  const requests = queue<number>();
  const serve = async (): Promise<void> => {
    for await (const id of requests) await sendFile(id, entries[id]?.content as ContextFile);
  };
  const sendFile = async (id: number, file: ContextFile): Promise<void> => {
    for await (const chunk of context.read(file, left.signal)) {
      for (let at = 0; at < chunk.length; at += MAX_DATA) {
        const part = chunk.subarray(at, at + MAX_DATA);
        await out.write(dataPacket(id, part));
        onServed(part.length);
      }
    }
    await out.write(dataPacket(id, Buffer.alloc(0)));
  };
  try {
    const list = async (): Promise<void> => {
      for (const entry of entries) await out.write(statPacket(entry));
      await out.write(statPacket(undefined));
    };
    await allOrFirstError([
      list(),
      ...Array.from({ length: READERS }, serve),
      receive(stream, entries, requests).finally(() => requests.end()),
    ]);
    await out.write(finishPacket());
    await out.flush();
  } catch (error) {
    await out.write(errorPacket(messageOf(error))).catch(() => {});
    await out.flush().catch(() => {});
    throw error;
  } finally {
    left.abort(new Error("the call has ended"));
  }
}

/** Reads BuildKit's packets. Resolves when BuildKit needs no more files. */
async function receive(
  stream: ServerHttp2Stream,
  entries: readonly SentEntry[],
  requests: { push: (id: number) => void },
): Promise<void> {
  const requested = new Set<number>();
  for await (const message of readFrames(stream.iterator({ destroyOnReturn: false }), MAX_MESSAGE)) {
    const { type, id, text } = readPacket(message);
    if (type === PACKET.finish) return;
    if (type === PACKET.error) throw new InvalidRequest(`BuildKit cannot receive the context: ${text}`);
    if (type !== PACKET.request) throw new InvalidRequest(`BuildKit sent a packet of an unknown type, ${type}`);
    // Refuses a second request for a file, which would be unbounded work, and a request for a folder.
    if (entries[id]?.content === undefined || requested.has(id))
      throw new InvalidRequest(`BuildKit requested file ${id}`);
    requested.add(id);
    requests.push(id);
  }
  throw new InvalidRequest("BuildKit ended the call before it had the context");
}

async function allOrFirstError(all: readonly Promise<void>[]): Promise<void> {
  for (const promise of all) promise.catch(() => {});
  await Promise.all(all);
}

/** Joins packets into larger writes, one at a time: the stream emits "drain" only when it has passed on all data. */
class Batches {
  readonly #stream: ServerHttp2Stream;
  readonly #closed: Promise<never>;
  #waiting: Buffer[] = [];
  #size = 0;
  #writing: Promise<void> | undefined;
  #taken = deferred<void>();

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
    this.#closed = once(stream, "close").then(() => {
      throw new Error("BuildKit has closed the call");
    });
    this.#closed.catch(() => {}); // every call closes in the end
  }

  /** Resolves when there is room for more packets. */
  async write(packet: Buffer): Promise<void> {
    this.#waiting.push(packet);
    this.#size += packet.length;
    this.#writing ??= this.#writeAll().finally(() => (this.#writing = undefined));
    this.#writing.catch(() => {}); // every later call fails as well
    if (this.#size >= BATCH) await Promise.race([this.#taken.promise, this.#closed]);
  }

  /** Resolves when all packets have been passed on. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      await setImmediate(); // lets other packets join this write
      if (this.#stream.destroyed) await this.#closed;
      const isReady = this.#stream.write(Buffer.concat(this.#waiting));
      [this.#waiting, this.#size] = [[], 0];
      this.#taken.resolve();
      this.#taken = deferred();
      if (!isReady) await Promise.race([once(this.#stream, "drain"), this.#closed]);
    }
  }
}
