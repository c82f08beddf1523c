import { trimSpace } from "docker-over-ssh/builds";
import { dockerfileError } from "./dockerfile-error.ts";
import { isContinued, type EscapeToken } from "./logical-lines.ts";

/** Maximum bytes of a line that every engine accepts */
const MAX_BYTES = 60_000;

/**
 * Writes an instruction as one line, or as several lines if it is too long for one. Throws a Refusal if an engine would join it with the next instruction or
 * could not read it.
 */
export function writeLine(text: string, escape: EscapeToken, line: number): string {
  const written = trimSpace(text);
  if (isContinued(written, escape) || written.includes("\n")) {
    throw dockerfileError(line, "the instruction ends with a character that joins it with the next one");
  }
  const lines: string[] = [];
  let rest = written;
  while (Buffer.byteLength(rest) > MAX_BYTES) {
    const at = cut(rest);
    if (at === undefined) throw dockerfileError(line, "the instruction is too long to be written in lines");
    lines.push(`${rest.slice(0, at)}${escape}`);
    rest = rest.slice(at);
  }
  return [...lines, rest].join("\n");
}

/** Finds a position between two letters or digits, so that neither part has a space, an escape, or a comment sign where the parts meet. */
function cut(text: string): number | undefined {
  for (let at = Math.floor(MAX_BYTES / 4); at > 0; at--) {
    if (/^[a-z0-9]{2}$/i.test(text.slice(at - 1, at + 1))) return at;
  }
  return undefined;
}
