import { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import { digestVerifier, type DigestVerifier, type Expected } from "./verify-digest.ts";

/**
 * Returns a stream of the same bytes that fails at its end with `InvalidImage` if they do not match. The bytes are not verified before the
 * stream has ended without an error. Owns `source`.
 */
export function verifiedStream(source: AsyncIterable<Uint8Array>, expected: Expected): Readable {
  const verifier = digestVerifier(expected);
  return Readable.from(
    (async function* () {
      yield* passThroughVerifier(source, verifier);
      verifier.finish();
    })(),
    { objectMode: false },
  );
}

/** Passes bytes through a verifier. The caller must call `verifier.finish`. */
export async function* passThroughVerifier<T extends Uint8Array>(
  source: AsyncIterable<T>,
  verifier: DigestVerifier,
): AsyncGenerator<T> {
  for await (const chunk of source) {
    verifier.take(chunk);
    yield chunk;
  }
}

/**
 * Calls `use` with a verified stream of the bytes, and waits for it. Resolves to the digest and size of the bytes, or to undefined if `use`
 * left the stream early. Rejects with `InvalidImage` if they do not match, even if `use` ignored the error, and with the errors of `use`.
 * Leaves `chunks` to its owner.
 */
export async function withVerifiedStream(
  chunks: AsyncIterable<Buffer>,
  expected: Expected,
  use: (stream: Readable) => Promise<void>,
): Promise<{ digest: Digest; size: number } | undefined> {
  let actual: { digest: Digest; size: number } | undefined;
  let failure: unknown;
  async function* verified(): AsyncGenerator<Buffer> {
    const verifier = digestVerifier(expected);
    try {
      yield* passThroughVerifier(chunks, verifier);
      actual = verifier.finish();
    } catch (error) {
      failure = error;
      throw error;
    }
  }
  const stream = Readable.from(verified(), { objectMode: false });
  stream.on("error", () => {});
  try {
    await use(stream);
  } catch (error) {
    throw failure ?? error;
  } finally {
    stream.destroy();
  }
  if (failure !== undefined) throw failure;
  return actual;
}
