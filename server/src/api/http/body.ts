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
  /** ms within which at least {@link MIN_PROGRESS} bytes must arrive while the server waits for them */
  idle: number;
  /** Called with the size of each chunk. An error that it throws ends the body. */
  onBytes?: ((count: number) => void) | undefined;
}

/** A body that was written to a file. */
export interface Spooled {
  bytes: number;
  /** Hex */
  sha256: string;
}

/** A body of a job. Its owner disposes of it until the store takes it over. */
export type Archive = Spooled & { body: BodyFile };

/**
 * Fewer bytes within {@link BodyLimits.idle} count as silence: single bytes now and then would hold a connection for
 * ever.
 */
const MIN_PROGRESS = 1024;

/**
 * Writes a body to a file, as fast as the disk accepts it. A failure does not destroy `source`, because the response
 * uses the same connection.
 *
 * @throws ProblemError 413 for more than `maxBody`, 408 for silence, 400 for a truncated body; Failure `no-space`
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

/** Returns the text of a small body, which must be UTF-8. Fails like {@link spoolBody}. */
export async function readText(source: Readable, limits: BodyLimits): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of watchBody(source, limits)) chunks.push(chunk as Buffer);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new ProblemError(400, "malformed", "The body is not text in UTF-8.", { cause: error });
  }
}

/** Disposes of the last body passed to `own`. */
export function bodyOwner(): AsyncDisposable & { own(body: BodyFile): BodyFile } {
  let owned: BodyFile | undefined;
  return {
    own: (body) => (owned = body),
    [Symbol.asyncDispose]: async () => await owned?.[Symbol.asyncDispose](),
  };
}

/** Passes a body on, and fails if it exceeds a limit or is truncated. The caller still owns `source`. */
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
    if (isWaiting && bytes - before < MIN_PROGRESS) watched.destroy(tooSlow(idle));
    before = bytes;
  }, idle);
  const stopListening = finished(source, { writable: false }, (error) => {
    if (error) watched.destroy(incomplete(error));
  });
  watched.once("close", () => {
    clearInterval(timer);
    source.unpipe(watched);
    stopListening();
    // Later errors are of no interest, and must not end the process.
    source.on("error", () => undefined);
  });
  return source.pipe(watched);
}

export function tooLarge(maxBody: number): ProblemError {
  return new ProblemError(413, "too-large", `The body is larger than the ${maxBody} bytes that may be sent.`);
}

function tooSlow(idle: number): ProblemError {
  return new ProblemError(408, "too-slow", `Almost nothing of the body arrived within ${idle / 1000} s.`);
}

export function incomplete(cause: unknown): ProblemError {
  return cause instanceof ProblemError
    ? cause
    : new ProblemError(400, "incomplete", "The body is incomplete.", { cause });
}

/** Converts the error of a full disk to a Failure `no-space`; returns other errors unchanged. */
export function asNoSpace(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return error;
  return new Failure("no-space", "the disk has no space for the body of a job", { cause: error });
}
