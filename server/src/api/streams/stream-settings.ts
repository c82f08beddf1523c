/** Limits of streams. Times are ms. */
export interface StreamSettings {
  /**
   * Time between two heartbeats of an event stream in which nothing happens, and between two checks of its reader's
   * token
   */
  heartbeat: number;
  /** Time after which a reader is dropped if it receives none of the waiting data */
  stall: number;
  /** Time before an unavailable store is queried again */
  retryDelay: number;
  /** Maximum number of open streams of a client */
  perClient: number;
}

export const STREAM_SETTINGS: StreamSettings = { heartbeat: 15_000, stall: 60_000, retryDelay: 1000, perClient: 2000 };

/** The media type of server-sent events. */
export const EVENT_STREAM = "text/event-stream";
