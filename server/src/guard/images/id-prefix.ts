/** Text that may be an ID, or the beginning of one. */
export interface IdPrefix {
  /** 1 to 64 hexadecimal digits */
  hex: string;
  /** Whether it cannot be a name: with `sha256:`, or in full */
  isCertain: boolean;
}

/** Reads text as an ID or the beginning of one; undefined for other text. A name comes first where it can be both. */
export function idPrefix(given: string): IdPrefix | undefined {
  const [, algorithm, hex = ""] = /^(sha256:)?([0-9a-f]{1,64})$/.exec(given) ?? [];
  if (hex === "") return undefined;
  return { hex, isCertain: algorithm !== undefined || hex.length === 64 };
}
