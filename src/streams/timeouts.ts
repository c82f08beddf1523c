/**
 * How long this process waits without anything moving, ms. What moves is bytes and messages: that the other end keeps a connection
 * alive is none. All of it follows --timeout.
 */
export interface Timeouts {
  /** For an answer to a question. The same as for the far end's first word: a person may have to type a password into ssh first. */
  readonly answer: number;
  /**
   * Between two bytes of work that may be silent: an engine unpacks what it has loaded before it says so, and a graph driver copies an
   * image before it gives the first byte of it.
   */
  readonly work: number;
  /** The same, when so many bytes are to be worked on. */
  workFor(bytes: number): number;
}

const ANSWER = 60_000;
/** Times the answer's. */
const WORK = 10;
/** Bytes in a ms that the slowest honest engine takes in: 5 MB/s, a tenth of a hard disk's. */
const SLOWEST = 5_000;
/** Longer than any timer of Node's can be: 24 days. */
const MAX_TIMER = 2 ** 31 - 1;

/** @param timeout --timeout, ms */
export function timeoutsFor(timeout: number = ANSWER): Timeouts {
  const answer = Math.min(timeout, MAX_TIMER);
  const work = Math.min(timeout * WORK, MAX_TIMER);
  return { answer, work, workFor: (bytes) => Math.min(work + bytes / SLOWEST, MAX_TIMER) };
}
