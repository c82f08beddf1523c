import type { Duplex } from "node:stream";
import { finished } from "node:stream/promises";
import { LOG_SERVICE } from "../conversation/build-messages.ts";
import { malformed } from "../conversation/fields.ts";
import type { BuildEvent } from "../engine/engine-builder.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { boundedLines, LineTooLong } from "../streams/bounded-lines.ts";
import { resolveWithin } from "../streams/resolve-within.ts";

/** Maximum bytes of an event. BuildKit sends a step's output in chunks of 32 kB at most. */
const MAX_LINE = 1024 * 1024;
/**
 * Maximum characters of an event's texts that are stored until the build ends. The name of a step is its whole instruction, which may be
 * longer.
 */
const MAX_ID = 1024;
const MAX_NAME = 4096;
const MAX_ERROR = 16_384;
/** Maximum bytes that wait for a slow link. Further output of the builder is dropped, because a build does not wait for its reader. */
const MAX_WAITING = 8 * 1024 * 1024;

/** ms within which the initiator must read the last events. A slow link transfers {@link MAX_WAITING} in less time. */
const READ_TIMEOUT = 60_000;

/** Sends the events of a build to the initiator. */
export class LogSender {
  readonly #early: BuildEvent[] = [];
  #stream: Duplex | undefined;
  #isOver = false;
  /** The last output that was dropped since the last one sent, and the total characters of all dropped ones */
  #dropped: { output: Output; length: number } | undefined;

  constructor(tunnel: Conversation) {
    tunnel.listen(LOG_SERVICE, (stream) => {
      this.#stream = stream;
      stream.on("error", () => {}); // the conversation reports it
      stream.resume();
      for (const event of this.#early.splice(0)) this.send(event);
      if (this.#isOver) this.#endStream(stream);
    });
  }

  send(event: BuildEvent): void {
    const stream = this.#stream;
    if (stream === undefined) return void this.#early.push(event);
    const isFull = stream.writableLength > MAX_WAITING;
    if (isFull && event.type === "step-progress") return;
    if (event.type === "step-log" || event.type === "build-text") {
      if (isFull) {
        this.#dropped = { output: event, length: (this.#dropped?.length ?? 0) + event.text.length };
        return;
      }
      this.#reportDropped(stream);
    }
    stream.write(`${JSON.stringify(shortened(event))}\n`);
  }

  #reportDropped(stream: Duplex): void {
    if (this.#dropped === undefined) return;
    const { output, length } = this.#dropped;
    this.#dropped = undefined;
    const text = `[${length} characters are omitted: the link is slower than the log]\n`;
    stream.write(`${JSON.stringify({ ...output, text })}\n`);
  }

  #endStream(stream: Duplex): void {
    this.#reportDropped(stream);
    stream.end();
  }

  /**
   * Resolves when the initiator has read all events, or the stream is closed. Without this, a failure that is sent next would overtake the
   * events.
   */
  async end(): Promise<void> {
    this.#isOver = true;
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#endStream(stream);
    await resolveWithin(
      READ_TIMEOUT,
      finished(stream).catch(() => {}),
    );
  }
}

type Output = Extract<BuildEvent, { type: "step-log" | "build-text" }>;

function shortened(event: BuildEvent): BuildEvent {
  if (event.type === "step-progress") return { ...event, id: event.id.slice(0, MAX_ID) };
  if (event.type !== "step") return event;
  return { ...event, name: event.name.slice(0, MAX_NAME), error: event.error?.slice(0, MAX_ERROR) };
}

/**
 * Receives the events of a build until the other side ends the stream; ends its own direction to confirm that it has read all events. Throws a
 * Failure for a line that is not an event.
 */
export async function receiveLog(tunnel: Conversation, onEvent: (event: BuildEvent) => void): Promise<void> {
  const stream = tunnel.connect(LOG_SERVICE);
  try {
    for await (const line of boundedLines(stream, MAX_LINE)) onEvent(parseEvent(line));
    stream.end();
  } catch (error) {
    throw error instanceof LineTooLong || error instanceof SyntaxError ? malformed("event of a build") : error;
  }
}

type Fields = Record<string, unknown>;

function parseEvent(line: string): BuildEvent {
  const event = JSON.parse(line) as Fields;
  const parse = typeof event === "object" && event !== null ? PARSERS[String(event["type"])] : undefined;
  if (parse === undefined) throw malformed("event of a build");
  return parse(event);
}

const PARSERS: Record<string, ((event: Fields) => BuildEvent) | undefined> = {
  step: ({ step, name, started, completed, isCached, error }) => ({
    type: "step",
    step: words(step, MAX_ID),
    name: words(name, MAX_NAME),
    started: time(started),
    completed: time(completed),
    isCached: isCached === true,
    error: error === undefined ? undefined : words(error, MAX_ERROR),
  }),
  "step-progress": ({ step, id, current, total, started, completed }) => ({
    type: "step-progress",
    step: words(step, MAX_ID),
    id: words(id, MAX_ID),
    current: time(current) ?? 0,
    total: time(total) ?? 0,
    started: time(started),
    completed: time(completed),
  }),
  "step-log": ({ step, stream, text, at }) => ({
    type: "step-log",
    step: words(step, MAX_ID),
    stream: stream === "stderr" ? "stderr" : "stdout",
    text: words(text),
    ...(at !== undefined && { at: time(at) }),
  }),
  "build-warning": ({ text, details, url }) => ({
    type: "build-warning",
    text: words(text),
    details: Array.isArray(details) ? details.map((detail) => words(detail)) : [],
    url: url === undefined ? undefined : words(url),
  }),
  "build-text": ({ text }) => ({ type: "build-text", text: words(text) }),
};

function words(value: unknown, max = MAX_LINE): string {
  if (typeof value !== "string" || value.length > max) throw malformed("event of a build");
  return value;
}

function time(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isFinite(value)) throw malformed("event of a build");
  return value;
}
