import { Readable } from "node:stream";
import type { Digest } from "../digest.ts";
import { digestVerifier, type Expected } from "./verify-digest.ts";

/**
 * Gives bytes that are passing to somebody as a stream, and waits until they are done with it. Resolves to what the bytes
 * were, or to undefined when they were left early. Rejects when they were not what was expected, even if that was not
 * noticed by whoever read them, and with what `use` rejects with.
 */
export async function withVerifiedStream(
  chunks: AsyncIterable<Buffer>,
  expected: Expected,
  use: (stream: Readable) => Promise<void>,
): Promise<{ digest: Digest; size: number } | undefined> {
  let found: { digest: Digest; size: number } | undefined;
  let failure: unknown;
  async function* pass(): AsyncGenerator<Buffer> {
    const bytes = digestVerifier(expected);
    try {
      for await (const chunk of chunks) {
        bytes.take(chunk);
        yield chunk;
      }
      found = bytes.finish();
    } catch (error) {
      failure = error;
      throw error;
    }
  }
  const stream = Readable.from(pass(), { objectMode: false });
  stream.on("error", () => {});
  try {
    await use(stream);
  } catch (error) {
    throw failure ?? error;
  } finally {
    stream.destroy();
  }
  if (failure !== undefined) throw failure;
  return found;
}
