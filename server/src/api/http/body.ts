import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { finished, Transform, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Failure } from "docker-over-ssh/builds";
import type { BodyFile } from "../../store/job-store.ts";
import { ProblemError } from "./problem.ts";

export interface BodyLimits {
  /** Bytes */
  maxBody: number;
  /** ms in which at least {@link MIN_PIECE} bytes come, as long as they are waited for */
  idle: number;
  /** Called with the bytes of each piece. What it throws ends the body. */
  onBytes?: ((count: number) => void) | undefined;
}

/** A body that was written to a file. */
export interface Spooled {
  bytes: number;
  /** Hex */
  sha256: string;
}

/** A body of a job, which its owner disposes of until the store has taken it over */
export type Archive = Spooled & { body: BodyFile };

/** Less than this in the time of {@link BodyLimits.idle} counts as silence: one byte now and then would hold a connection for ever. */
const MIN_PIECE = 1024;

/**
 * Writes a body to a file, as fast as the disk takes it. When it fails, `source` is not destroyed: the answer goes over the same connection.
 *
 * @throws ProblemError 413 for more than `maxBody`, 408 for silence, 400 for a body that stops half-way; Failure `no-space`
 */
export async function spoolBody(source: Readable, path: string, limits: BodyLimits): Promise<Spooled> {
  const hash = createHash("sha256");
  let bytes = 0;
  const watched = watchBody(source, limits);
  try {
    await pipeline(
      watched,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          bytes += chunk.length;
          yield chunk;
        }
      },
      createWriteStream(path, { mode: 0o600 }),
    );
  } catch (error) {
    throw asNoSpace(error);
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Returns the text of a body that is small. It must be UTF-8. Fails as {@link spoolBody}. */
export async function readText(source: Readable, limits: BodyLimits): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of watchBody(source, limits)) chunks.push(chunk as Buffer);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new ProblemError(400, "malformed", "The body is not text in UTF-8.", { cause: error });
  }
}

/** Disposes of the body that it was given last. */
export function bodyOwner(): AsyncDisposable & { own(body: BodyFile): BodyFile } {
  let owned: BodyFile | undefined;
  return {
    own: (body) => (owned = body),
    [Symbol.asyncDispose]: async () => await owned?.[Symbol.asyncDispose](),
  };
}

/** Passes a body on, and fails when it exceeds a limit or stops half-way. `source` stays its owner's. */
export function watchBody(source: Readable, { maxBody, idle, onBytes }: BodyLimits): Readable {
  let bytes = 0;
  let before = 0;
  const watched = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      try {
        if (bytes > maxBody) throw tooLarge(maxBody);
        onBytes?.(chunk.length);
      } catch (error) {
        return done(error as Error);
      }
      done(null, chunk);
    },
  });
  const timer = setInterval(() => {
    const isWaiting = watched.writableLength === 0 && watched.readableLength === 0;
    if (isWaiting && bytes - before < MIN_PIECE) watched.destroy(tooSlow(idle));
    before = bytes;
  }, idle);
  const stopListening = finished(source, { writable: false }, (error) => {
    if (error) watched.destroy(incomplete(error));
  });
  watched.once("close", () => {
    clearInterval(timer);
    source.unpipe(watched);
    stopListening();
    // Errors that come later concern nobody, and must not end the process.
    source.on("error", () => undefined);
  });
  return source.pipe(watched);
}

export function tooLarge(maxBody: number): ProblemError {
  return new ProblemError(413, "too-large", `The body is larger than the ${maxBody} bytes that may be sent.`);
}

function tooSlow(idle: number): ProblemError {
  return new ProblemError(408, "too-slow", `Next to nothing of the body came in ${idle / 1000} s.`);
}

export function incomplete(cause: unknown): ProblemError {
  return cause instanceof ProblemError
    ? cause
    : new ProblemError(400, "incomplete", "The body stopped half-way.", { cause });
}

/** Returns a Failure `no-space` for an error of a full disk, and other errors as they are. */
export function asNoSpace(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new Failure("no-space", "there is no space for the body of a job", { cause: error });
}
