/** Server-sent events (the HTML standard, "server-sent events"). Field values are UTF-8. */

/**
 * The first bytes of a stream: the ms after which a browser reconnects. They show the reader that the stream is open.
 */
export const SSE_START = "retry: 1000\n\n";

/** A comment, which readers ignore. It shows that the connection lives. */
export const SSE_HEARTBEAT = ":\n\n";

export interface SseEvent {
  event: string;
  /** Visible ASCII. The reader sends the last ID as `Last-Event-ID` when it reconnects. */
  id?: string | undefined;
  data: string;
}

/**
 * Encodes an event. A carriage return in the data would end its line and start a field, so it is sent as a line feed.
 */
export function sseEvent({ event, id, data }: SseEvent): string {
  const lines = /[\r\n]/.test(data) ? data.replaceAll(/\r\n|\r|\n/g, "\ndata: ") : data;
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${lines}\n\n`;
}
