import { Readable } from "node:stream";
import { abortable, stallTimer } from "docker-over-ssh/builds";
import { Refusal } from "../refusal.ts";

/** Parameters for reading a body. */
export interface BodyReading {
  body: Readable;
  /** Maximum bytes */
  limit: number;
  /** Thrown instead of the Refusal 413 for a larger body */
  tooLong?: Refusal | undefined;
  /** Maximum ms without a byte while a reader waits for one */
  idle: number;
  signal: AbortSignal;
  onBytes: (bytes: number) => void;
}

/**
 * Returns a body as a stream that fails with a Refusal 413 `body.size` if it is too large, and 408 `body.idle` if no
 * data arrives. Time in which nobody reads it does not count. Destroying the stream does not destroy the request.
 */
export function streamBody(reading: BodyReading): Readable {
  return Readable.from(chunks(reading), { objectMode: false });
}

/** Reads a body into memory. Rejects like {@link streamBody}, and with 408 after `time` ms. */
export async function wholeBody(reading: Omit<BodyReading, "idle">, time: number): Promise<Buffer> {
  using timer = stallTimer(tooSlow, reading.signal);
  timer.start(time);
  const parts: Buffer[] = [];
  for await (const chunk of chunks({ ...reading, idle: Infinity, signal: timer.signal })) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Refuses a body by the length in its headers, before the guard requests any of it. */
export function checkLength(length: string | undefined, limit: number, tooLong: Refusal = tooLarge(limit)): void {
  if (length !== undefined && Number(length) > limit) throw tooLong;
}

async function* chunks({ body, limit, tooLong, idle, signal, onBytes }: BodyReading): AsyncGenerator<Buffer> {
  using timer = stallTimer(tooSlow, signal);
  // A loop over the body itself would destroy it at its end, and the connection with it.
  const iterator = body.iterator({ destroyOnReturn: false });
  let count = 0;
  for (;;) {
    timer.start(idle);
    const next = (await abortable(iterator.next(), timer.signal)) as IteratorResult<Buffer, undefined>;
    timer.stop();
    if (next.done === true) return;
    count += next.value.length;
    onBytes(next.value.length);
    if (count > limit) throw tooLong ?? tooLarge(limit);
    yield next.value;
  }
}

function tooLarge(limit: number): Refusal {
  return new Refusal("body.size", `the body is larger than the allowed ${limit} bytes`, {
    statusCode: 413,
  });
}

function tooSlow(ms: number): Refusal {
  return new Refusal("body.idle", `the body did not arrive within ${ms / 1000} s`, { statusCode: 408 });
}
