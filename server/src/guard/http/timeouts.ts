/** Maximum times for which the front waits for a client, in ms. */
export interface Timeouts {
  /** For the first headers after the connection, even if they arrive in small pieces (slow loris) */
  headers: number;
  /** For the next request on a connection, and its headers */
  keepAlive: number;
  /** For a complete JSON body */
  json: number;
  /** For the next bytes of a stream. A build with a slow context continues as long as bytes arrive. */
  idle: number;
  /** For a client that does not read its answer */
  stall: number;
  /** For a client that is still sending after the answer: it can read the answer before the connection is closed */
  linger: number;
}

export const TIMEOUTS: Timeouts = {
  headers: 15_000,
  keepAlive: 60_000,
  json: 30_000,
  idle: 120_000,
  stall: 300_000,
  linger: 2_000,
};
