import { columnsOf } from "./columns.ts";

/** stderr, because stdout belongs to the tunnel. */
export interface Screen {
  write(text: string): unknown;
  isTTY?: boolean;
  /** Of the terminal; 0 for a pty without a size */
  columns?: number;
  rows?: number;
  on?(event: "resize", listener: () => void): unknown;
}

/** Lines at the end of a terminal's output that are drawn over. Lines that stay are printed above them: `clear`, print, `draw`. */
export class LiveArea {
  readonly #screen: Screen;
  #drawn: readonly string[] = [];

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  get isDrawn(): boolean {
    return this.#drawn.length > 0;
  }

  /** One column less than there are: a terminal may wrap after a character in the last one. */
  get columns(): number {
    return (this.#screen.columns || 80) - 1;
  }

  get rows(): number {
    return this.#screen.rows || 24;
  }

  /** Draws the lines over those before, in one write, so that nothing flickers. */
  draw(lines: readonly string[]): void {
    this.#screen.write(this.#clearing() + lines.join("\n"));
    this.#drawn = lines;
  }

  clear(): void {
    if (this.isDrawn) this.#screen.write(this.#clearing());
    this.#drawn = [];
  }

  /**
   * Moves to the first row and clears from there. A terminal that has become narrower has wrapped the lines. Not from the first column: tmux keeps
   * what is cleared from the screen's first cell in its history (`scroll-on-clear`), at each drawing.
   */
  #clearing(): string {
    const width = this.columns + 1;
    const rows = this.#drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(columnsOf(line) / width)), 0);
    return `\r${rows > 1 ? `\u001b[${rows - 1}A` : ""}\u001b[K\u001b[C\u001b[J\r`;
  }
}
