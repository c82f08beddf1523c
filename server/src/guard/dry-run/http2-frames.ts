const PREFACE = 24;
const HEADER = 9;
/** RFC 9113, 6 */
const [DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION] = [0, 1, 3, 4, 9];
const ACK = 1;
const SETTINGS_ACK = Buffer.from([0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]);

/** The first bytes of a connection that speaks HTTP/2. */
export const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/**
 * Passes on the requests of a client, without its frames about the connection: acknowledgements, pings and window
 * updates answer the engine, and would be errors for a reader. The reader gets one acknowledgement of its own settings.
 *
 * @returns a function that receives the client's bytes, in chunks of any size
 */
export function requestFrames(onBytes: (bytes: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let hasBegun = false;
  let hasSettings = false;

  function take(frame: Buffer): void {
    const [type, flags = 0] = [frame[3], frame[4]];
    if (type === SETTINGS) {
      if ((flags & ACK) !== 0) return;
      onBytes(frame);
      if (!hasSettings) onBytes(SETTINGS_ACK);
      hasSettings = true;
    } else if (type === DATA || type === HEADERS || type === CONTINUATION || type === RST_STREAM) {
      onBytes(frame);
    }
  }

  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (!hasBegun) {
      if (rest.length < PREFACE) return;
      hasBegun = true;
      onBytes(rest.subarray(0, PREFACE));
      rest = rest.subarray(PREFACE);
    }
    while (rest.length >= HEADER) {
      const length = HEADER + rest.readUIntBE(0, 3);
      if (rest.length < length) return;
      take(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
  };
}
