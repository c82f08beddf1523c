/** Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), parsed as they arrive. */
export interface ServerEvent {
  type: string;
  data: string;
  /** Of this event, or the last before it that had one */
  id: string;
}

export class EventParser {
  lastId = "";
  /** ms that the server asks to wait before the next connection */
  retry: number | undefined;
  #rest = "";
  #data: string[] = [];
  #type = "";

  /** Takes a piece of the stream. Returns the events that it completes. */
  push(piece: string): ServerEvent[] {
    const text = this.#rest + piece;
    // A CR at the end may be half an end of line.
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
