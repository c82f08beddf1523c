/** The numbers in PROTOCOL.md, under the same headings. */

const kB = 1000;
const MB = 1000 * kB;

// 1. Preamble
export const PROTOCOL_VERSION = 1;
export const MAGIC_LINE = "#docker-over-ssh#tunnel#\n";
/** The attempt ends after this many bytes of noise without a magic line. */
export const MAX_NOISE = MB;
/** Bytes of noise that are stored for the error message. */
export const KEPT_NOISE = 4 * kB;
/** Bytes. */
export const MAX_HELLO = 64 * kB;
/** ms. Ssh may first ask for a password or a second factor. */
export const HANDSHAKE_TIMEOUT = 60_000;

// 2. Session
/** Bytes that a stream may send ahead of its reader. The default of 64 kB limits a link with a delay of 100 ms to 5 Mbit/s. */
export const STREAM_WINDOW = 8 * MB;
/** Bytes, all streams together. */
export const SESSION_WINDOW = 32 * MB;
/** Bytes that may be buffered for the peer while this side reads from the peer: the session's window and control frames. */
export const MAX_BACKLOG = 40 * MB;
export const MAX_STREAMS = 128;
/** Bytes in a DATA frame. Over a pipe, the rate is 1.8 GB/s (with 16 kB 1.7, with 256 kB 1.85). A larger frame delays other streams. */
export const MAX_FRAME = 64 * 1024;

// 3. Control stream
export const CONTROL_SERVICE = "control";
/** Bytes. */
export const MAX_CONTROL_LINE = MB;
/** ms to wait for `received`, or to send a `failure`. */
export const FAREWELL_TIMEOUT = 2_000;

// 4. Conversations
/** The feature of a side that supports several conversations. */
export const CONVERSATIONS = "conversations";
/** The maximum number of images in a batch (commands/options/image-list.ts). */
export const MAX_CONVERSATIONS = 1000;

// 5. Keep-alive
/** ms without a byte from the peer after which the link counts as dead. `ALIVE` in remote/login/login.ts follows it. */
export const SILENCE_TIMEOUT = 20_000;
export const TICKS_PER_SILENCE = 4;
/**
 * The next PING is held back after this many unanswered PINGs: on a slow link, an answer waits behind minutes of data. With Node's default
 * of 10, a side that only receives would become silent after two and a half silence limits.
 */
export const MAX_UNANSWERED_PINGS = 10_000;

// 6. End
/** ms from closing stdin to SIGTERM, and from SIGTERM to SIGKILL. */
export const LEAVE_TIMEOUT = 5_000;
