/** Characters of a line; a longer one is broken there. */
const MAX_LINE = 16_384;

/** Joins what one stream of a step prints into lines. */
export class LineJoiner {
  #rest = "";

  /** The line that is not complete yet. */
  get partial(): string {
    return overwritten(this.#rest);
  }

  /** Takes text, and returns the lines that are complete with it. */
  add(text: string): string[] {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    const broken = [];
    if (this.#rest.length > MAX_LINE) this.#rest = overwritten(this.#rest);
    while (this.#rest.length > MAX_LINE) {
      broken.push(this.#rest.slice(0, MAX_LINE));
      this.#rest = this.#rest.slice(MAX_LINE);
    }
    return [...lines.flatMap((line) => pieces(overwritten(line))), ...broken];
  }

  /** Ends the last line, if it has begun. */
  end(): string[] {
    const last = this.partial;
    this.#rest = "";
    return last === "" ? [] : [last];
  }
}

/** Returns what is seen of a line that a program has written over, as progress bars do. */
function overwritten(line: string): string {
  const shown = line.replace(/\r+$/, "");
  return shown.slice(shown.lastIndexOf("\r") + 1);
}

function pieces(line: string): string[] {
  if (line.length <= MAX_LINE) return [line];
  return Array.from({ length: Math.ceil(line.length / MAX_LINE) }, (_, index) =>
    line.slice(index * MAX_LINE, (index + 1) * MAX_LINE),
  );
}
