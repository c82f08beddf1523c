/** A terminal that shows what is written to it: wraps lines, moves up, clears to its end or that of the line. It shows no colours, and has no other control sequences. */
export class FakeTerminal {
  readonly isTTY = true;
  columns: number;
  rows: number;
  /** The whole output */
  text = "";
  #lines: string[] = [""];
  #row = 0;
  #column = 0;
  #onResize = (): void => {};

  constructor(columns: number, rows = 24) {
    this.columns = columns;
    this.rows = rows;
  }

  /** The visible lines, without the empty lines at the end. */
  get lines(): string[] {
    return this.#lines.join("\n").trimEnd().split("\n");
  }

  on(_event: "resize", listener: () => void): void {
    this.#onResize = listener;
  }

  /** Wraps the lines that are now too long, like a terminal, and notifies the program. */
  resize(columns: number): void {
    this.columns = columns;
    const before = this.#lines;
    this.#lines = [];
    for (const line of before) {
      for (let at = 0; at === 0 || at < line.length; at += columns) this.#lines.push(line.slice(at, at + columns));
    }
    this.#row = this.#lines.length - 1;
    this.#column = this.#lines.at(-1)?.length ?? 0;
    this.#onResize();
  }

  write(text: string): void {
    this.text += text;
    for (const [part] of text.replaceAll(/\u001b\[[\d;]*m/g, "").matchAll(/\u001b\[\d*[A-Z]|[^]/g)) this.#put(part);
  }

  #put(part: string): void {
    if (part === "\r") this.#column = 0;
    else if (part === "\n") this.#toNextLine();
    else if (part === "\u001b[C") this.#column += 1;
    else if (part === "\u001b[K") this.#lines[this.#row] = this.#line.slice(0, this.#column);
    else if (part === "\u001b[J") {
      if (this.#row === 0 && this.#column === 0)
        throw new Error("tmux keeps a screen that is cleared from its first cell");
      this.#lines.length = this.#row + 1;
      this.#lines[this.#row] = this.#line.slice(0, this.#column);
    } else if (part.startsWith("\u001b[") && part.endsWith("A"))
      this.#row = Math.max(0, this.#row - Number(part.slice(2, -1)));
    else if (part.startsWith("\u001b")) throw new Error(`unknown control sequence ${JSON.stringify(part)}`);
    else {
      if (this.#column === this.columns) this.#toNextLine();
      this.#lines[this.#row] =
        this.#line.slice(0, this.#column).padEnd(this.#column) + part + this.#line.slice(this.#column + 1);
      this.#column += 1;
    }
  }

  get #line(): string {
    return this.#lines[this.#row] ?? "";
  }

  #toNextLine(): void {
    this.#row += 1;
    this.#column = 0;
    this.#lines[this.#row] ??= "";
  }
}
