import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** An unfinished line is passed on after this many characters. */
const MAX_LINE = 16_384;
/** An unfinished line is passed on after this many ms: a prompt waits for an answer and never ends its line. */
const PROMPT_PAUSE = 300;

/** A line end. A carriage return at the end of the received text does not count, because it may be half of a CR LF. */
const LINE_END = /\r?\n|\r(?!$)/;

/** Calls `onLine` for each line of a text stream when it arrives, without the line end. Memory is bounded, whatever the stream sends. */
export function onLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let pending = "";
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    if (pending !== "") onLine(pending.replace(/\r$/, ""));
    pending = "";
  };
  stream.on("data", (chunk: Buffer) => {
    clearTimeout(timer);
    const lines = (pending + decoder.write(chunk)).split(LINE_END);
    pending = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    if (pending.length > MAX_LINE) flush();
    if (pending !== "") timer = setTimeout(flush, PROMPT_PAUSE).unref();
  });
  stream.once("close", () => {
    clearTimeout(timer);
    flush();
  });
  stream.on("error", () => {});
}
