import { duration } from "../../output/describe.ts";
import { Failure } from "../../output/errors.ts";
import { stallTimer } from "../../streams/stall-timer.ts";
import { abortable } from "../../streams/abortable.ts";

/** The time limit of a whole upload, as a multiple of the limit for silence: an hour with the default of 60 s. */
const SILENCES_PER_UPLOAD = 60;

/**
 * Passes the arriving bytes on. Fails with `context-invalid` when nothing has arrived for `silence` ms, or when the upload takes more than
 * 60 times that: a client that sends a byte a minute would block the process for ever.
 *
 * @param slowHint the hint of that failure
 */
export async function* upload(
  source: AsyncIterable<Buffer>,
  silence: number,
  signal: AbortSignal,
  slowHint = "Write the archive to a file first, and read stdin from that file.",
): AsyncGenerator<Buffer> {
  const tooSlow = (message: string): Failure =>
    new Failure("context-invalid", message, {
      expected: "an archive on stdin, without such pauses",
      hint: slowHint,
    });
  using silent = stallTimer((ms) => tooSlow(`nothing of the archive has arrived for ${duration(ms)}`), signal);
  using whole = stallTimer((ms) => tooSlow(`the archive has not arrived within ${duration(ms)}`), silent.signal);
  whole.start(silence * SILENCES_PER_UPLOAD);
  const chunks = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      silent.start(silence);
      const { done, value } = await abortable(chunks.next(), whole.signal);
      silent.stop();
      if (done === true) return;
      yield value;
    }
  } finally {
    // Not awaited: a pending read of a pipe ends only when its writer writes.
    void chunks.return?.().catch(() => {});
  }
}
