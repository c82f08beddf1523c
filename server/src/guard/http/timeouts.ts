/** How long the front waits for a client, ms. */
export interface Timeouts {
  /** For the first headers, from the connection on, whatever comes in small pieces (slow loris) */
  headers: number;
  /** For the next request on a connection, and its headers */
  keepAlive: number;
  /** For a body of JSON as a whole */
  json: number;
  /** For the next bytes of a stream. A build whose context comes slowly goes on as long as something comes. */
  idle: number;
  /** For a client that takes nothing of an answer */
  stall: number;
  /** For a client that still sends when it has its answer: time to read the answer before the connection is closed */
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
