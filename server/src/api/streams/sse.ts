/** Server-sent events (the HTML standard, "server-sent events"). Field values are UTF-8. */

/** The first bytes of a stream: after how many ms a browser connects again. It shows the reader that the stream is open. */
export const SSE_START = "retry: 1000\n\n";

/** A comment, which readers ignore: the connection lives. */
export const SSE_HEARTBEAT = ":\n\n";

export interface SseEvent {
  event: string;
  /** The reader sends the last one as `Last-Event-ID` when it connects again. Visible ASCII */
  id?: string | undefined;
  data: string;
}

/** Returns an event as it is sent. A carriage return in the data would end its line, and begin a field: it arrives as a line feed. */
export function sseEvent({ event, id, data }: SseEvent): string {
  const lines = /[\r\n]/.test(data) ? data.replaceAll(/\r\n|\r|\n/g, "\ndata: ") : data;
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${lines}\n\n`;
}
