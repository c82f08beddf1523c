/**
 * An event of a stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), parsed
 * as it arrives.
 */
export interface ServerEvent {
  type: string;
  data: string;
  /** ID of this event, or of the last one that had an ID */
  id: string;
}

export class EventParser {
  lastId = "";
  /** ms that the server requests as the pause before the next connection */
  retry: number | undefined;
  #rest = "";
  #data: string[] = [];
  #type = "";

  /** Adds a chunk of the stream. Returns the events that it completes. */
  push(piece: string): ServerEvent[] {
    const text = this.#rest + piece;
    // A CR at the end may be the first half of a line ending.
    const until = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, until).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + text.slice(until);
    return lines.map((line) => this.#line(line)).filter((event) => event !== undefined);
  }

  #line(line: string): ServerEvent | undefined {
    if (line === "") return this.#dispatch();
    const [, field = line, value = ""] = /^([^:]*):? ?(.*)$/su.exec(line) ?? [];
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return undefined;
  }

  #dispatch(): ServerEvent | undefined {
    const [type, data] = [this.#type || "message", this.#data];
    [this.#type, this.#data] = ["", []];
    return data.length === 0 ? undefined : { type, data: data.join("\n"), id: this.lastId };
  }
}
