import { columnsOf } from "./text-width.ts";

/** The terminal on stderr, because stdout belongs to the tunnel. */
export interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  /** Columns of the terminal; 0 for a pty without a size */
  columns?: number;
  rows?: number;
  on?(event: "resize", listener: () => void): unknown;
}

/** Lines at the end of a terminal's output that are redrawn in place. Permanent lines are printed above them: `clear`, print, `draw`. */
export class LiveArea {
  readonly #screen: Screen;
  #drawn: readonly string[] = [];

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  get isDrawn(): boolean {
    return this.#drawn.length > 0;
  }

  /** One column less than the terminal has, because a terminal may wrap after a character in the last column. */
  get columns(): number {
    return (this.#screen.columns || 80) - 1;
  }

  get rows(): number {
    return this.#screen.rows || 24;
  }

  /** Replaces the drawn lines, in one write to avoid flicker. */
  draw(lines: readonly string[]): void {
    this.#screen.write(this.#clearing() + lines.join("\n"));
    this.#drawn = lines;
  }

  clear(): void {
    if (this.isDrawn) this.#screen.write(this.#clearing());
    this.#drawn = [];
  }

  /**
   * Moves to the first row and clears from there. A terminal that has become narrower has wrapped the lines. Clears from the second
   * column on: if a clear begins at the screen's first cell, tmux saves the cleared text in its history each time (`scroll-on-clear`).
   */
  #clearing(): string {
    const width = this.columns + 1;
    const rows = this.#drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(columnsOf(line) / width)), 0);
    return `\r${rows > 1 ? `\u001b[${rows - 1}A` : ""}\u001b[K\u001b[C\u001b[J\r`;
  }
}
