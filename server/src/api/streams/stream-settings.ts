/** How streams are kept. Times are ms. */
export interface StreamSettings {
  /** Between signs of life of a stream of events in which nothing happens, and between two looks at whether its reader's token still holds */
  heartbeat: number;
  /** After which a reader is dropped that takes nothing of what waits for it */
  stall: number;
  /** Until a store is asked again that could not be reached */
  retryDelay: number;
  /** Streams that a client may have open */
  perClient: number;
}

export const STREAM_SETTINGS: StreamSettings = { heartbeat: 15_000, stall: 60_000, retryDelay: 1000, perClient: 2000 };

/** The media type of server-sent events. */
export const EVENT_STREAM = "text/event-stream";
