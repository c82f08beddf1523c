/** A text that may be an ID or the beginning of an ID. */
export interface IdPrefix {
  /** 1 to 64 hexadecimal digits */
  hex: string;
  /** Whether it cannot be a name, because it begins with `sha256:` or is a full ID */
  isCertain: boolean;
}

/** Parses a text as an ID or the beginning of an ID. Returns undefined for any other text. If it can also be a name, the name takes precedence. */
export function idPrefix(given: string): IdPrefix | undefined {
  const [, algorithm, hex = ""] = /^(sha256:)?([0-9a-f]{1,64})$/.exec(given) ?? [];
  if (hex === "") return undefined;
  return { hex, isCertain: algorithm !== undefined || hex.length === 64 };
}
