/** The numbers of PROTOCOL.md, under its headings. */

const kB = 1000;
const MB = 1000 * kB;

// 1. Preamble
export const PROTOCOL_VERSION = 1;
export const MAGIC_LINE = "#docker-over-ssh#tunnel#\n";
/** Bytes of noise after which nobody waits for the magic line any longer. */
export const MAX_NOISE = MB;
/** Bytes of noise that are kept for the error message. */
export const KEPT_NOISE = 4 * kB;
/** Bytes. */
export const MAX_HELLO = 64 * kB;
/** ms. A person may have to type a password or a second factor into ssh first. */
export const HANDSHAKE_TIMEOUT = 60_000;

// 2. Session
/** Bytes a stream may send ahead of its reader: the default 64 kB holds a 100 ms link to 5 Mbit/s. */
export const STREAM_WINDOW = 8 * MB;
/** Bytes, all streams together. */
export const SESSION_WINDOW = 32 * MB;
/** Bytes that may wait for the far end to read them while it is heard: what the windows allow it, and control frames. */
export const MAX_BACKLOG = 40 * MB;
export const MAX_STREAMS = 128;
/** Bytes in one DATA frame. Over a pipe 1.8 GB/s, with 16 kB 1.7, with 256 kB 1.85; a larger one makes others wait. */
export const MAX_FRAME = 64 * 1024;

// 3. Control stream
export const CONTROL_SERVICE = "control";
/** Bytes. */
export const MAX_CONTROL_LINE = MB;
/** ms to wait for `received`, or for a `failure` to leave. */
export const FAREWELL_TIMEOUT = 2_000;

// 4. Keep-alive
/** ms without a byte from the far end after which the link is called dead. */
export const SILENCE_TIMEOUT = 20_000;
export const TICKS_PER_SILENCE = 4;
/**
 * PINGs that may be unanswered, of which each end sends the next all the same: on a slow link, an answer waits behind minutes of
 * data. Node's default of 10 makes an end fall silent that has only to listen, after two silence limits and a half.
 */
export const MAX_UNANSWERED_PINGS = 10_000;

// 5. End
/** ms between closing stdin and SIGTERM, and between SIGTERM and SIGKILL. */
export const LEAVE_TIMEOUT = 5_000;
