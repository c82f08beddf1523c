/** Characters of a line. Longer lines are split. */
const MAX_LINE = 16_384;

/** Joins the output of one stream of a step into lines. */
export class LineJoiner {
  #rest = "";

  /** The last line, which is not complete yet. */
  get partial(): string {
    return overwritten(this.#rest);
  }

  /** Adds text, and returns the lines that it completes. */
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

  /** Completes the last line, and returns it if it is not empty. */
  end(): string[] {
    const last = this.partial;
    this.#rest = "";
    return last === "" ? [] : [last];
  }
}

/** Returns the visible part of a line that a program has overwritten, as progress bars do. */
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
