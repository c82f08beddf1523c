/** An event of a server (HTML Living Standard, 9.2: server-sent events). */
export interface ServerEvent {
  /** `message` if the server names no type */
  type: string;
  data: string;
  /** The last ID that was sent, with this event or an earlier one; empty for none */
  lastId: string;
}

/** Thrown for a stream that is not a stream of events, or contains an event that is too large. */
export class InvalidEventStream extends Error {
  override readonly name = "InvalidEventStream";
}

/**
 * An ID that a header may contain, because the client sends it in one when it opens the stream again. Other IDs are ignored, as the
 * standard ignores those with NUL.
 */
const ID = /^[ -~]{0,1000}$/;

/** Characters of one event. */
const MAX_EVENT = 4_000_000;

/**
 * Reads the events of a stream. Ignores an event that is truncated by the end of the stream. Throws {@link InvalidEventStream}.
 *
 * @param lastId the last ID of an earlier stream
 */
export async function* readEvents(stream: AsyncIterable<Buffer>, lastId = ""): AsyncGenerator<ServerEvent> {
  let [type, data] = ["", [] as string[]];
  let size = 0;
  for await (const line of linesOf(stream)) {
    if (line === "") {
      if (data.length > 0) yield { type: type || "message", data: data.join("\n"), lastId };
      [type, data, size] = ["", [], 0];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    size += line.length;
    if (size > MAX_EVENT) throw new InvalidEventStream(`an event has more than ${MAX_EVENT} characters`);
    if (field === "data") data.push(value);
    else if (field === "event") type = value;
    else if (field === "id" && ID.test(value)) lastId = value;
  }
}

/** Yields lines that end with LF, CR LF or CR. */
async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder(); // removes a byte order mark
  let pending = "";
  let afterReturn = false;
  for await (const chunk of stream) {
    let text = decoder.decode(chunk, { stream: true });
    if (text === "") continue;
    if (afterReturn && text.startsWith("\n")) text = text.slice(1); // the rest of CR LF
    afterReturn = text.endsWith("\r");
    const lines = (pending + text).split(/\r\n|\n|\r/);
    pending = lines.pop() ?? "";
    if (pending.length > MAX_EVENT) throw new InvalidEventStream(`a line has more than ${MAX_EVENT} characters`);
    yield* lines;
  }
}
