import truncated from "fast-string-truncated-width";

/** Returns the columns that a line takes on a terminal: two for wide characters, none for colours. */
export function columnsOf(line: string): number {
  return truncated(line).width;
}

/** Cuts a line that needs more columns than `columns`, and marks the cut with an ellipsis. */
export function cutToColumns(line: string, columns: number): string {
  const { index, ellipsed } = truncated(line, { limit: columns, ellipsis: "…" });
  return ellipsed ? `${line.slice(0, index)}…` : line.slice(0, index);
}
