const QUOTED = /\\.|'[^']*'|"(?:\\.|[^"\\])*"/gsu;

/**
 * Whether an engine may read a here-document in an instruction: Docker 23 and later take the lines after it for its content, also where a shell would
 * not (`$((1 << 2))`), and then ignore it; Docker 20.10 does not know them. May be wrong to the safe side.
 *
 * @param line the whole instruction, e.g. `RUN cat <<EOF`
 */
export function mayHaveHeredoc(line: string): boolean {
  if (!line.includes("<<")) return false;
  // In braces, quotes have other rules, and what is before them may be dropped.
  if (line.includes("${")) return /\d*<<(?!<)/.test(line.replaceAll(/<<</g, ""));
  return /(?:^|\s)\d*<<(?!<)/.test(line.replaceAll(QUOTED, "Q"));
}
