/**
 * The time that this process waits while nothing moves, in ms. Bytes and messages count as movement; keep-alives do not. All timeouts are
 * multiples of --timeout.
 */
export interface Timeouts {
  /** For an answer to a request. Also for the remote side's first byte: a person may have to type a password into ssh first. */
  readonly answer: number;
  /**
   * Between two bytes of silent work: an engine unpacks a loaded image before it answers, and a graph driver copies an image before
   * it sends the first byte.
   */
  readonly work: number;
  /** For silent work on `bytes` bytes. */
  workFor(bytes: number): number;
}

const ANSWER = 60_000;
/** The timeout for work, as a multiple of the timeout for an answer. */
const WORK = 10;
/** Bytes per ms that the slowest healthy engine processes: 5 MB/s, a tenth of a hard disk's rate. */
const SLOWEST = 5_000;
/** ms, the longest timer that Node supports: 24 days. */
const MAX_TIMER = 2 ** 31 - 1;

/** @param timeout --timeout, ms */
export function timeoutsFor(timeout: number = ANSWER): Timeouts {
  const answer = Math.min(timeout, MAX_TIMER);
  const work = Math.min(timeout * WORK, MAX_TIMER);
  return { answer, work, workFor: (bytes) => Math.min(work + bytes / SLOWEST, MAX_TIMER) };
}
