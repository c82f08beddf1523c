import type { Duplex } from "node:stream";
import { finished } from "node:stream/promises";
import { LOG_SERVICE } from "../conversation/build-messages.ts";
import { malformed } from "../conversation/fields.ts";
import type { BuildEvent } from "../engine/engine-builds.ts";
import type { Conversation } from "../stdio-tunnel/conversation.ts";
import { boundedLines, LineTooLong } from "../streams/bounded-lines.ts";
import { resolveWithin } from "../streams/resolve-within.ts";

/** Bytes of an event. BuildKit sends a step's output in pieces of 32 kB at most. */
const MAX_LINE = 1024 * 1024;
/** Characters of texts of an event that are kept until the build ends. A step is named by its whole instruction, which may be longer. */
const MAX_ID = 1024;
const MAX_NAME = 4096;
const MAX_ERROR = 16_384;
/** Bytes that wait for a slow link. Beyond it, what the builder prints is left out: a build does not wait for its reader. */
const MAX_WAITING = 8 * 1024 * 1024;

/** ms that the initiator has for the last of them. A slow link carries {@link MAX_WAITING} in less. */
const READ_TIMEOUT = 60_000;

/** Sends the events of a build to the initiator. */
export class LogSender {
  readonly #early: BuildEvent[] = [];
  #stream: Duplex | undefined;
  #isOver = false;
  /** The last of the outputs that were left out since the last that was sent, and the characters of all of them */
  #left: { output: Output; length: number } | undefined;

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
        this.#left = { output: event, length: (this.#left?.length ?? 0) + event.text.length };
        return;
      }
      this.#tellLeft(stream);
    }
    stream.write(`${JSON.stringify(shortened(event))}\n`);
  }

  #tellLeft(stream: Duplex): void {
    if (this.#left === undefined) return;
    const { output, length } = this.#left;
    this.#left = undefined;
    const text = `[${length} characters are left out: the link is slower than the log]\n`;
    stream.write(`${JSON.stringify({ ...output, text })}\n`);
  }

  #endStream(stream: Duplex): void {
    this.#tellLeft(stream);
    stream.end();
  }

  /** Resolves when the initiator has read all events, or the stream is gone: a failure that follows would overtake them. */
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
 * Receives the events of a build until the other side ends the stream; its own end tells that all have been read. Throws a Failure for a line that
 * is no event.
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
